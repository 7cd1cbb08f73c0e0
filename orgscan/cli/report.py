"""``orgscan report``: judge stored evidence again, offline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from orgscan.models import Severity


def report(
    run: Path = typer.Argument(help="Run directory with the evidence."),
    as_of: str | None = typer.Option(
        None, help="Compute ages for this time (ISO 8601; UTC where it names no zone)."
    ),
    config: Path | None = typer.Option(None, help="Settings file whose thresholds to judge by."),
    output: Path | None = typer.Option(
        None, help="Where to write, new or empty.  [default: the run directory]"
    ),
    fail_on: Severity | None = typer.Option(
        None, help="Leave with 3 when a finding of this severity or worse fails."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Write a run's reports again, with another as-of time or other thresholds."""
    from orgscan import pipeline
    from orgscan import settings as settings_module
    from orgscan.cli import running
    from orgscan.models import Clock

    thresholds = None if config is None else settings_module.load(config).thresholds
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
            thresholds=thresholds,
        )
    running.conclude(directory, fail_on)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--as-of {text!r} is not a time; write it like 2026-09-30T00:00:00Z"
        raise typer.BadParameter(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
