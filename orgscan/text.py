"""Words in messages: counts, shortened lists, suggestions, text that is safe on a terminal."""

from __future__ import annotations

import difflib
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_ALIKE = 0.5
"""How alike a misspelled word and its suggestion must be, from 0 to 1."""


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 account``, ``1,200 accounts``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def minute(moment: datetime) -> str:
    """A time for people: ``2026-11-24 13:33 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def and_more(names: Sequence[str], shown: int, see: str = "") -> str:
    """The first names of a list, and how many follow: ``a, b and 3 more``.

    ``see`` says where to find the rest: ``, see the Waivers sheet``.
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more{see}" if more > 0 else "")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like a misspelled one; None where none resembles it."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=_ALIKE)), None)


def suggestion(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to write instead of an unknown word: ``did you mean a?``.

    Where nothing resembles it, ``otherwise``; by default all that is known.
    """
    names = list(known)
    alike = nearest(word, names)
    if alike:
        return f"did you mean {alike}?"
    return otherwise or f"known are {', '.join(names)}"


def printable(value: object) -> str:
    """Text that does nothing on a terminal: names in AWS and of files may hold control characters.

    Whatever is not text, such as a missing value, is empty.
    """
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(value: object) -> str:
    """An error or any other text as a single printable line."""
    return printable(" ".join(str(value).split()))
