"""The columns of the data sheets: order, headings, widths; everything else is from the schema."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orgscan.models import Change
from orgscan.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CHANGES,
    CREDENTIALS,
    FINDINGS,
    SERVICE_CREDENTIALS,
    Column,
    Table,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from orgscan.controls.due import DueDates
    from orgscan.models import HumanEntry

_WORDS = {"id": "id", "arn": "ARN", "ou": "OU", "mfa": "MFA", "sha256": "SHA-256"}
_HEADINGS = {
    "account_email": "Account e-mail",
    "age_days": "Age (days)",
    "age_quarters": "Age (quarters)",
    "as_of": "As of (UTC)",
    "control_id": "Control",
    "duration_seconds": "Duration (seconds)",
    "idle_days": "Idle (days)",
    "is_management": "Management account",
    "is_root": "Root user",
    "missing": "Evidence missing",
    "ou_id": "Organizational unit id",
    "ou_path": "Organizational unit",
    "slot": "Report slot",
    "threshold": "Limit",
}
_WRAPPED = {"reason": 42.0, "detail": 42.0}
_WIDEST = {"account_name": 20.0, "ou_path": 28.0, "user": 28.0}
_BADGES = {"change", "coverage", "previous_status", "severity", "status"}
_TIME_WIDTH = 19.0


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """One column of a data sheet."""

    heading: str
    source: str
    """Column of the frame; empty where there is none."""
    type: Type
    description: str
    unit: str = ""
    parquet: str = ""
    """``table.column`` of the Parquet file that holds the same values."""
    detail: bool = False
    """Folded behind the [+] above the sheet, and not printed."""
    wrap: bool = False
    badge: bool = False
    day: bool = False
    """A date without a time."""
    timed: bool = False
    """Where ``day``: shown with its time all the same."""
    fill: bool = False
    """For the reader to fill or change."""
    prose: bool = False
    """Text that keeps its line breaks."""
    derive: Callable[[pd.DataFrame], pd.Series] | None = field(default=None, repr=False)
    """What computes the column from rows of the frame, where ``source`` is empty."""
    width: float | None = None
    """None: as wide as the values ask for, up to ``widest``."""
    widest: float = 44.0
    lookup: Mapping[str, str] | None = field(default=None, repr=False)


def heading(name: str) -> str:
    """The heading of a schema column in plain words: ``created_at`` is ``Created (UTC)``."""
    if name in _HEADINGS:
        return _HEADINGS[name]
    stem = name.removesuffix("_at")
    words = " ".join(_WORDS.get(word, word) for word in stem.split("_"))
    words = words.replace("cert ", "certificate ")
    return words[0].upper() + words[1:] + (" (UTC)" if stem != name else "")


def _from_schema(table: Table, column: Column) -> SheetColumn:
    return SheetColumn(
        heading=heading(column.name),
        source=column.name,
        type=column.type,
        description=column.description,
        unit=column.unit,
        parquet=f"{table.name}.{column.name}",
        wrap=column.name in _WRAPPED,
        badge=column.name in _BADGES,
        width=_TIME_WIDTH if column.type is Type.TIMESTAMP else _WRAPPED.get(column.name),
        widest=_WIDEST.get(column.name, 44.0),
    )


def _arranged(table: Table, first: str, last: str = "") -> tuple[SheetColumn, ...]:
    """The schema's columns, those named in front and behind; the rest folded between them."""
    columns = {column.name: _from_schema(table, column) for column in table}
    front, back = first.split(), last.split()
    folded = [name for name in columns if name not in {*front, *back}]
    return (
        *(columns[name] for name in front),
        *(replace(columns[name], detail=True) for name in folded),
        *(columns[name] for name in back),
    )


def coverage() -> tuple[SheetColumn, ...]:
    """The accounts table."""
    return _arranged(
        ACCOUNTS,
        "account_id account_name ou_path state is_management coverage reason missing users "
        "access_keys report_generated_at",
    )


