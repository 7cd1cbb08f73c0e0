"""``orgscan scan``: read a real organization."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer

from orgscan.cli.options import (
    CARRY,
    CONFIG,
    ENDPOINT_URL,
    EXCLUDE_ACCOUNT,
    EXTERNAL_ID,
    FAIL_ON,
    FORMAT,
    FRAMEWORK,
    FRAMEWORK_FILE,
    INCLUDE_OU,
    LOG_FORMAT,
    PREVIOUS,
    PROFILE,
    PUBLISH,
    QUIET,
    ROLE_NAME,
    SIGN_WITH_KMS,
    VERBOSE,
    WAIVERS,
)
from orgscan.models import Severity


def scan(
    role_name: str | None = ROLE_NAME,
    external_id: str | None = EXTERNAL_ID,
    profile: str | None = PROFILE,
    config: Path | None = CONFIG,
    output: Path | None = typer.Option(
        None,
        help="Write the run to this new or empty directory.  [default: orgscan-runs/<UTC time>]",
    ),
    include_ou: list[str] = INCLUDE_OU,
    account: list[str] = typer.Option(
        [], help="Scan only this account; repeatable.  [default: all]"
    ),
    exclude_account: list[str] = EXCLUDE_ACCOUNT,
    concurrency: int | None = typer.Option(
        None, help="Read this many accounts at the same time.  [default: 64]"
    ),
    workers: int | None = typer.Option(
        None, help="Start this many local worker processes, 1 to 256 (needs Dask).  [default: none]"
    ),
    scheduler: str | None = typer.Option(
        None, metavar="ADDRESS", help="Use the workers of this Dask cluster.  [default: none]"
    ),
    framework: list[str] = FRAMEWORK,
    framework_file: list[Path] = FRAMEWORK_FILE,
    fail_on: Severity | None = FAIL_ON,
    endpoint_url: str | None = ENDPOINT_URL,
    resume: Path | None = typer.Option(
        None, metavar="RUN", help="Resume this run; completed accounts are skipped."
    ),
    retry_gaps: bool | None = typer.Option(
        None, "--retry-gaps", help="With --resume, retry accounts with gaps."
    ),
    previous: Path | None = PREVIOUS,
    waivers: Path | None = WAIVERS,
    carry: Path | None = CARRY,
    sign_with_kms: str | None = SIGN_WITH_KMS,
    publish: str | None = PUBLISH,
    formats: list[str] = FORMAT,
    quiet: bool | None = QUIET,
    verbose: bool | None = VERBOSE,
    log_format: str | None = LOG_FORMAT,
) -> None:
    """Collect evidence from every account and write the reports."""
    from orgscan.cli import running
    from orgscan.models import Clock
    from orgscan.pipeline import scan as scanning
    from orgscan.pipeline.run_plan import RunPlan

    running.begin(log_format)
    clock = Clock()
    plan = RunPlan.for_scan(
        config,
        clock=clock,
        role_name=role_name,
        external_id=external_id,
        profile=profile,
        output=output,
        include_ous=include_ou,
        accounts=account,
        exclude_accounts=exclude_account,
        concurrency=concurrency,
        workers=workers,
        scheduler=scheduler,
        frameworks=framework,
        framework_files=[*map(str, framework_file)],
        fail_on=fail_on,
        endpoint_url=endpoint_url,
        resume=resume,
        retry_gaps=retry_gaps,
        previous=previous,
        waivers=waivers,
        carry=carry,
        sign_with_kms=sign_with_kms,
        publish=publish,
        formats=formats,
        quiet=quiet,
        verbose=verbose,
        log_format=log_format,
    )
    with running.progress(plan.settings) as observer:
        running.carry_out(plan, partial(scanning.read, plan), clock=clock, observer=observer)
    running.conclude(plan, plan.directory, observer)
