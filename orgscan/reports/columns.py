"""The columns of the data sheets: order, headings, widths; everything else is from the schema."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orgscan.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CHANGES,
    CREDENTIALS,
    FINDINGS,
    Column,
    Table,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Column of the frame; empty where the column is for the reader to fill."""
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


def changes() -> tuple[SheetColumn, ...]:
    """What became of the findings since the earlier run."""
    return _arranged(
        CHANGES,
        "change severity control_id account_id account_name ou_path user access_key_id detail "
        "previous_status status first_seen_at age_quarters",
    )


def findings(titles: Mapping[str, str]) -> tuple[SheetColumn, ...]:
    """The findings an officer works through, with three columns of their own at the end."""
    arranged = _arranged(
        FINDINGS,
        "severity status control_id account_id account_name ou_path user access_key_id reason "
        "threshold first_seen_at",
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
        _to_fill("Owner", "Who sees to the finding.", 14),
        _to_fill("Due date", "When it is to be settled.", 11, day=True),
        _to_fill("Comment", "What was found, decided or done.", 26),
    )


def _to_fill(name: str, description: str, width: float, *, day: bool = False) -> SheetColumn:
    return SheetColumn(
        heading=name,
        source="",
        type=Type.TIMESTAMP if day else Type.STRING,
        description=f"{description} Left empty for the reader to fill.",
        day=day,
        wrap=not day,
        width=width,
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
