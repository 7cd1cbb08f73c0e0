"""A finished run into the history of many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.errors import RunError, UsageError
from orgscan.files import locked
from orgscan.runs import history
from orgscan.runs.manifest import Manifest, load
from orgscan.runs.rundir import MANIFEST
from orgscan.schema import LATER_TABLES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orgscan.models import Credentials, Observer
    from orgscan.settings import Settings


def check_destination(text: str | None, *, apart_from: Iterable[Path | None] = ()) -> None:
    """Raise :class:`orgscan.errors.UsageError` for what cannot hold a history.

    That is what is no address, a directory that cannot be written, and one in a run directory:
    ``apart_from`` are those the command has to do with.
    """
    if text is None:
        return
    target = history.Destination.parse(text)
    target.check_apart(filter(None, apart_from))
    target.check_writable()


def publish(
    run: Path,
    destination: str,
    *,
    observer: Observer,
    settings: Settings | None = None,
) -> None:
    """Add the tables of the finished run in ``run`` to the history at ``destination``.

    ``settings`` name the AWS profile, and how long signing in to AWS may take.

    Raises :class:`orgscan.errors.RunError` where it cannot: the run is finished nonetheless,
    and whole, only not published.
    """
    target = history.Destination.parse(destination)
    observer.phase("Publishing")
    try:
        target.check_apart([run])
        credentials = _credentials(
            target,
            None if settings is None else settings.profile,
            None if settings is None else settings.call_timeout_seconds,
        )
    except UsageError as error:
        raise RunError(f"{run}: the run is complete but was not published: {error}") from None
    with locked(run, shared=True):
        manifest = Manifest.of(load(run), run / MANIFEST)
        snapshot = history.Snapshot(
            run_id=manifest.run_id,
            organization_id=manifest.organization_id,
            as_of=manifest.as_of,
            files={
                table.name: run / f"{table.name}.parquet"
                for table in TABLES
                if f"{table.name}.parquet" in manifest.files or table.name not in LATER_TABLES
            },
        )
        history.publish(snapshot, target, credentials)


def open_history(destination: str, *, profile: str | None = None) -> history.History:
    """The runs published at ``destination``.

    Raises :class:`orgscan.errors.UsageError` and :class:`orgscan.errors.RunError`.
    """
    target = history.Destination.parse(destination)
    return history.History(target, _credentials(target, profile))


def _credentials(
    target: history.Destination, profile: str | None, timeout: float | None = None
) -> Credentials | None:
    """Whoever scans also publishes: pyarrow's own chain would not know the profile."""
    if target.is_local:
        return None
    from orgscan.aws.caller import caller_credentials  # noqa: PLC0415 - the SDK takes its time

    return caller_credentials(profile, timeout=timeout)