def users() -> tuple[SheetColumn, ...]:
    """The credentials table."""
    return _arranged(
        CREDENTIALS,
        "account_id account_name ou_path user is_root source user_created_at password_enabled "
        "password_last_used_at mfa_active active_access_keys access_key_1_active "
        "access_key_1_last_rotated_at access_key_1_last_used_at access_key_2_active "
        "access_key_2_last_rotated_at access_key_2_last_used_at report_generated_at",
    )


def access_keys() -> tuple[SheetColumn, ...]:
    """The access keys table."""
    return _arranged(
        ACCESS_KEYS,
        "account_id account_name ou_path user access_key_id status match created_at age_days "
        "last_used_at idle_days last_used_service last_used_region report_generated_at",
    )


def service_credentials() -> tuple[SheetColumn, ...]:
    """The service credentials table."""
    return _arranged(
        SERVICE_CREDENTIALS,
        "account_id account_name ou_path user credential_id service status created_at age_days "
        "expires_at",
    )


def changes() -> tuple[SheetColumn, ...]:
    """How the findings changed since the earlier run; people read the label of each change."""
    change, *others = _arranged(
        CHANGES,
        "change severity control_id account_id account_name ou_path user access_key_id detail "
        "previous_status status first_seen_at age_quarters",
    )
    labelled = replace(
        change,
        description="How the finding changed since the earlier run.",
        lookup={kind.value: kind.label for kind in Change},
    )
    return (labelled, *others)


def findings(
    titles: Mapping[str, str],
    due: DueDates | None = None,
    entries: Sequence[HumanEntry] = (),
) -> tuple[SheetColumn, ...]:
    """The findings an officer works through, with three columns of their own at the end."""
    arranged = _arranged(
        FINDINGS,
        "severity status waiver_id control_id account_id account_name ou_path user access_key_id "
        "reason threshold first_seen_at",
    )
    title = SheetColumn(
        heading="Control title",
        source="control_id",
        type=Type.STRING,
        description="What the control asks, in a few words.",
        wrap=True,
        width=32,
        lookup=titles,
    )
    place = 1 + [column.source for column in arranged].index("control_id")
    return (
        *arranged[:place],
        title,
        *arranged[place:],
        *_dates(due),
        *_typed(entries),
    )


def _dates(due: DueDates | None) -> tuple[SheetColumn, ...]:
    """The computed due date, and whether a FAIL is overdue."""
    due_by = SheetColumn(
        heading="Due by",
        source="",
        type=Type.TIMESTAMP,
        description="The day, in UTC, by which a FAIL is to be settled: the day it was first "
        "seen plus the days its severity gives.",
        day=True,
        width=11,
        derive=None if due is None else due.computed,
    )

    overdue = SheetColumn(
        heading="Overdue",
        source="",
        type=Type.STRING,
        description="Yes where the due date has passed: the one filled in, else the computed one.",
        badge=True,
        width=11,
        derive=None if due is None else due.marks,
    )
    return due_by, overdue


def _typed(entries: Sequence[HumanEntry]) -> tuple[SheetColumn, ...]:
    """The columns the reader fills, with what was filled in before."""
    columns = (
        _to_fill("Owner", "Who sees to the finding.", 14),
        _to_fill("Due date", "When it is to be settled, if not then.", 11, day=True),
        _to_fill("Comment", "What was found, decided or done.", 26),
    )
    if not entries:
        return columns
    names = ("owner", "due", "comment")
    held = ({one.finding_id: getattr(one, name) or None for one in entries} for name in names)
    return tuple(
        replace(column, derive=_by_finding(values))
        for column, values in zip(columns, held, strict=True)
    )


def _by_finding(values: Mapping[str, object]) -> Callable[[pd.DataFrame], pd.Series]:
    def derive(frame: pd.DataFrame) -> pd.Series:
        found: pd.Series = frame["finding_id"].astype(object).map(values)
        return found

    return derive


