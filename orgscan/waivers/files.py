"""Waiver files, read whole and with suspicion: bytes, TOML and CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orgscan.errors import UsageError
from orgscan.waivers.fields import Cell, Draft, assemble, known_field
from orgscan.waivers.guard import WAIVER_LIMITS
from orgscan.waivers.sheets import headings, waiver_drafts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orgscan.waivers.waiver import Waiver

_TABLE = re.compile(r"\s*\[\[\s*waiver\s*\]\]")
_FORMULA = re.compile(r"[=+@\t\r-]")
_DELIMITERS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
"""A first line for Excel alone, which names what separates values."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_REMEDIES = {
    ".xls": "save it as .xlsx",
    ".xlsm": "macros are not read; save it as .xlsx",
    ".xlsb": "save it as .xlsx",
    ".ods": "save it as .xlsx",
}


@dataclass(frozen=True, slots=True)
class WaiverFile:
    """The waivers of a file, and which file that was."""

    file: str
    """Its name, without the directory."""
    sha256: str
    waivers: tuple[Waiver, ...]


def read(path: Path, *, controls: Sequence[str]) -> WaiverFile:
    """The waivers of a TOML, CSV or Excel file; ``controls`` are the ids that may be named.

    Raises :class:`orgscan.errors.UsageError`: one line with file, place and remedy.
    """
    suffix = path.suffix.lower()
    if suffix not in {".toml", ".csv", ".xlsx"}:
        remedy = _REMEDIES.get(suffix, "name a .toml, .csv or .xlsx file")
        raise UsageError(f"{path}: waivers are read from .toml, .csv and .xlsx; {remedy}")
    raw = content(path, WAIVER_LIMITS.file)
    if suffix == ".xlsx":
        drafts = waiver_drafts(path, raw)
    elif suffix == ".csv":
        drafts = list(_csv(path, _decoded(path, raw)))
    else:
        drafts = list(_toml(path, _decoded(path, raw)))
    if not drafts:
        raise UsageError(
            f"{path}: contains no waiver; see config/waivers.example.toml, or omit the option"
        )
    digest = hashlib.sha256(raw).hexdigest()
    return WaiverFile(path.name, digest, tuple(assemble(drafts, controls)))


def content(path: Path, limit: int) -> bytes:
    """The bytes of a file that is neither empty nor larger than ``limit`` bytes."""
    if path.is_dir():
        raise UsageError(f"{path}: is a directory; name a file")
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    if not raw:
        raise UsageError(f"{path}: is empty; restore it, or omit the option")
    if len(raw) > limit:
        raise UsageError(
            f"{path}: is larger than {limit // 1_000_000} MB, too large for such a file"
        )
    return raw


def _decoded(path: Path, raw: bytes) -> str:
    if raw.startswith(_UTF_16) or b"\0" in raw[:200]:
        raise UsageError(f"{path}: is Unicode text (UTF-16), not UTF-8; save it {_encoding(path)}")
    try:
        # A byte order mark is what Windows editors add; it changes nothing.
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}: line {line} is not UTF-8; save the file {_encoding(path)}"
        ) from None


def _encoding(path: Path) -> str:
    """The right encoding, as spreadsheet programs call it in their dialogs."""
    return 'as "CSV UTF-8"' if path.suffix.lower() == ".csv" else "as UTF-8"


def _toml(path: Path, text: str) -> Iterator[Draft]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    for name in document:
        if name != "waiver":
            raise UsageError(
                f"{path}: unknown section {name!r:.60}; write each waiver under [[waiver]]"
            )
    tables = document.get("waiver", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: write each waiver in its own section, [[waiver]]")
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if _TABLE.match(line)]
    for number, table in enumerate(tables):
        first = heads[number] if len(heads) == len(tables) else None
        yield _table(path, table, number + 1, lines, first)


def _table(
    path: Path, table: dict[str, Any], number: int, lines: list[str], first: int | None
) -> Draft:
    """One ``[[waiver]]``; the parser tells no lines, so they are looked up."""
    place = f"{path}: waiver {number}" if first is None else f"{path}: line {first + 1}"

    def cell(name: str, value: object) -> Cell:
        start = len(lines) if first is None else first + 1
        for offset, line in enumerate(lines[start:], start + 1):
            if line.lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
                return Cell(value, f"{path}: line {offset}, {name}")
        return Cell(value, f"{place}, {name}")

    cells = {name: cell(name, value) for name, value in table.items()}
    for name, value in cells.items():
        known_field(value, name)
    return Draft(cells, place)


def _csv(path: Path, text: str) -> Iterator[Draft]:
    named = _SEPARATOR_LINE.match(text)
    skipped = 1 if named else 0
    text = text[named.end() :] if named else text
    delimiter = named[1] if named else _delimiter(text)
    if delimiter not in _DELIMITERS:
        raise UsageError(
            f"{path}: line 1: {delimiter!r} separates values; use a comma, semicolon or tab"
        )
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        heading = next(lines, [])
        names = headings([Cell(name, f"{path}: line {1 + skipped}") for name in heading])
        for row in lines:
            if any(value.strip() for value in row):
                yield _record(path, lines.line_num + skipped, names, row)
    except csv.Error as error:
        raise UsageError(
            f"{path}: line {lines.line_num + skipped}: not valid CSV: {error}"
        ) from None


def _delimiter(text: str) -> str:
    """What the heading is separated by: spreadsheet programs write commas, semicolons or tabs."""
    return max(_DELIMITERS, key=text.partition("\n")[0].count)


def _record(path: Path, line: int, names: list[str], row: list[str]) -> Draft:
    place = f"{path}: line {line}"
    if len(row) > len(names):
        raise UsageError(
            f"{place}: has {len(row)} values, but the header has {len(names)}; put values with "
            "commas in quotes"
        )
    cells = {name: Cell(value, f"{place}, {name}") for name, value in zip(names, row, strict=False)}
    for cell in cells.values():
        if _FORMULA.match(str(cell.value)):
            cell.refuse(f"{cell.value!r:.40} looks like a formula; remove the first character")
    return Draft(cells, place)
