"""The credential report: its structure, its cells, and what is wrong with it.

Format: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html,
checked against live reports (UTF-8, line feeds, ``<root_account>`` first, 22 or 23 columns).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.errors import IntegrityError
from orgscan.models import ROOT_USER
from orgscan.tables import words
from orgscan.tables.typed import strings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_SLOT = ("active", "last_rotated", "last_used_date", "last_used_region", "last_used_service")
COLUMNS: tuple[str, ...] = (
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    *(f"access_key_{slot}_{name}" for slot in (1, 2) for name in _SLOT),
    *(f"cert_{number}_{name}" for number in (1, 2) for name in ("active", "last_rotated")),
)
"""The columns every report has, in the order the tables use; AWS may order or add as it likes."""

_ARN = r"^arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):(?P<resource>root|user/.+)$"
_match_arn = re.compile(_ARN, re.ASCII).fullmatch
_TRUE, _FALSE = pa.scalar(value=True), pa.scalar(value=False)
_MARK = b"\xef\xbb\xbf"
_SETTLING = timedelta(minutes=15)
"""IAM is eventually consistent: a user this young may rightly be absent from a report."""


@dataclass(frozen=True, slots=True)
class ReportFault:
    """One thing wrong with a report; ``usable`` says the rest may still be judged."""

    code: str
    reason: str
    usable: bool


@dataclass(frozen=True, slots=True)
class ReportCheck:
    """What a look at a report found; ``users`` are the names in it, root included."""

    faults: tuple[ReportFault, ...]
    users: frozenset[str]

    @property
    def usable(self) -> bool:
        """Whether anything in the report may be judged."""
        return all(fault.usable for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Report:
    """A report taken apart: rows of cells ordered as :data:`COLUMNS`, not yet typed."""

    rows: list[list[str]] = field(default_factory=list)
    faults: tuple[ReportFault, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the rows may be judged at all."""
        return all(fault.usable for fault in self.faults)


@dataclass(frozen=True, slots=True)
class ReportCells:
    """Typed columns of many reports' rows, by report column name."""

    cells: dict[str, words.Cells]
    unreadable: NDArray[np.bool_]
    """Rows with at least one cell that is neither a value nor a known word."""


def inspect_report(content: bytes, account_id: str, partition: str | None = None) -> ReportCheck:
    """Look at a report as it is collected, to decide the account's coverage.

    Raises :class:`orgscan.errors.IntegrityError` when an ARN in it is another account's (or,
    where ``partition`` is given, another partition's): such rows must never be stored.
    """
    report = parse(content)
    if not report.usable:
        return ReportCheck(report.faults, frozenset())
    faults = (*report.faults, *_unreadable_rows(report.rows, account_id, partition))
    return ReportCheck(faults, frozenset(row[0] for row in report.rows))


def names_missing_from_report(
    check: ReportCheck, users: bytes, generated_at: datetime
) -> ReportFault | None:
    """A fault where the live listing knows users the report should know and does not.

    ``users`` is the evidence of kind ``users``. A user created more than 15 minutes before
    ``generated_at`` belongs in the report; without it the report was cut between two rows.
    """
    latest = generated_at - _SETTLING
    missing = sorted(
        str(user["UserName"])
        for user in json.loads(users)
        if user["UserName"] not in check.users and _created(user) < latest
    )
    if not missing:
        return None
    reason = (
        f"the report lacks {len(missing)} {'user' if len(missing) == 1 else 'users'} created "
        f"before it was generated, first {missing[0]!r}"
    )
    return ReportFault("ReportIncomplete", reason, usable=True)


def _created(user: dict[str, str]) -> datetime:
    return datetime.fromisoformat(user["CreateDate"])


