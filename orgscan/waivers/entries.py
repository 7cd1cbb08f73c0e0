"""What officers typed: waivers, and entries beside findings; read, checked and summed up."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orgscan import frames
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.due import DueDates
from orgscan.controls.identity import is_id_of
from orgscan.errors import UsageError
from orgscan.models import Status
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.settings import Settings
from orgscan.text import and_more
from orgscan.thresholds import DueDays
from orgscan.waivers.apply import check
from orgscan.waivers.fields import assemble
from orgscan.waivers.files import content, read
from orgscan.waivers.guard import WORKBOOK_LIMITS
from orgscan.waivers.sheets import read_back
from orgscan.waivers.waiver import State, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from orgscan.models import Clock, HumanEntry
    from orgscan.runs.manifest import Manifest
    from orgscan.waivers.apply import Result
    from orgscan.waivers.waiver import Waiver

LISTED = (Status.FAIL, Status.UNKNOWN, Status.WAIVED)
"""The results that the Findings sheet lists, each with room for an entry."""

_CODE_POINT = re.compile(r"\[U\+((?:10|[0-9A-F])?[0-9A-F]{4})\]")
_NAMED = 50
"""Waivers a note names; the Waivers sheet names them all."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file decisions came from."""

    file: str
    """Its name, without the directory."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Waivers and human entries, read and found good; and what due dates follow from."""

    waivers: tuple[Waiver, ...] = ()
    source: Source | None = None
    """Where the waivers came from."""
    entries: tuple[HumanEntry, ...] = ()
    carried: Source | None = None
    """The workbook the entries came from."""
    notes: tuple[str, ...] = ()
    max_days: int | None = None
    """Longest a waiver may last; None: as the run's settings say. Likewise ``due_days``."""
    due_days: DueDays | None = None

    def due_dates(self, as_of: datetime, days: Mapping[str, int]) -> DueDates:
        """When findings are due, by ``days`` by severity and the dates among the entries."""
        agreed = {entry.finding_id: entry.due for entry in self.entries if entry.due is not None}
        return DueDates(as_of, days, agreed)

    def following(self, renamed: Mapping[str, tuple[str, str]]) -> Decisions:
        """The same, with entries at the id and key id their findings have now, by the id then."""

        def moved(entry: HumanEntry) -> HumanEntry:
            if entry.finding_id not in renamed:
                return entry
            finding_id, key_id = renamed[entry.finding_id]
            return replace(entry, finding_id=finding_id, access_key_id=key_id)

        return replace(self, entries=tuple(map(moved, self.entries)))


def read_decisions(
    waivers_file: Path | None, carry: Path | None, settings: Settings | None = None
) -> Decisions:
    """Read ``--waivers`` and ``--carry``; without ``settings`` those of the run will hold.

    The waivers of a file go before the Waivers sheet of a workbook: the sheet is read all the
    same, and what it alone holds is noted.

    Raises :class:`orgscan.errors.UsageError`: one line with file, place and remedy.
    """
    known = [control.id for control in CATALOGUE]
    given = None if waivers_file is None else read(waivers_file, controls=known)
    book = None if carry is None else read_back(carry, content(carry, WORKBOOK_LIMITS.file))
    sheet = [] if book is None else assemble(book.drafts, known)
    carried = None if book is None else Source(book.file, book.sha256)
    if given is None:
        chosen, source = tuple(sheet), carried if sheet else None
    else:
        chosen, source = given.waivers, Source(given.file, given.sha256)
    return Decisions(
        waivers=chosen,
        source=source,
        entries=() if book is None else book.entries,
        carried=carried,
        notes=tuple(_left_in_sheet(chosen, sheet, source, carried)),
        max_days=None if settings is None else settings.waiver_max_days,
        due_days=None if settings is None else settings.due_days,
    )


def _left_in_sheet(
    chosen: Iterable[Waiver],
    sheet: Iterable[Waiver],
    source: Source | None,
    carried: Source | None,
) -> list[str]:
    held = {waiver.id for waiver in chosen}
    left = [waiver.id for waiver in sheet if waiver.id not in held]
    if not left or source is None or carried is None:
        return []
    here, there = carried.file, source.file
    return [f"Waivers that are only in {here} and not in {there} do not apply: {_named(left)}."]


def check_decisions(decisions: Decisions, *, clock: Clock, run: Path | None = None) -> None:
    """Check, before anything is read, what depends on the as-of time: that of ``run`` or now.

    Raises :class:`orgscan.errors.UsageError` for a waiver that lasts too long, and for an entry
    that does not belong to its finding.
    """
    as_of, max_days = clock.now(), decisions.max_days
    if run is not None:
        with EvidenceStore.read(run / rundir.EVIDENCE) as store:
            as_of = store.info.as_of
            max_days = max_days or stored_max_days(store.info.settings)
            check_entries(decisions.entries, store.info.organization.id)
    check(decisions.waivers, as_of=as_of, max_days=max_days or stored_max_days({}))


