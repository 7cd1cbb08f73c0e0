"""The fields of a waiver: what may stand in each, and what is said where it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, NoReturn

from orgscan.errors import UsageError
from orgscan.text import suggestion
from orgscan.waivers.waiver import EVERY_CONTROL, Waiver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FIELDS = (
    "id",
    "control",
    "account",
    "ou",
    "user",
    "access_key_id",
    "tag",
    "owner",
    "reason",
    "ticket",
    "approved_by",
    "start",
    "expires",
)
REQUIRED = ("id", "control", "owner", "reason", "approved_by", "expires")
_PROSE = ("owner", "reason", "ticket", "approved_by")
_CONTENT = tuple(name for name in FIELDS if name not in {"id", "control"})

LONGEST_TEXT = 4_000
"""Characters of a reason, a comment and the like."""
_EXACT_INTEGER = 10**15
"""Excel keeps 15 digits of a number; what is longer has been rounded."""
_YEARS = range(2000, 2200)

_SMART_QUOTES = re.compile("[\u2018-\u201f\u2039\u203a\u00ab\u00bb\u00b4`]")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ID = re.compile(r"[A-Za-z0-9][\w./:#-]{0,63}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_MANGLED = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+", re.ASCII)
_USER = re.compile(r"[\w+=,.@*?!\[\]-]+|<root_account>", re.ASCII)
_KEY = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)
_UNIT_ID = re.compile(r"(?:ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})(?:/|\Z)")
_TAG = re.compile(r"[^=]+=.*")
_DATE_LIKE = "write it like 2026-12-31 or 2026-12-31T18:00:00Z"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as a file holds it, and where."""

    value: object
    place: str

    def refuse(self, text: str) -> NoReturn:
        """Raise :class:`orgscan.errors.UsageError` with the place in front."""
        raise UsageError(f"{self.place}: {text}")

    @property
    def is_blank(self) -> bool:
        """Whether nothing was given."""
        return self.value is None or (isinstance(self.value, str) and not self.value.strip())


@dataclass(frozen=True, slots=True)
class Draft:
    """A waiver as one row or table of a file gives it: cells by field, and the row's place."""

    cells: Mapping[str, Cell]
    place: str

    def get(self, name: str) -> Cell:
        """The cell of a field; a blank one where the file has none."""
        return self.cells.get(name) or Cell(None, f"{self.place}, {name}")


@dataclass(slots=True)
class _Gathered:
    """Rows of one id on their way to one waiver."""

    id: str
    draft: Draft
    content: dict[str, object]
    controls: list[str] = field(default_factory=list)


def known_field(cell: Cell, name: str, among: Collection[str] = FIELDS) -> str:
    """``name`` where it is a field; refused with a suggestion otherwise."""
    if name not in among:
        hint = suggestion(name, among, f"the fields are {', '.join(FIELDS)}")
        cell.refuse(f"unknown field {name!r:.60}; {hint}")
    return name


def assemble(drafts: Iterable[Draft], controls: Sequence[str]) -> list[Waiver]:
    """Waivers from what files hold. Rows that differ in nothing but the control are one waiver.

    ``controls`` are the ids known. Raises :class:`orgscan.errors.UsageError` naming the place.
    """
    gathered: dict[str, _Gathered] = {}
    for draft in drafts:
        _require(draft)
        waiver_id = _identity(draft.get("id"))
        content: dict[str, object] = {name: _READ[name](draft.get(name)) for name in _CONTENT}
        named = control_ids(draft.get("control"), controls)
        # People, and some spreadsheet programs, take ids in another case for the same.
        known = gathered.setdefault(waiver_id.lower(), _Gathered(waiver_id, draft, content))
        if waiver_id != known.id:
            draft.get("id").refuse(
                f"{waiver_id} and {known.id} ({known.draft.place}) differ only in case; use "
                "the same spelling for one waiver, or another ID for a second one"
            )
        if content != known.content or set(named) & set(known.controls):
            draft.get("id").refuse(
                f"{waiver_id} is already used ({known.draft.place}); use another ID "
                "(rows with the same ID can differ only in the control)"
            )
        known.controls += named
    return [_waiver(known, controls) for known in gathered.values()]


