"""``orgscan report``: evaluate stored evidence again, offline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from orgscan.cli.options import (
    CARRY,
    FAIL_ON,
    FORMAT,
    FRAMEWORK,
    FRAMEWORK_FILE,
    LOG_FORMAT,
    PREVIOUS,
    PUBLISH,
    QUIET,
    SIGN_WITH_KMS,
    VERBOSE,
    WAIVERS,
)
from orgscan.models import Severity, is_in_range


def report(
    run: Path = typer.Argument(help="Run directory to evaluate."),
    as_of: str | None = typer.Option(
        None,
        help="Evaluate as of this date or time (ISO 8601; UTC unless a zone is given).  "
        "[default: that of the run]",
    ),
    config: Path | None = typer.Option(
        None,
        help="Use the thresholds and frameworks of this settings file.  "
        "[default: those of the run]",
    ),
    output: Path | None = typer.Option(
        None, help="Write to this new or empty directory.  [default: the run directory]"
    ),
    framework: list[str] = FRAMEWORK,
    framework_file: list[Path] = FRAMEWORK_FILE,
    fail_on: Severity | None = FAIL_ON,
    previous: Path | None = PREVIOUS,
    waivers: Path | None = WAIVERS,
    carry: Path | None = CARRY,
    sign_with_kms: str | None = SIGN_WITH_KMS,
    profile: str | None = typer.Option(
        None, help="Sign and publish with this AWS profile.  [default: AWS environment and files]"
    ),
    endpoint_url: str | None = typer.Option(
        None, help="Use this endpoint for signing.  [default: AWS]"
    ),
    publish: str | None = PUBLISH,
    formats: list[str] = FORMAT,
    quiet: bool | None = QUIET,
    verbose: bool | None = VERBOSE,
    log_format: str | None = LOG_FORMAT,
) -> None:
    """Evaluate stored evidence again and write the reports; offline.

    Use it to change the as-of time, thresholds, frameworks or waivers of a run.
    """
    from orgscan.cli import running
    from orgscan.models import Clock
    from orgscan.pipeline import scan as scanning
    from orgscan.pipeline.run_plan import RunPlan

    running.begin(log_format)
    plan = RunPlan.for_report(
        run,
        config,
        output=output,
        as_of=None if as_of is None else _moment(as_of),
        frameworks=framework,
        framework_files=[*map(str, framework_file)],
        fail_on=fail_on,
        previous=previous,
        waivers=waivers,
        carry=carry,
        sign_with_kms=sign_with_kms,
        profile=profile,
        endpoint_url=endpoint_url,
        publish=publish,
        formats=formats,
        quiet=quiet,
        verbose=verbose,
        log_format=log_format,
    )
    with running.progress(plan.settings) as observer, running.rendering(run):
        directory = scanning.write(plan, clock=Clock(), observer=observer)
    running.conclude(plan, directory, observer)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--as-of {text!r} is not a time; write it like 2026-09-30T00:00:00Z"
        raise typer.BadParameter(message) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not is_in_range(moment):
        message = f"--as-of {text!r} is out of range; give a time from 1970 to 2199"
        raise typer.BadParameter(message)
    return moment.astimezone(UTC)
