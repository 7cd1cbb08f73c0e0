"""``orgscan scan``: read a real organization."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import typer

from orgscan.models import Severity

INCLUDE_OU = typer.Option([], help="Only accounts below this OU (id or path); may be repeated.")
EXCLUDE_ACCOUNT = typer.Option([], help="Not this account; may be repeated.")
FRAMEWORK = typer.Option(
    [], metavar="KEY", help="Framework to audit against; may be repeated.  [default: cis-7.0]"
)
FRAMEWORK_FILE = typer.Option(
    [], metavar="FILE", help="Frameworks of your own (TOML); may be repeated."
)
FORMAT = typer.Option(
    [],
    "--format",
    metavar="NAME",
    help="Also write the results as csv or as ocsf (OCSF 1.6 findings); may be repeated.",
)
PREVIOUS = typer.Option(
    None, metavar="RUN", help="Earlier run to compare with; the manifest names it."
)
WAIVERS = typer.Option(None, metavar="FILE", help="Accepted risks: a TOML, CSV or Excel file.")
CARRY = typer.Option(
    None, metavar="WORKBOOK", help="Edited workbook whose entries and waivers to keep."
)
SIGN_WITH_KMS = typer.Option(
    None, "--sign-with-kms", metavar="KEY", help="Sign the manifest with this AWS KMS key."
)
PUBLISH = typer.Option(
    None,
    metavar="DEST",
    help="Add the tables to this history: a directory or s3://BUCKET/PREFIX.",
)
FAIL_ON = typer.Option(None, help="Leave with 3 when a finding of this severity or worse fails.")
LogFormat = typer.Option("text", "--log-format", help="Progress as text or json.")


def scan(
    role_name: str | None = typer.Option(None, help="Audit role to assume in every account."),
    external_id: str | None = typer.Option(None, help="External id the audit role asks for."),
    profile: str | None = typer.Option(None, help="AWS profile of the caller."),
    config: Path | None = typer.Option(None, help="Settings file (TOML)."),
    output: Path | None = typer.Option(
        None, help="Run directory, new or empty.  [default: orgscan-runs/<UTC time>]"
    ),
    include_ou: list[str] = INCLUDE_OU,
    account: list[str] = typer.Option([], help="Only this account; may be repeated."),
    exclude_account: list[str] = EXCLUDE_ACCOUNT,
    concurrency: int | None = typer.Option(None, help="Accounts read at the same time."),
    workers: int | None = typer.Option(
        None, min=1, max=256, help="Read with so many processes of this machine (needs Dask)."
    ),
    scheduler: str | None = typer.Option(
        None, metavar="ADDRESS", help="Read with the workers of this Dask cluster."
    ),
    framework: list[str] = FRAMEWORK,
    framework_file: list[Path] = FRAMEWORK_FILE,
    fail_on: Severity | None = FAIL_ON,
    endpoint_url: str | None = typer.Option(
        None, help="Another endpoint than AWS's own, for all services."
    ),
    resume: Path | None = typer.Option(
        None, metavar="RUN", help="Go on with this interrupted run; nothing complete is read again."
    ),
    retry_gaps: bool = typer.Option(
        False, "--retry-gaps", help="With --resume, also read the gaps of a finished run again."
    ),
    previous: Path | None = PREVIOUS,
    waivers: Path | None = WAIVERS,
    carry: Path | None = CARRY,
    sign_with_kms: str | None = SIGN_WITH_KMS,
    publish: str | None = PUBLISH,
    formats: list[str] = FORMAT,
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
    log_format: str = LogFormat,
) -> None:
    """Read every account of the organization, judge it and write the reports."""
    from orgscan import settings as settings_module

    check_log_format(log_format)
    if resume is not None and output is not None:
        message = "--output and --resume exclude each other: a resumed run stays where it is"
        raise typer.BadParameter(message)
    if workers is not None and scheduler is not None:
        message = "--workers and --scheduler exclude each other: start workers or use a cluster's"
        raise typer.BadParameter(message)
    if scheduler is not None and not scheduler.strip():
        message = "--scheduler is empty; give an address, as in tls://scheduler.internal:8786"
        raise typer.BadParameter(message)
    check_end_options(previous, sign_with_kms, publish, formats, directories=[resume, output])
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
        frameworks=tuple(framework),
        framework_files=tuple(map(str, framework_file)),
        endpoint_url=endpoint_url,
    )

    from orgscan import pipeline
    from orgscan.cli import running
    from orgscan.models import Clock

    if resume is not None:
        pipeline.check_criteria(resume, frameworks=framework, framework_files=framework_file)
    clock = Clock()
    decisions = pipeline.read_decisions(waivers, carry, settings)
    pipeline.check_decisions(decisions, clock=clock, run=resume)
    cluster = None
    if workers is not None or scheduler is not None:
        cluster = pipeline.Cluster(workers or 0, scheduler or "")
    directory = resume or output or pipeline.default_output(clock)
    with running.observer(quiet=quiet, log_format=log_format) as observer:
        work: Callable[..., Coroutine[Any, Any, None]] = partial(
            pipeline.collect,
            settings,
            directory,
            clock=clock,
            observer=observer,
            cluster=cluster,
            previous=previous,
            decisions=decisions,
        )
        if resume is not None:
            work = partial(
                pipeline.resume,
                settings,
                directory,
                retry_gaps=retry_gaps,
                clock=clock,
                observer=observer,
                cluster=cluster,
            )
        running.collect(lambda stop: work(stop=stop), directory)
        with running.rendering(directory):
            pipeline.render(
                directory,
                clock=clock,
                observer=observer,
                previous=previous,
                frameworks=framework,
                framework_files=framework_file,
                decisions=decisions,
                formats=formats,
            )
    running.conclude(
        directory, fail_on, sign_with=sign_with_kms, publish_to=publish, settings=settings
    )


def check_end_options(
    previous: Path | None,
    sign_with_kms: str | None,
    publish: str | None,
    formats: list[str],
    *,
    directories: list[Path | None],
) -> None:
    """Say before the work begins what would spoil its end; ``directories`` are read or written."""
    if previous is None and sign_with_kms is None and publish is None and not formats:
        return
    from orgscan import pipeline

    pipeline.check_formats(formats)
    pipeline.check_previous(previous)
    pipeline.check_signing_key(sign_with_kms)
    pipeline.check_destination(publish, apart_from=[*directories, previous])


def check_log_format(log_format: str) -> None:
    """Refuse what is neither text nor json."""
    if log_format not in {"text", "json"}:
        message = f"--log-format is text or json, not {log_format!r}"
        raise typer.BadParameter(message)