def _require(draft: Draft) -> None:
    missing = [name for name in REQUIRED if draft.get(name).is_blank]
    if missing == ["expires"]:
        raise UsageError(
            f"{draft.place}: has no expires; every waiver needs an expiry: {_DATE_LIKE}"
        )
    if missing:
        raise UsageError(
            f"{draft.place}: has no {' and no '.join(missing)}; give every required field"
        )


def _waiver(known: _Gathered, controls: Sequence[str]) -> Waiver:
    ids = [EVERY_CONTROL] if EVERY_CONTROL in known.controls else known.controls
    waiver = Waiver(
        id=known.id,
        controls=tuple(sorted(ids)),
        place=known.draft.place,
        **known.content,  # type: ignore[arg-type] # as the readers below return it
    )
    if waiver.start is not None and waiver.expires <= waiver.start:
        known.draft.get("expires").refuse("must be later than start")
    every = ids == [EVERY_CONTROL] or set(ids) >= set(controls)
    if every and not waiver.may_waive_every_control:
        reach = "in every account of its scope" if waiver.ou or waiver.tag else "everywhere"
        known.draft.get("control").refuse(
            f"waiver {known.id} would waive every control {reach}; name controls, or narrow it "
            "to an account, an access_key_id or the exact name of one user"
        )
    return waiver


def control_ids(cell: Cell, known: Sequence[str]) -> list[str]:
    """Control ids from a list or a text with commas between them, each of them known."""
    if isinstance(cell.value, list):
        parts = [machine(Cell(item, cell.place)) for item in cell.value]
    else:
        parts = [part.strip() for part in re.split(r"[,;\n]", machine(cell)) if part.strip()]
    if not parts:
        cell.refuse("names no control; name one, for example console-mfa")
    for part in parts:
        if part not in known and part != EVERY_CONTROL:
            hint = suggestion(part, known, "see `orgscan controls list`")
            cell.refuse(f"unknown control {part!r:.60}; {hint}")
    if len(set(parts)) < len(parts):
        cell.refuse("names a control twice; remove one")
    return parts


