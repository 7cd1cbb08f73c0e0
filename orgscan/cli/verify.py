"""``orgscan verify``: is a run still what its manifest says, byte for byte?"""

from __future__ import annotations

from pathlib import Path

import typer

from orgscan.errors import IntegrityError
from orgscan.text import count, printable


def verify(
    run: Path = typer.Argument(help="Run directory, or one that `orgscan report` wrote."),
    public_key: Path | None = typer.Option(
        None, help="Public key (PEM or DER) that must have signed the manifest."
    ),
    previous: Path | None = typer.Option(
        None, metavar="RUN", help="Earlier run that this one must continue."
    ),
) -> None:
    """Find every byte of a finished run that was changed, lost or added; offline."""
    from orgscan.pipeline.verify import verify as verify_run

    found = verify_run(run, public_key=public_key, previous=previous)
    if found.problems:
        for problem in found.problems:
            typer.echo(printable(problem))
        problems = count(len(found.problems), "problem")
        raise IntegrityError(f"{run}: is not what its manifest says: {problems}")
    remarks = "".join(f"; {printable(remark)}" for remark in found.remarks)
    typer.echo(f"{run}: whole: {found.files} files, evidence of {found.accounts} accounts{remarks}")