def parse(content: bytes) -> Report:
    """Take a report apart by header name; structural faults leave no rows.

    Unknown columns are ignored and order does not matter. A byte order mark or carriage returns
    are no reason to refuse, but AWS sends neither, so something rewrote the bytes.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unusable("ReportNotUtf8", f"byte {error.start} of the report is not UTF-8")
    if not text.strip():
        return _unusable("ReportEmpty", "the report is empty")
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        return _unusable("ReportNotCsv", f"the report is not well-formed CSV ({error})")
    layout = _layout(tuple(header))
    fault = layout.fault or _row_fault(header, rows)
    if fault:
        return Report(faults=(fault,))
    if layout.order:
        rows = [[row[place] for place in layout.order] for row in rows]
    duplicate = _duplicate(rows)
    if duplicate:
        return _unusable("ReportUserDuplicated", f"the report holds user {duplicate!r} twice")
    return Report(rows, tuple(_remarks(content, rows)))


def _unusable(code: str, reason: str) -> Report:
    return Report(faults=(ReportFault(code, reason, usable=False),))


class _Layout(NamedTuple):
    """What a header says: where the columns are (empty: as in :data:`COLUMNS`), or its fault."""

    order: tuple[int, ...] = ()
    fault: ReportFault | None = None


@lru_cache(maxsize=8)
def _layout(header: tuple[str, ...]) -> _Layout:
    """All reports of a run have the same header, or one of a few."""
    known = Counter(header)
    for name in COLUMNS:
        if known[name] != 1:
            what = "lacks" if not known[name] else "repeats"
            reason = f"the report {what} the column {name}"
            return _Layout(fault=ReportFault("ReportColumnMissing", reason, usable=False))
    if header[: len(COLUMNS)] == COLUMNS:
        return _Layout()
    return _Layout(tuple(header.index(name) for name in COLUMNS))


def _row_fault(header: list[str], rows: list[list[str]]) -> ReportFault | None:
    if not rows:
        return ReportFault("ReportWithoutRows", "the report has a header only", usable=False)
    width, name_at = len(header), header.index("user")
    for number, row in enumerate(rows, start=1):
        if len(row) != width or not row[name_at]:
            reason = f"row {number} of the report has {len(row)} cells, the header {width}"
            if len(row) == width:
                reason = f"row {number} of the report names no user"
            return ReportFault("ReportRowMalformed", reason, usable=False)
    return None


def _duplicate(rows: list[list[str]]) -> str | None:
    if len({row[0] for row in rows}) == len(rows):
        return None
    return Counter(row[0] for row in rows).most_common(1)[0][0]


def _remarks(content: bytes, rows: list[list[str]]) -> list[ReportFault]:
    found = []
    if content.startswith(_MARK) or b"\r" in content:
        what = "a byte order mark" if content.startswith(_MARK) else "carriage returns"
        reason = f"the report holds {what}, which AWS never sends: it was rewritten on its way"
        found.append(ReportFault("ReportRewritten", reason, usable=True))
    if not any(row[0] == ROOT_USER for row in rows):
        reason = f"the report has no {ROOT_USER} row"
        found.append(ReportFault("ReportWithoutRoot", reason, usable=True))
    return found


def _form(name: str) -> words.Form:
    if name.endswith(("_active", "_enabled")):
        return words.BOOLEANS
    return words.TEXTS if name.endswith(("_region", "_service")) else words.TIMES


_FORMS: dict[str, words.Form] = {name: _form(name) for name in COLUMNS[2:]}
_ACCEPTS: tuple[Callable[[str], object], ...] = (
    _match_arn,
    *(form.accepts for form in _FORMS.values()),
)
"""Whether a cell can be read, for each column but the user's name."""


def read_cells(
    rows: Sequence[Sequence[str]], account_ids: pa.Array, partition: str | None = None
) -> ReportCells:
    """Type the rows of one or many reports at once; ``account_ids`` is aligned with ``rows``.

    Raises :class:`orgscan.errors.IntegrityError` for an ARN of another account or partition.
    """
    columns = zip(*rows, strict=False) if rows else ([] for _ in COLUMNS)
    raw = {name: strings(column) for name, column in zip(COLUMNS, columns, strict=False)}
    cells = {name: form.read(raw[name]) for name, form in _FORMS.items()}
    cells["arn"] = _read_arns(raw["arn"], account_ids, partition)
    unreadable = np.zeros(len(rows), dtype=np.bool_)
    for column in cells.values():
        unreadable |= column.unreadable
    return ReportCells(cells, unreadable)


def _read_arns(arns: pa.Array, account_ids: pa.Array, partition: str | None) -> words.Cells:
    parts = pc.extract_regex(arns, _ARN)
    foreign = pc.not_equal(parts.field("account"), account_ids)
    if partition is not None:
        foreign = pc.or_(foreign, pc.not_equal(parts.field("partition"), partition))
    foreign = pc.and_(foreign.fill_null(_FALSE), parts.is_valid())
    if pc.any(foreign).as_py():
        place = pc.index(foreign, value=_TRUE).as_py()
        raise _foreign(str(account_ids[place]), str(arns[place]))
    unreadable = ~np.asarray(parts.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return words.Cells(arns, pa.nulls(len(arns), pa.large_string()), unreadable)


def _foreign(account_id: str, arn: str) -> IntegrityError:
    return IntegrityError(
        f"the credential report of account {account_id} holds {arn}, "
        "which belongs to another account"
    )


def _unreadable_rows(
    rows: list[list[str]], account_id: str, partition: str | None
) -> list[ReportFault]:
    """What :func:`read_cells` would find in one report, without the cost of setting it up.

    Raises :class:`orgscan.errors.IntegrityError` as it does.
    """
    for row in rows:
        owner = _match_arn(row[1])
        if owner is not None and (
            owner["account"] != account_id or partition not in {None, owner["partition"]}
        ):
            raise _foreign(account_id, row[1])
    columns = islice(zip(*rows, strict=False), 1, None)
    # Each distinct cell is looked at once: most are one of a few words.
    wrong = [
        {cell for cell in set(column) if not accepts(cell)}
        for accepts, column in zip(_ACCEPTS, columns, strict=False)
    ]
    return [_unreadable_fault(rows, wrong)] if any(wrong) else []


def _unreadable_fault(rows: list[list[str]], wrong: list[set[str]]) -> ReportFault:
    """Count the rows with a cell that is ``wrong`` in its column, and name the first."""
    found = [
        (number, column, cell)
        for number, row in enumerate(rows, start=1)
        for column, cell, refused in zip(COLUMNS[1:], row[1:], wrong, strict=False)
        if cell in refused
    ]
    count = len({number for number, _column, _cell in found})
    first, column, cell = found[0]
    reason = (
        f"{count} {'row' if count == 1 else 'rows'} of the report cannot be read, first row "
        f"{first}, column {column}: {cell!r:.60}"
    )
    return ReportFault("ReportCellUnreadable", reason, usable=True)
