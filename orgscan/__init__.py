"""Finds long-lived IAM credentials in an AWS organization and judges them by the benchmark.

In a notebook::

    import orgscan

    run = orgscan.open_run("orgscan-runs/2026-09-30T06-00-00Z")
    run.accounts      # coverage first
    run.findings

    run = await orgscan.scan("runs/q3", role_name="OrgScanAudit")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orgscan.runs.history import History
    from orgscan.runs.run import Run

__all__ = ["__version__", "open_history", "open_run", "scan"]


def open_run(path: Path | str) -> Run:
    """Open a finished run for reading; its tables are pandas DataFrames.

    Raises :class:`orgscan.errors.UsageError` where ``path`` holds no finished run.
    """
    from orgscan.runs.run import Run  # noqa: PLC0415

    return Run(path)


def open_history(destination: str, *, profile: str | None = None) -> History:
    """Open the runs published to a directory or ``s3://bucket/prefix``.

    ``open_history("history").table("findings", since=date(2026, 1, 1))`` is a pyarrow dataset.
    ``profile`` is the AWS profile to read S3 with.

    Raises :class:`orgscan.errors.OrgscanError` where it cannot be read.
    """
    from orgscan.pipeline.publish import open_history  # noqa: PLC0415

    return open_history(destination, profile=profile)


async def scan(
    output: Path | str | None = None,
    *,
    config: Path | str | None = None,
    previous: Path | str | None = None,
    waivers: Path | str | None = None,
    carry: Path | str | None = None,
    formats: Sequence[str] = (),
    **options: Any,
) -> Run:
    """Read the organization into the new directory ``output``, judge it, write the reports.

    ``previous`` is an earlier run to compare with, ``waivers`` a file of accepted risks, ``carry``
    an edited workbook to read back, ``formats`` are ``"csv"`` and ``"ocsf"``. ``options`` are any
    other settings by name (``role_name="OrgScanAudit"``, ``publish="history"``), over the
    environment, over the settings file ``config``. Without ``output`` the run goes where the
    settings say, or below ``orgscan-runs``. Progress goes to the logger ``orgscan``.

    Raises :class:`orgscan.errors.OrgscanError`; gaps in coverage are no error, look at
    ``run.accounts`` or ``run.exit_code()``.
    """
    from pathlib import Path  # noqa: PLC0415 - importing orgscan stays quick

    from orgscan.log import RunLog  # noqa: PLC0415
    from orgscan.models import Clock  # noqa: PLC0415
    from orgscan.pipeline import scan as scanning  # noqa: PLC0415
    from orgscan.pipeline.run_plan import RunPlan  # noqa: PLC0415

    clock = Clock()
    plan = RunPlan.for_scan(
        None if config is None else Path(config),
        clock=clock,
        output=output,
        previous=previous,
        waivers=waivers,
        carry=carry,
        formats=formats,
        **options,
    )
    return await scanning.scan(plan, clock=clock, observer=RunLog())
