"""Tables as CSV: for programs that read nothing better, and safe in those that read too much.

Separated by commas, RFC 4180: lines end in CR LF, cells are quoted where they must be. UTF-8 with
a byte order mark. Times are ISO 8601 in UTC (``2026-09-30T06:00:00Z``, with a fraction only where
there is one), truth values ``true`` and ``false``. A null is an empty cell, an empty text ``""``.

A spreadsheet program takes text for a formula by its beginning, and where it separates cells by
semicolons, as it does in half of Europe, a cell may begin in the middle of ours. One apostrophe
more therefore stands

* before ``=``, ``+``, ``-``, ``@`` or a full-width form of these, where only white space, invisible
  characters and apostrophes are between it and the beginning, a semicolon, tab or line break;
* then, in front of text that begins with a tab or line break, apostrophes aside.

Every text has exactly one such form, and taking the apostrophes off again gives the text back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from orgscan import frames
from orgscan.reports import lines
from orgscan.reports.rows import as_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from orgscan.reports.rows import Rows

_INVISIBLE = r"\x00-\x20\x7f-\xa0\x{ad}\x{200b}-\x{200f}\x{2028}-\x{202f}\x{2060}-\x{206f}\x{feff}"
_SIGN = r"[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"
_RISKY = rf"((?:^|[;\t\r\n])[{_INVISIBLE}]*'*)({_SIGN})"
_BROKEN = r"^('*[\t\r\n])"
_QUOTED = r'[",\r\n]|^\s|\s$|^$'
_MARK = "\ufeff"


def write(path: Path, table: pd.DataFrame | Rows) -> None:
    """Write a table to ``path`` with its column names as the first line.

    Columns may hold text, numbers, truth values and timezone-aware times.
    """
    table = as_rows(table)
    with path.open("wb") as file:
        file.write(f"{_MARK}{','.join(table.names)}\r\n".encode())
        for piece in table.pieces():
            lines.write(file, _lines([_cells(lines.arrow(piece[name])) for name in piece]))


def _lines(columns: list[pa.Array]) -> pa.Array:
    parts: list[pa.Array | str] = [part for column in columns for part in (column, ",")]
    return frames.joined([*parts[:-1], "\r\n"])


def _cells(values: pa.Array) -> pa.Array:
    """The cells of a column; null where they are to be empty."""
    if pa.types.is_large_string(values.type):
        return _quoted(_inert(values))
    if pa.types.is_timestamp(values.type):
        # Many rows share a time, and writing one takes long.
        encoded = values.dictionary_encode()
        return _times(encoded.dictionary).take(encoded.indices)
    return values.cast(pa.large_string())


def _inert(values: pa.Array) -> pa.Array:
    values = pc.replace_substring_regex(values, _RISKY, r"\1'\2")
    return pc.replace_substring_regex(values, _BROKEN, r"'\1")


def _quoted(values: pa.Array) -> pa.Array:
    delicate = pc.match_substring_regex(values, _QUOTED)
    if not pc.any(delicate).as_py():
        return values
    doubled = pc.replace_substring(values, '"', '""')
    return pc.if_else(delicate, frames.joined(['"', doubled, '"']), values)


def _times(values: pa.Array) -> pa.Array:
    micros = values.cast(pa.timestamp("us", tz="UTC"))
    text = pc.strftime(micros, format="%Y-%m-%dT%H:%M:%S").cast(pa.large_string())
    short = pc.replace_substring_regex(text, r"\.?0*$", "")
    # Nothing of the seconds themselves may go: only a fraction is cut short.
    text = pc.if_else(pc.match_substring(text, "."), short, text)
    return frames.joined([text, "Z"])
