"""``orgscan check``: what would a scan meet?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orgscan.cli.options import (
    CONFIG,
    ENDPOINT_URL,
    EXCLUDE_ACCOUNT,
    EXTERNAL_ID,
    INCLUDE_OU,
    LOG_FORMAT,
    PROFILE,
    QUIET,
    ROLE_NAME,
    VERBOSE,
)
from orgscan.errors import ExitCode
from orgscan.text import count, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.pipeline.check import Readiness

_VERDICTS = {
    ExitCode.OK: "Ready: all attempted checks passed.",
    ExitCode.RUN_FAILED: "Not ready: a scan would fail; {failed}.",
    ExitCode.USAGE: "Not ready: correct the settings or credentials first; {failed}.",
    ExitCode.COVERAGE_GAPS: "Not ready: a scan would be incomplete; {failed}.",
    ExitCode.INTEGRITY: "Not ready: a response belongs to another account; {failed}.",
}


def check(
    role_name: str | None = ROLE_NAME,
    external_id: str | None = EXTERNAL_ID,
    profile: str | None = PROFILE,
    config: Path | None = CONFIG,
    account: str | None = typer.Option(
        None, help="Try the audit role in this member account.  [default: an account in scope]"
    ),
    include_ou: list[str] = INCLUDE_OU,
    exclude_account: list[str] = EXCLUDE_ACCOUNT,
    endpoint_url: str | None = ENDPOINT_URL,
    quiet: bool | None = QUIET,
    verbose: bool | None = VERBOSE,
    log_format: str | None = LOG_FORMAT,
) -> None:
    """Check credentials, permissions and the audit role before a scan.

    Writes no files.
    """
    import asyncio

    from orgscan import settings as settings_module
    from orgscan.cli import running

    running.begin(log_format)
    settings = settings_module.load(
        config,
        role_name=role_name,
        external_id=external_id,
        profile=profile,
        include_ous=include_ou,
        exclude_accounts=exclude_account,
        endpoint_url=endpoint_url,
        quiet=quiet,
        verbose=verbose,
        log_format=log_format,
    )
    if account is not None:
        settings_module.require_account_id(account, "--account")

    from orgscan.models import Clock
    from orgscan.pipeline import check as checking

    with running.progress(settings) as observer:
        readiness = asyncio.run(
            checking.check(settings, clock=Clock(), observer=observer, account=account)
        )
    for line in _lines(readiness):
        typer.echo(line)
    raise typer.Exit(readiness.exit_code)


def _lines(readiness: Readiness) -> Iterator[str]:
    for step in readiness.steps:
        yield f"{step.state:<11}  {step.name}: {printable(step.detail)}"
    yield ""
    yield "A scan calls only these actions:"
    for service, actions in readiness.actions.items():
        yield f"  {service}: {', '.join(actions)}"
    failed = f"{count(readiness.failed, 'step')} failed"
    yield _VERDICTS[readiness.exit_code].format(failed=failed)