def text(cell: Cell) -> str:
    """Words of a person: outer spaces taken off; whole numbers, such as tickets, are words too."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, (date, time)):
        cell.refuse("is a date where text belongs; format the cell as text and type it again")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        cell.refuse(f"must be text (got {value!r:.40})")
    if isinstance(value, (int, float)):
        if isinstance(value, float) or abs(value) >= _EXACT_INTEGER:
            cell.refuse(f"is the number {value!r}; format the cell as text and type it again")
        return str(value)
    words = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(words) > LONGEST_TEXT:
        cell.refuse(f"has {len(words):,} characters; shorten it to {LONGEST_TEXT:,}")
    if character := _CONTROL_CHARACTERS.search(words):
        cell.refuse(f"contains the control character U+{ord(character[0]):04X}; remove it")
    return words


def machine(cell: Cell) -> str:
    """Text a program compares: nothing an editor slips in may be in it."""
    value = cell.value
    if value is None:
        return ""
    if not isinstance(value, str):
        cell.refuse(
            f"must be text (got {value!r:.40}); put it in quotes, or format the cell as text"
        )
    if value != value.strip():
        cell.refuse(f"{value!r:.60} begins or ends with a space; remove it")
    if quote := _SMART_QUOTES.search(value):
        cell.refuse(f"contains the typographic quote {quote[0]!r}; remove it")
    if len(value) > LONGEST_TEXT or not value.replace("\n", "").isprintable():
        cell.refuse(f"{value!r:.60} contains invisible characters; type it again")
    return value


def _identity(cell: Cell) -> str:
    value = machine(Cell(str(cell.value), cell.place) if type(cell.value) is int else cell)
    if not _ID.fullmatch(value):
        cell.refuse(
            f"{value!r:.60} is not a valid waiver ID; use up to 64 letters, digits or ./:#_-"
        )
    return value


def _account(cell: Cell) -> str:
    value = cell.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        cell.refuse(f"{value!r} is a number and can lose digits; enter the 12 digits as text")
    account = machine(cell)
    if _MANGLED.fullmatch(account):
        cell.refuse(
            f"{account!r} is an account ID that was converted to a number; type it again as text"
        )
    if account and not _ACCOUNT.fullmatch(account):
        lost = account.isdecimal() and len(account) < 12  # noqa: PLR2004 - an account id's digits
        hint = " (is a leading zero missing?)" if lost else ""
        cell.refuse(f"{account!r:.60} is not an account id; it has exactly 12 digits{hint}")
    return account


def _ou(cell: Cell) -> str:
    path = machine(cell)
    if _UNIT_ID.match(path):
        cell.refuse(f"{path!r:.60} is an id; give the path, as in Root/Workloads/Prod")
    if path and ("" in path.split("/") or "\n" in path):
        cell.refuse(
            f"{path!r:.60} is not a path of organizational units; write Root/Workloads/Prod"
        )
    return path


def _user(cell: Cell) -> str:
    pattern = machine(cell)
    if pattern and not _USER.fullmatch(pattern):
        cell.refuse(f"{pattern!r:.60} is not a valid user name pattern; use one like ci-* or alice")
    return pattern


def _key(cell: Cell) -> str:
    key = machine(cell)
    if key and not _KEY.fullmatch(key):
        cell.refuse(
            f"{key!r:.60} is not an access key ID; use 16 or more uppercase letters and digits"
        )
    return key


def _tag(cell: Cell) -> str:
    tag = machine(cell)
    if tag and not _TAG.fullmatch(tag):
        cell.refuse(f"{tag!r:.60} is not a valid tag; write, for example, environment=test")
    return tag


def instant(cell: Cell) -> datetime | None:
    """A date (00:00 UTC of that day) or a time with its zone, in UTC; None where blank."""
    if cell.is_blank:
        return None
    value = _parsed(cell) if isinstance(cell.value, str) else cell.value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            cell.refuse(f"{value.isoformat()} has no time zone; add Z for UTC")
        if value.microsecond:
            cell.refuse("has fractions of a second; remove them")
        value = value.astimezone(UTC)
    elif isinstance(value, date):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        cell.refuse(f"{value!r} is a bare number; format the cell as a date, or {_DATE_LIKE}")
    else:
        cell.refuse(f"{value!r:.40} is not a date; {_DATE_LIKE}")
    if value.year not in _YEARS:
        cell.refuse(f"{value:%Y-%m-%d} is out of range; {_DATE_LIKE}")
    return value


def _parsed(cell: Cell) -> date | datetime:
    written = str(cell.value)
    if written.strip().isdecimal():
        cell.refuse(f"{written!r} is a bare number; format the cell as a date, or {_DATE_LIKE}")
    if written != written.strip():
        cell.refuse(f"{written!r:.60} begins or ends with a space; remove it")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", written, re.ASCII):
            return date.fromisoformat(written)
        if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:", written, re.ASCII):
            return datetime.fromisoformat(written)
    except ValueError:
        cell.refuse(f"{written!r:.40} is not an existing date; {_DATE_LIKE}")
    return cell.refuse(f"{written!r:.40} is not a date; {_DATE_LIKE}")


_READ = {
    "account": _account,
    "ou": _ou,
    "user": _user,
    "access_key_id": _key,
    "tag": _tag,
    **dict.fromkeys(_PROSE, text),
    "start": instant,
    "expires": instant,
}
