"""The one reader of the credential report's cells, and the only owner of its words.

``N/A`` (there is nothing to say), ``no_information`` (no use known) and ``not_supported`` (asked
of root, not answered) stand where a value would. They are kept apart: the value is null and the
word stays beside it as a note. Anything that is neither a value nor a word is unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.models import ReportWord

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORDS = pa.array([word.value for word in ReportWord], pa.large_string())

# UTC only, and said so: a time without a zone could be anybody's local time.
_TIME = r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)$"
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
    except pa.ArrowInvalid:  # right shape, no such moment: 30 February, 25 o'clock
        possible = [text if text and _exists(text) else None for text in shaped.to_pylist()]
        values = pc.cast(pa.array(possible, pa.large_string()), _TIMESTAMP)
    return _with_words(cells, values)


def read_booleans(cells: pa.Array) -> Cells:
    """``true`` and ``false`` in any case: the wire has them small, the guide in capitals."""
    lower = pc.utf8_lower(cells)
    true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
    return _with_words(cells, pc.if_else(pc.or_(true, false), true, None))


def read_texts(cells: pa.Array) -> Cells:
    """Free text (Regions, services): every text is readable, words and emptiness are null."""
    absent = pc.or_(pc.is_in(cells, value_set=_WORDS), pc.equal(cells, ""))
    return _with_words(cells, pc.if_else(absent, None, cells), all_readable=True)


def _with_words(cells: pa.Array, values: pa.Array, *, all_readable: bool = False) -> Cells:
    word = pc.is_in(cells, value_set=_WORDS)
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
