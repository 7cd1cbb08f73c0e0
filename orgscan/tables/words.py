"""The credential report's cells as Arrow columns, many reports at once.

A word in place of a value (:class:`orgscan.models.ReportWord`) leaves the value null and is kept
beside it as a note. Anything that is neither a value nor a word is unreadable.
:mod:`orgscan.report` tests single cells by the same rules; a property test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.report import TIME, WORDS, is_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD_ARRAY = pa.array(sorted(WORDS), pa.large_string())
_TRUE, _FALSE = "true", "false"

_TIMESTAMP = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Cells:
    """A column after reading: typed values, words in place of values, and what is neither."""

    values: pa.Array
    notes: pa.Array
    unreadable: NDArray[np.bool_]


def read_times(cells: pa.Array) -> Cells:
    """Times as AWS writes them: ISO 8601 ending in ``Z`` or ``+00:00``, fractions allowed."""
    shaped = pc.if_else(pc.match_substring_regex(cells, TIME), cells, None)
    try:
        values = pc.cast(shaped, _TIMESTAMP)
    except pa.ArrowInvalid:  # right shape, no such day: 30 February
        possible = [text if text and is_time(text) else None for text in shaped.to_pylist()]
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
