"""The credential report's format: parsing, words, and faults. Pure: no frames, no network.

This module is the only owner of the report's words (``N/A``, ``no_information``,
``not_supported``). Collectors check a report on arrival with it; the tables are built from it.

Format: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html,
checked against live reports (UTF-8, line feeds, ``<root_account>`` first, 22 or 23 columns).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from orgscan.errors import IntegrityError
from orgscan.models import ROOT_USER, ReportWord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
"""The columns every report has, in the order of the tables; AWS may reorder or add columns."""
ADDITIONAL = "additional_credentials_info"
"""The 23rd column of AWS's guide, absent from many live reports."""

WORDS = frozenset(word.value for word in ReportWord)
ARN = r"^arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):(?P<resource>root|user/.+)$"
# UTC only, and explicit: a time without a zone could be anybody's local time.
TIME = r"^[12]\d{3}-\d\d-\d\dT([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,6})?(Z|\+00:00)$"
_match_arn = re.compile(ARN, re.ASCII).fullmatch
_is_time_shaped = re.compile(TIME, re.ASCII).fullmatch
_MARK = b"\xef\xbb\xbf"
SETTLING = timedelta(minutes=15)
"""IAM is eventually consistent: a user this young may be missing from a report."""
CHINA = "aws-cn"
_SECOND = len("2026-11-24T13:33:00")


@dataclass(frozen=True, slots=True)
class ReportFault:
    """One thing wrong with a report; ``usable`` says the rest may still be judged."""

    code: str
    reason: str
    usable: bool


