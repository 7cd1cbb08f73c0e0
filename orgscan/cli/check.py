"""``orgscan check``: what would a scan meet?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orgscan.cli.scan import EXCLUDE_ACCOUNT, INCLUDE_OU, LogFormat, check_log_format
from orgscan.cli.usage import plain
from orgscan.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.pipeline import Readiness

_VERDICTS = {
    ExitCode.OK: "Ready: nothing that was tried failed.",
    ExitCode.RUN_FAILED: "Not ready: a scan would fail; {failed}.",
    ExitCode.USAGE: "Not ready: settings or credentials must be put right first; {failed}.",
    ExitCode.COVERAGE_GAPS: "Not ready: something would be missing from a scan; {failed}.",
    ExitCode.INTEGRITY: "Not ready: an answer belongs to another account; {failed}.",
}


def check(
    role_name: str | None = typer.Option(None, help="Audit role to assume in every account."),
    external_id: str | None = typer.Option(None, help="External id the audit role asks for."),
    profile: str | None = typer.Option(None, help="AWS profile of the caller."),
    config: Path | None = typer.Option(None, help="Settings file (TOML)."),
    account: str | None = typer.Option(
        None, help="Member account to try the role in.  [default: one that a scan would read]"
    ),
    include_ou: list[str] = INCLUDE_OU,
    exclude_account: list[str] = EXCLUDE_ACCOUNT,
    endpoint_url: str | None = typer.Option(
        None, help="Another endpoint than AWS's own, for all services."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
    log_format: str = LogFormat,
) -> None:
    """Try what a scan needs, from credentials to one account's role; writes nothing."""
    import asyncio

    from orgscan import settings as settings_module

    check_log_format(log_format)
    settings = settings_module.load(
        config,
        role_name=role_name,
        external_id=external_id,
        profile=profile,
        include_ous=tuple(include_ou),
        exclude_accounts=tuple(exclude_account),
        endpoint_url=endpoint_url,
    )
    if account is not None:
        settings_module.require_account_id(account, "--account")

    from orgscan import pipeline
    from orgscan.cli import running
    from orgscan.models import Clock

    with running.observer(quiet=quiet, log_format=log_format) as observer:
        found = asyncio.run(
            pipeline.check(settings, clock=Clock(), observer=observer, account=account)
        )
    for line in _lines(found):
        typer.echo(line)
    raise typer.Exit(found.exit_code)


def _lines(found: Readiness) -> Iterator[str]:
    for step in found.steps:
        yield f"{step.state:<11}  {step.name}: {plain(step.detail)}"
    yield ""
    yield "A scan calls nothing but"
    for service, actions in found.actions.items():
        yield f"  {service}: {', '.join(actions)}"
    failed = "1 step failed" if found.failed == 1 else f"{found.failed} steps failed"
    yield _VERDICTS[found.exit_code].format(failed=failed)
