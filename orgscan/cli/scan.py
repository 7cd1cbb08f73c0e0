"""``orgscan scan``: read a real organization."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import typer

from orgscan.models import Severity

LogFormat = typer.Option("text", "--log-format", help="Progress as text or json.")


def scan(
    role_name: str | None = typer.Option(None, help="Audit role to assume in every account."),
    external_id: str | None = typer.Option(None, help="External id the audit role asks for."),
    profile: str | None = typer.Option(None, help="AWS profile of the caller."),
    config: Path | None = typer.Option(None, help="Settings file (TOML)."),
    output: Path | None = typer.Option(
        None, help="Run directory, new or empty.  [default: orgscan-runs/<UTC time>]"
    ),
    include_ou: list[str] = typer.Option(
        [], help="Only accounts below this OU (id or path); may be repeated."
    ),
    account: list[str] = typer.Option([], help="Only this account; may be repeated."),
    exclude_account: list[str] = typer.Option([], help="Not this account; may be repeated."),
    concurrency: int | None = typer.Option(None, help="Accounts read at the same time."),
    fail_on: Severity | None = typer.Option(
        None, help="Leave with 3 when a finding of this severity or worse fails."
    ),
    endpoint_url: str | None = typer.Option(
        None, help="Another endpoint than AWS's own, for all services."
    ),
    resume: Path | None = typer.Option(
        None, metavar="RUN", help="Go on with this interrupted run; nothing complete is read again."
    ),
    retry_gaps: bool = typer.Option(
        False, "--retry-gaps", help="With --resume, also read the gaps of a finished run again."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
    log_format: str = LogFormat,
) -> None:
    """Read every account of the organization, judge it and write the reports."""
    from orgscan import settings as settings_module

    check_log_format(log_format)
    if resume is not None and output is not None:
        message = "--output and --resume exclude each other: a resumed run stays where it is"
        raise typer.BadParameter(message)
    if retry_gaps and resume is None:
        message = "--retry-gaps goes with --resume RUN"
        raise typer.BadParameter(message)
    stored = None
    if resume is not None:
        from orgscan import pipeline

        stored = pipeline.stored_settings(resume)
    settings = settings_module.load(
        config,
        stored=stored,
        role_name=role_name,
        external_id=external_id,
        profile=profile,
        include_ous=tuple(include_ou),
        accounts=tuple(account),
        exclude_accounts=tuple(exclude_account),
        concurrency=concurrency,
        endpoint_url=endpoint_url,
    )

    from orgscan import pipeline
    from orgscan.cli import running
    from orgscan.models import Clock

    clock = Clock()
    directory = resume or output or pipeline.default_output(clock)
    with running.observer(quiet=quiet, log_format=log_format) as observer:
        work: Callable[..., Coroutine[Any, Any, None]] = partial(
            pipeline.collect, settings, directory, clock=clock, observer=observer
        )
        if resume is not None:
            work = partial(
                pipeline.resume,
                settings,
                directory,
                retry_gaps=retry_gaps,
                clock=clock,
                observer=observer,
            )
        running.collect(lambda stop: work(stop=stop), directory)
        with running.rendering(directory):
            pipeline.render(directory, clock=clock, observer=observer)
    running.conclude(directory, fail_on)


def check_log_format(log_format: str) -> None:
    """Refuse what is neither text nor json."""
    if log_format not in {"text", "json"}:
        message = f"--log-format is text or json, not {log_format!r}"
        raise typer.BadParameter(message)
