"""Excel workbooks from other hands, opened with care.

What is asked of a file before openpyxl sees it: that it is a plain .xlsx, of bounded size packed
and unpacked, without macros and without declarations that could expand. Rows are read through
defusedxml; formulas, links to other files and pictures are never followed.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from defusedxml.common import DefusedXmlException
from openpyxl import load_workbook

from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openpyxl import Workbook

_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_MACROS = re.compile(r"vbaProject|macrosheets|\.bin$", re.IGNORECASE)
_PLAIN_PARTS = re.compile(r"printerSettings\d*\.bin$")
_MERGED = re.compile(
    rb"""<(?:[\w.-]{1,40}:)?mergeCell\s[^<>]{0,200}?\bref\s{0,9}=\s{0,9}["']"""
    rb"""(\$?[A-Z]{1,3}\$?\d{0,7}:\$?[A-Z]{1,3}\$?(\d{0,7}))["']"""
)
"""A range, and the last row of it."""
_SNIFFED = 4_096
_LOOKED_THROUGH = 64_000_000
_PARTS = 10_000
_MEGABYTE = 1_000_000
_RATIO_FROM = 5 * _MEGABYTE
"""Small parts may be packed as tightly as they like."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of the file, of all it unpacks to, of its shared texts; and how tightly packed."""

    file: int
    unpacked: int
    texts: int
    ratio: int = 200


WAIVER_LIMITS = Limits(10 * _MEGABYTE, 100 * _MEGABYTE, 50 * _MEGABYTE)
WORKBOOK_LIMITS = Limits(500 * _MEGABYTE, 8_000 * _MEGABYTE, 1_000 * _MEGABYTE)


@contextmanager
def opened(path: Path, raw: bytes, limits: Limits) -> Iterator[Workbook]:
    """The workbook ``raw`` holds, for reading row by row; ``path`` is for messages.

    Whatever is wrong with the file, up to the last row read within the block, ends as
    :class:`orgscan.errors.UsageError`.
    """
    _inspect(path, raw, limits)
    try:
        with warnings.catch_warnings():
            # openpyxl warns of what it leaves out; nothing of that is read here.
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(raw), read_only=True, keep_links=False)
            try:
                yield book
            finally:
                book.close()
    except UsageError:
        raise
    except DefusedXmlException:
        _refuse(path, "contains XML entities; do not trust it")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file can break openpyxl anywhere
        kind = type(error).__name__
        _refuse(path, f"is damaged ({kind}); open it in Excel or LibreOffice and save it as .xlsx")


def merged(page: Any) -> str:
    """The first range of merged cells below the first row of a sheet, as in ``M5:M9``; else "".

    Reading row by row, openpyxl does not tell: cells under a merged one are just empty.
    """
    rest = b""
    with page.parent._archive.open(page._worksheet_path) as stream:  # noqa: SLF001 - see above
        while piece := stream.read(_MEGABYTE):
            text = rest + piece.replace(b"\0", b"")  # whatever the encoding
            for cells in _MERGED.finditer(text) if b"mergeCell" in text else ():
                if cells[2] != b"1":
                    return cells[1].decode()
            # What the next piece goes on with.
            start = text.rfind(b"<", -_SNIFFED)
            rest = text[start:] if start >= 0 else b""
    return ""


def _refuse(path: Path, text: str) -> Any:
    raise UsageError(f"{path}: {text}") from None


def _inspect(path: Path, raw: bytes, limits: Limits) -> None:
    if raw.startswith(_COMPOUND_FILE):
        if _ENCRYPTED in raw:
            _refuse(path, "is password-protected; save it without a password")
        _refuse(path, "is an .xls workbook; save it as .xlsx")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = archive.infolist()
            _bound(path, parts, limits)
            _refuse_macros(path, archive, parts)
            _refuse_declarations(path, archive, parts)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        _refuse(path, "is not an Excel workbook; save it as .xlsx")


def _bound(path: Path, parts: list[zipfile.ZipInfo], limits: Limits) -> None:
    # A part that unpacks to more than it declares is an error of its own to zipfile.
    total = sum(part.file_size for part in parts)
    tight = any(
        part.file_size > _RATIO_FROM and part.file_size > limits.ratio * max(part.compress_size, 1)
        for part in parts
    )
    texts = max((part.file_size for part in parts if "sharedStrings" in part.filename), default=0)
    if len(parts) > _PARTS or total > limits.unpacked or texts > limits.texts or tight:
        _refuse(
            path,
            f"expands to {total // _MEGABYTE:,} MB, too large for a workbook; do not trust it",
        )


def _refuse_macros(path: Path, archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> None:
    suspects = [part.filename for part in parts if _MACROS.search(part.filename)]
    types = "[Content_Types].xml"
    declared = archive.read(types) if types in archive.namelist() else b""
    macros = any(not _PLAIN_PARTS.search(name) for name in suspects)
    if macros or b"macroEnabled" in declared:
        _refuse(path, "contains macros; save it as .xlsx without macros")


def _refuse_declarations(
    path: Path, archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]
) -> None:
    # openpyxl reads sheets and their texts through defusedxml, but other parts through lxml
    # where that is installed: those are looked through to their end.
    for part in parts:
        if part.filename.endswith((".xml", ".rels")):
            rows = "worksheets/" in part.filename or "sharedStrings" in part.filename
            with archive.open(part) as stream:
                # Whatever the encoding, its zero bytes aside.
                read = stream.read(_SNIFFED if rows else _LOOKED_THROUGH)
                start = read.replace(b"\0", b"").upper()
            if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
                _refuse(path, "contains XML entities; do not trust it")