def check_entries(entries: Iterable[HumanEntry], organization_id: str) -> None:
    """Hold what each row tells of its finding to the finding's id.

    Rows sorted in part keep their ids but not their owners. Raises
    :class:`orgscan.errors.UsageError` naming sheet and row.
    """
    for entry in entries:
        if not _is_its_own(entry, organization_id):
            raise UsageError(
                f"{entry.place}: finding ID {entry.finding_id} does not belong to "
                f"{_about(entry)} in {organization_id}. The sheet may be partly "
                "sorted or edited, or the workbook may belong to another organization. Enter "
                "the values again in the original workbook"
            )


def _is_its_own(entry: HumanEntry, organization_id: str) -> bool:
    # The workbook shows the code points of characters that do not belong in a cell.
    meant = _CODE_POINT.sub(lambda match: chr(int(match[1], 16)), entry.user)
    return any(
        is_id_of(
            entry.finding_id,
            organization_id=organization_id,
            control_id=entry.control_id,
            account_id=entry.account_id,
            user=user,
            access_key_id=entry.access_key_id,
        )
        for user in dict.fromkeys((entry.user, meant))
    )


def _about(entry: HumanEntry) -> str:
    """What the row says its finding is about; the texts are from a file and may be anything."""
    resource = {
        "account": entry.account_id,
        "user": entry.user,
        "access key": entry.access_key_id,
    }
    parts = [f"{noun} {value!r:.70}" for noun, value in resource.items() if value]
    return f"{entry.control_id!r:.50} for {', '.join(parts) or 'no account'}"


def stored_max_days(settings: Mapping[str, Any]) -> int:
    """The longest a waiver may last by the settings of a run; older runs have the default."""
    default = Settings.model_fields["waiver_max_days"].default
    return int(settings.get("waiver_max_days", default))


def stored_due_days(settings: Mapping[str, Any]) -> DueDays:
    """The days to settle findings in by the settings of a run; older runs have the defaults."""
    return DueDays(**settings.get("due_days", {}))


def waiver_notes(results: Sequence[Result], accounts: pd.DataFrame) -> list[str]:
    """What must be lines of waivers, by name: what did not hold, and what held too widely."""
    expired = [result for result in results if result.state is State.EXPIRED]
    early = [result for result in results if result.state is State.NOT_YET_VALID]
    idle = [result for result in results if result.state is State.IN_FORCE and not result.failing]
    broad = [result for result in results if result.over_broad and result.state is State.IN_FORCE]
    notes = {
        "Waivers expired": [
            f"{result.waiver.id} ({moment(result.waiver.expires)}, {result.failing} FAIL open)"
            for result in expired
        ],
        "Waivers not yet valid": [
            f"{result.waiver.id} (from {_start(result.waiver)}, {result.failing} FAIL open)"
            for result in early
        ],
        "Waivers that match no FAIL": [
            f"{result.waiver.id} ({_why_idle(result, accounts)})" for result in idle
        ],
        "Over-broad waivers that apply": [
            f"{result.waiver.id} ({result.failing} FAIL of {result.matched} results)"
            for result in broad
        ],
        "Self-approved waivers": [
            f"{result.waiver.id} ({result.waiver.owner})"
            for result in results
            if result.waiver.is_self_approved
        ],
    }
    lines = [f"{what}: {_named(names)}." for what, names in notes.items() if names]
    if any(result.waiver.tag for result in results) and accounts["tags"].isna().all():
        lines.append(
            "Waivers use tags, but the run has none: set account_tags = true and scan again."
        )
    return lines


def _why_idle(result: Result, accounts: pd.DataFrame) -> str:
    account = result.waiver.account
    if account and not (accounts["account_id"] == account).any():
        return f"account {account} has left the organization"
    return f"{result.matched} other results"


def _start(waiver: Waiver) -> str:
    return "" if waiver.start is None else moment(waiver.start)


def _named(names: Sequence[str]) -> str:
    return and_more(names, _NAMED, ", see the Waivers sheet")


def forgotten(decisions: Decisions, manifest: Manifest | None) -> list[str]:
    """What the run was reported with before and is not this time."""
    if manifest is None:
        return []
    cases = (
        (manifest.waivers, "--waivers", decisions.source),
        (manifest.carried, "--carry", decisions.carried),
    )
    return [
        f"Earlier reports of this run used {before.file}; give {option} again."
        for before, option, now in cases
        if before is not None and now is None
    ]


def is_listed(findings: pd.DataFrame) -> NDArray[np.bool_]:
    """Where the Findings sheet lists a finding."""
    return frames.among(findings["status"], [status.value for status in LISTED])


def unlisted(findings: Iterable[pd.DataFrame], entries: Sequence[HumanEntry]) -> list[HumanEntry]:
    """The entries whose finding the Findings sheet does not list; findings may come in pieces."""
    if not entries:
        return []
    wanted, listed = [entry.finding_id for entry in entries], set[str]()
    for piece in findings:
        ids = piece["finding_id"]
        listed.update(ids[is_listed(piece) & frames.among(ids, wanted)])
    return [entry for entry in entries if entry.finding_id not in listed]


def entry_notes(decisions: Decisions, left: Sequence[HumanEntry]) -> list[str]:
    """What became of entries whose finding is no longer listed: those that are ``left``."""
    if not left or decisions.carried is None:
        return []
    note = (
        f"{len(left)} of {len(decisions.entries)} entries of {decisions.carried.file} belong to "
        "findings that are no longer listed; they are kept on the sheet Earlier entries."
    )
    return [note]
