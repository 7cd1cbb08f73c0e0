"""``orgscan verify``: is a run still what its manifest says, byte for byte?"""

from __future__ import annotations

from pathlib import Path

import typer

from orgscan.errors import IntegrityError
from orgscan.text import count, printable


def verify(
    run: Path = typer.Argument(help="Directory of the run or report to verify."),
    public_key: Path | None = typer.Option(
        None,
        help="Verify the signature with this public key (PEM or DER).  [default: not verified]",
    ),
    previous: Path | None = typer.Option(
        None,
        metavar="RUN",
        help="Verify that this run continues this earlier run.  [default: not verified]",
    ),
) -> None:
    """Verify that no file of a run was changed, removed or added.

    Works offline.
    """
    from orgscan.pipeline.verify import verify as verify_run

    found = verify_run(run, public_key=public_key, previous=previous)
    if found.problems:
        for problem in found.problems:
            typer.echo(printable(problem))
        problems = count(len(found.problems), "problem")
        raise IntegrityError(f"{run}: does not match its manifest ({problems})")
    remarks = "".join(f"; {printable(remark)}" for remark in found.remarks)
    typer.echo(
        f"{run}: verified: {found.files} files, evidence of {found.accounts} accounts{remarks}"
    )
