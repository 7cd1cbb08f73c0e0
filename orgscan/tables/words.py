"""The one reader of the credential report's cells, and the only owner of its words.

``N/A`` (there is nothing to say), ``no_information`` (no use known) and ``not_supported`` (asked
of root, not answered) stand where a value would. They are kept apart: the value is null and the
word stays beside it as a note. Anything that is neither a value nor a word is unreadable.

Columns are read with Arrow, many reports at once. One small report is only looked at, cell by
cell and twenty times as fast: a :class:`Form` holds the two sides, which agree on every cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.models import ReportWord

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_WORDS = frozenset(word.value for word in ReportWord)
_WORD_ARRAY = pa.array(sorted(_WORDS), pa.large_string())
_TRUE, _FALSE = "true", "false"

# UTC only, and said so: a time without a zone could be anybody's local time.
_TIME = r"^[12]\d{3}-\d\d-\d\dT([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,6})?(Z|\+00:00)$"
_is_time_shaped = re.compile(_TIME, re.ASCII).fullmatch
_TIMESTAMP = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Cells:
    """A column after reading: typed values, words in place of values, and what is neither."""

    values: pa.Array
    notes: pa.Array
    unreadable: NDArray[np.bool_]


def read_times(cells: pa.Array) -> Cells:
    """Times as AWS writes them: ISO 8601 ending in ``Z`` or ``+00:00``, fractions allowed."""
    shaped = pc.if_else(pc.match_substring_regex(cells, _TIME), cells, None)
    try:
        values = pc.cast(shaped, _TIMESTAMP)
    except pa.ArrowInvalid:  # right shape, no such day: 30 February
        possible = [text if text and _exists(text) else None for text in shaped.to_pylist()]
        values = pc.cast(pa.array(possible, pa.large_string()), _TIMESTAMP)
    return _with_words(cells, values)


def read_booleans(cells: pa.Array) -> Cells:
    """``true`` and ``false`` in any case: the wire has them small, the guide in capitals."""
    lower = pc.utf8_lower(cells)
    true, false = pc.equal(lower, _TRUE), pc.equal(lower, _FALSE)
    return _with_words(cells, pc.if_else(pc.or_(true, false), true, None))


def read_texts(cells: pa.Array) -> Cells:
    """Free text (Regions, services): every text is readable, words and emptiness are null."""
    absent = pc.or_(pc.is_in(cells, value_set=_WORD_ARRAY), pc.equal(cells, ""))
    return _with_words(cells, pc.if_else(absent, None, cells), all_readable=True)


def _with_words(cells: pa.Array, values: pa.Array, *, all_readable: bool = False) -> Cells:
    word = pc.is_in(cells, value_set=_WORD_ARRAY)
    notes = pc.if_else(word, cells, None)
    readable = pc.or_(pc.or_(word, values.is_valid()), cells.is_null())
    unreadable = ~np.asarray(readable.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if all_readable:
        unreadable[:] = False
    return Cells(values, notes, unreadable)


def _exists(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class Form(NamedTuple):
    """How the cells of a column are read, and whether a single cell can be."""

    read: Callable[[pa.Array], Cells]
    accepts: Callable[[str], bool]


def _accepts_time(cell: str) -> bool:
    return cell in _WORDS or (_is_time_shaped(cell) is not None and _exists(cell))


def _accepts_boolean(cell: str) -> bool:
    return cell in _WORDS or cell.lower() in {_TRUE, _FALSE}


def _accepts_text(_cell: str) -> bool:
    return True


TIMES = Form(read_times, _accepts_time)
BOOLEANS = Form(read_booleans, _accepts_boolean)
TEXTS = Form(read_texts, _accepts_text)