@dataclass(frozen=True, slots=True)
class ReportCheck:
    """The result of checking a report on arrival."""

    faults: tuple[ReportFault, ...]
    report: Report

    @property
    def users(self) -> frozenset[str]:
        """The names in the report, root included."""
        return frozenset(row[0] for row in self.report.rows)

    @property
    def usable(self) -> bool:
        """Whether anything in the report may be judged."""
        return all(fault.usable for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Report:
    """A parsed report: rows of cells in the order of :data:`COLUMNS`, not yet typed."""

    rows: list[list[str]] = field(default_factory=list)
    faults: tuple[ReportFault, ...] = ()
    additional: Mapping[str, str] = field(default_factory=dict)
    """By user, the text of :data:`ADDITIONAL` where the report has one: credentials that no other
    column describes."""

    @property
    def usable(self) -> bool:
        """Whether the rows may be judged at all."""
        return all(fault.usable for fault in self.faults)


def inspect_report(content: bytes, account_id: str, partition: str | None = None) -> ReportCheck:
    """Check a report as it is collected, to decide the account's coverage.

    In the partition of China there is no root user row
    (https://github.com/prowler-cloud/prowler/issues/1571), so its absence is no fault there, and
    the report of an account without users is a header only.

    Raises :class:`orgscan.errors.IntegrityError` when an ARN in it is another account's (or,
    where ``partition`` is given, another partition's): such rows must never be stored.
    """
    report = parse(content)
    if not report.usable:
        return ReportCheck(report.faults, report)
    if partition != CHINA and not report.rows:
        reason = "the report has a header only"
        return ReportCheck((ReportFault("ReportWithoutRows", reason, usable=False),), report)
    faults = [*report.faults]
    if partition != CHINA and not any(row[0] == ROOT_USER for row in report.rows):
        reason = f"the report has no {ROOT_USER} row"
        faults.append(ReportFault("ReportWithoutRoot", reason, usable=True))
    faults += _unreadable_rows(report.rows, account_id, partition)
    return ReportCheck(tuple(faults), report)


def names_missing_from_report(
    check: ReportCheck, users: Mapping[str, str], generated_at: datetime
) -> ReportFault | None:
    """A fault where users are listed that the report should contain and does not.

    ``users`` maps the listed users to their CreateDate. A user created more than 15 minutes
    before ``generated_at`` belongs in the report; without it the report was cut between two rows.
    A user whom a row of the same creation time explains was renamed since.
    """
    matched = match(check.report, users)
    latest = generated_at - SETTLING
    missing = sorted(
        name
        for name, created in matched.unreported.items()
        if datetime.fromisoformat(created) < latest and not matched.may_be_renamed(name)
    )
    if not missing:
        return None
    reason = (
        f"the report lacks {len(missing)} {'user' if len(missing) == 1 else 'users'} created "
        f"before it was generated, first {missing[0]!r}"
    )
    return ReportFault("ReportIncomplete", reason, usable=True)


def times_in_the_future(check: ReportCheck, generated_at: datetime) -> ReportFault | None:
    """A fault where a cell is a time later than the report itself, with 15 minutes' margin.

    Such a time is wrong, and would make a credential look younger or more used than it is.
    """
    latest = to_second(generated_at + SETTLING)
    for row in check.report.rows:
        for name, cell in zip(COLUMNS[2:], row[2:], strict=False):
            if cell[:_SECOND] > latest and name in PAST and is_time(cell):
                reason = f"the report gives {cell} as {name} of {row[0]!r}, later than itself"
                return ReportFault("ReportTimeImpossible", reason, usable=True)
    return None


@dataclass(frozen=True, slots=True)
class Matching:
    """Which listed users the rows of a report describe."""

    described: frozenset[str]
    """Listed users with a row."""
    unreported: Mapping[str, str]
    """Listed users without a row, to their creation time."""
    unlisted: Mapping[str, str]
    """Users of the report that are not listed, to their creation time; root is never one."""

    def may_be_renamed(self, name: str) -> bool:
        """Whether rows that are not listed can explain that a listed user has no row.

        A renamed user keeps its creation time. A row that was cut off leaves no other row
        of its second behind.
        """
        second = self.unreported[name][:_SECOND]
        rows, people = (
            [when for when in users.values() if when[:_SECOND] == second]
            for users in (self.unlisted, self.unreported)
        )
        return len(people) <= len(rows)


def match(report: Report, users: Mapping[str, str]) -> Matching:
    """Match the rows of a report with the listed ``users`` (name to CreateDate, ISO 8601 UTC).

    A row describes the user of the same name only if both were created in the same second:
    otherwise the user was deleted and created again since the report, and there are two
    principals. A row whose creation time cannot be read is not judged and goes by its name.
    """
    created = {row[0]: row[2] for row in report.rows if row[0] != ROOT_USER}
    described = frozenset(
        name for name, when in users.items() if name in created and same_second(created[name], when)
    )
    if len(described) == len(users) == len(created):
        return Matching(described, {}, {})
    return Matching(
        described,
        {name: when for name, when in users.items() if name not in described},
        {name: when for name, when in created.items() if name not in described},
    )


def same_second(cell: str, created: str) -> bool:
    """Whether a cell is ``created`` to the second, or no time at all, so that it denies nothing."""
    return cell[:_SECOND] == created[:_SECOND] or _is_time_shaped(cell) is None


def parse(content: bytes) -> Report:
    """Take a report apart by header name; structural faults leave no rows.

    A header only is no fault here: whether a report may have no row depends on the partition.

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
    additional = _additional(header, rows)
    if layout.order:
        rows = [[row[index] for index in layout.order] for row in rows]
    duplicate = _duplicate(rows)
    if duplicate:
        return _unusable("ReportUserDuplicated", f"the report holds user {duplicate!r} twice")
    return Report(rows, tuple(_remarks(content)), additional)


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


def _additional(header: list[str], rows: list[list[str]]) -> dict[str, str]:
    """The filled cells of :data:`ADDITIONAL`, by user."""
    if ADDITIONAL not in header:
        return {}
    index, name = header.index(ADDITIONAL), header.index("user")
    return {row[name]: row[index] for row in rows if row[index] and row[index] not in WORDS}


def _remarks(content: bytes) -> list[ReportFault]:
    if not content.startswith(_MARK) and b"\r" not in content:
        return []
    what = "a byte order mark" if content.startswith(_MARK) else "carriage returns"
    reason = f"the report holds {what}, which AWS never sends: it was rewritten on its way"
    return [ReportFault("ReportRewritten", reason, usable=True)]


def is_time(cell: str) -> bool:
    """Whether a cell is a time as AWS writes it."""
    return _is_time_shaped(cell) is not None and _is_date(cell)


def is_boolean(cell: str) -> bool:
    """Whether a cell is ``true`` or ``false``, in any case."""
    return cell.lower() in {"true", "false"}


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _accepts(name: str) -> Callable[[str], object]:
    """The test for the cells of a column: a value of its type, or one of the report's words."""
    if name.endswith(("_region", "_service")):
        return lambda _cell: True
    is_value = is_boolean if name.endswith(("_active", "_enabled")) else is_time
    return lambda cell: cell in WORDS or is_value(cell)


_ACCEPTS: tuple[Callable[[str], object], ...] = (_match_arn, *map(_accepts, COLUMNS[2:]))
"""Whether a cell can be read, for each column but the user's name."""


def foreign_arn(account_id: str, arn: str) -> IntegrityError:
    """The error for a report row with another account's ARN."""
    return IntegrityError(
        f"the credential report of account {account_id} holds {arn}, "
        "which belongs to another account"
    )


def _unreadable_rows(
    rows: list[list[str]], account_id: str, partition: str | None
) -> list[ReportFault]:
    """The faults that typing the cells would find, at a twentieth of its cost for one report.

    Raises :class:`orgscan.errors.IntegrityError` for an ARN of another account or partition.
    """
    for row in rows:
        owner = _match_arn(row[1])
        if owner is not None and (
            owner["account"] != account_id or partition not in {None, owner["partition"]}
        ):
            raise foreign_arn(account_id, row[1])
    columns = islice(zip(*rows, strict=False), 1, None)
    # Each distinct cell is looked at once: most are one of a few words.
    wrong = [
        {cell for cell in set(column) if not accepts(cell)}
        for accepts, column in zip(_ACCEPTS, columns, strict=False)
    ]
    return [_unreadable_fault(rows, wrong)] if any(wrong) else []


def _unreadable_fault(rows: list[list[str]], wrong: list[set[str]]) -> ReportFault:
    """Count the rows with a cell that is ``wrong`` in its column, and name the first."""
    unreadable = [
        (number, column, cell)
        for number, row in enumerate(rows, start=1)
        for column, cell, refused in zip(COLUMNS[1:], row[1:], wrong, strict=False)
        if cell in refused
    ]
    count = len({number for number, _column, _cell in unreadable})
    first, column, cell = unreadable[0]
    reason = (
        f"{count} {'row' if count == 1 else 'rows'} of the report cannot be read, first row "
        f"{first}, column {column}: {cell!r:.60}"
    )
    return ReportFault("ReportCellUnreadable", reason, usable=True)


def slot_times(row: Sequence[str]) -> list[str]:
    """When the keys in a row's slots were created, ISO 8601 to the second."""
    return [row[index][:_SECOND] for index in _SLOT_TIMES if is_time(row[index])]


def to_second(moment: datetime) -> str:
    """A time in the form of :func:`slot_times`."""
    return moment.isoformat()[:_SECOND]


def denies_password(row: Sequence[str]) -> bool:
    """Whether a row states that there is no console password."""
    return row[COLUMNS.index("password_enabled")].lower() == "false"


def denies_credentials(row: Sequence[str]) -> bool:
    """Whether a row states that there is neither a password nor an active certificate."""
    return all(row[index].lower() == "false" for index in _OTHER_CREDENTIALS)


def states_mfa(row: Sequence[str]) -> bool | None:
    """Whether a row states an MFA device; None where it does not say."""
    cell = row[COLUMNS.index("mfa_active")]
    return cell.lower() == "true" if is_boolean(cell) else None


PAST = frozenset(
    name for name in COLUMNS if name.endswith(("_time", "_used", "_changed", "_rotated", "_date"))
)
"""The columns of times that lie in the past."""
_SLOT_TIMES = tuple(COLUMNS.index(f"access_key_{slot}_last_rotated") for slot in (1, 2))
_OTHER_CREDENTIALS = tuple(
    COLUMNS.index(name) for name in ("password_enabled", "cert_1_active", "cert_2_active")
)