def earlier_entries() -> tuple[SheetColumn, ...]:
    """What was typed beside findings that are no longer listed; read back like Findings."""
    about = {
        "finding_id": ("Finding id", "The finding it was typed beside."),
        "control_id": ("Control", "The control that was judged."),
        "account_id": ("Account id", "The account."),
        "user": ("User", "The user judged; empty for controls on the account."),
        "access_key_id": ("Access key id", "The key judged, where the control is about a key."),
    }
    columns = (plain(name, text) for name, text in about.values())
    typed = (_to_fill("Owner", "Who saw to it.", 14), *_typed(())[1:])
    return (
        *(replace(one, source=name) for one, name in zip(columns, about, strict=True)),
        *(
            replace(one, source=name)
            for one, name in zip(typed, ("owner", "due", "comment"), strict=True)
        ),
    )


_WAIVER_TEXTS = {
    "id": ("Id", "Name of the waiver; findings tell it.", 12.0),
    "control": ("Control", "Control ids with commas between them, or * for every control.", 28.0),
    "account": ("Account", "Only this account: its 12 digits.", 15.0),
    "ou": ("OU", "Only below this organizational unit, as in Root/Workloads/Prod.", 24.0),
    "user": ("User", "Only users of this name; * and ? stand for any characters.", 18.0),
    "access_key_id": ("Access key id", "Only this access key.", 23.0),
    "tag": ("Tag", "Only accounts with this tag: KEY=VALUE.", 16.0),
    "owner": ("Owner", "Who answers for the risk.", 16.0),
    "reason": ("Reason", "Why it is accepted.", 36.0),
    "ticket": ("Ticket", "Where it was decided.", 14.0),
    "approved_by": ("Approved by", "Who accepted it.", 16.0),
}
_WAIVER_DATES = {
    "start": ("Start", "From this day on, 00:00 UTC; empty: at once."),
    "expires": ("Expires", "No longer from this day on, 00:00 UTC. Required."),
}
_PROSE = {"owner", "reason", "ticket", "approved_by"}


def waivers(*, timed: bool = False) -> tuple[SheetColumn, ...]:
    """The waivers, for the reader to change and add to; ``timed`` where dates have times."""
    texts = [
        replace(plain(name, description, width), source=source, fill=True, prose=source in _PROSE)
        for source, (name, description, width) in _WAIVER_TEXTS.items()
    ]
    dates = [
        replace(_to_fill(name, description, 19 if timed else 12, day=True), source=source)
        for source, (name, description) in _WAIVER_DATES.items()
    ]
    state = "Where the as-of time lies in its life; filled in by orgscan."
    return (
        *texts,
        *(replace(date, timed=timed) for date in dates),
        replace(plain("State", state, 14), source="state", badge=True),
        _count("FAIL matched", "fail_matched", "FAIL results in its scope, before waiving."),
        _count("All matched", "all_matched", "Results of any status in its scope."),
        replace(
            plain(
                "Over-broad",
                "Yes where it reaches every account or every user that its controls judged.",
                11,
            ),
            source="over_broad",
            badge=True,
        ),
        replace(
            plain("Self-approved", "Yes where the owner approved the waiver.", 14),
            source="self_approved",
            badge=True,
        ),
    )


def _count(name: str, source: str, description: str) -> SheetColumn:
    text = f"{description} Filled in by orgscan."
    return SheetColumn(name, source, Type.INTEGER, text, "results", width=11)


def _to_fill(name: str, description: str, width: float, *, day: bool = False) -> SheetColumn:
    return SheetColumn(
        heading=name,
        source="",
        type=Type.TIMESTAMP if day else Type.STRING,
        description=f"{description} For the reader to fill.",
        day=day,
        wrap=not day,
        width=width,
        fill=True,
        prose=not day,
    )


def plain(name: str, description: str, width: float | None = None) -> SheetColumn:
    """A column of text that no Parquet file holds."""
    return SheetColumn(
        heading=name,
        source=name,
        type=Type.STRING,
        description=description,
        wrap=width is not None,
        badge=name == "Severity",
        width=width,
    )
