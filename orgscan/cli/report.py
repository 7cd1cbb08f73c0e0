"""``orgscan report``: judge stored evidence again, offline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from orgscan.cli.scan import (
    CARRY,
    FAIL_ON,
    FORMAT,
    FRAMEWORK,
    FRAMEWORK_FILE,
    PREVIOUS,
    PUBLISH,
    SIGN_WITH_KMS,
    WAIVERS,
    check_end_options,
)
from orgscan.models import Severity, is_in_range


def report(
    run: Path = typer.Argument(help="Run directory with the evidence."),
    as_of: str | None = typer.Option(
        None, help="Compute ages for this time (ISO 8601; UTC where it names no zone)."
    ),
    config: Path | None = typer.Option(
        None, help="Settings file whose thresholds and frameworks to judge by."
    ),
    output: Path | None = typer.Option(
        None, help="Where to write, new or empty.  [default: the run directory]"
    ),
    framework: list[str] = FRAMEWORK,
    framework_file: list[Path] = FRAMEWORK_FILE,
    fail_on: Severity | None = FAIL_ON,
    previous: Path | None = PREVIOUS,
    waivers: Path | None = WAIVERS,
    carry: Path | None = CARRY,
    sign_with_kms: str | None = SIGN_WITH_KMS,
    profile: str | None = typer.Option(None, help="AWS profile to sign and publish with."),
    endpoint_url: str | None = typer.Option(
        None, help="Another endpoint than AWS's own, for signing."
    ),
    publish: str | None = PUBLISH,
    formats: list[str] = FORMAT,
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Write a run's reports again, with another as-of time, other thresholds or frameworks."""
    from orgscan import pipeline
    from orgscan import settings as settings_module
    from orgscan.cli import running
    from orgscan.models import Clock

    check_end_options(previous, sign_with_kms, publish, formats, directories=[run, output])
    settings = None
    if config is not None or sign_with_kms is not None or publish is not None:
        settings = settings_module.load(config, profile=profile, endpoint_url=endpoint_url)
    chosen = None if config is None else settings
    decisions = pipeline.read_decisions(waivers, carry, chosen)
    moment = None if as_of is None else _moment(as_of)
    with (
        running.observer(quiet=quiet, log_format="text") as observer,
        running.rendering(run),
    ):
        directory = pipeline.render(
            run,
            clock=Clock(),
            observer=observer,
            output=output,
            as_of=moment,
            settings=None if config is None else settings,
            frameworks=framework,
            framework_files=framework_file,
            previous=previous,
            decisions=decisions,
            formats=formats,
        )
    running.conclude(
        directory, fail_on, sign_with=sign_with_kms, publish_to=publish, settings=settings
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--as-of {text!r} is not a time; write it like 2026-09-30T00:00:00Z"
        raise typer.BadParameter(message) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not is_in_range(moment):
        message = f"--as-of {text!r} is no time to judge for; give one from 1970 to 2199"
        raise typer.BadParameter(message)
    return moment.astimezone(UTC)
