"""Text as it may stand in an Excel cell: never a formula, never an error, never a broken file.

What a reader of the workbook finds in place of the exact text (which the Parquet files keep):

* control characters, line breaks and tabs included, line and paragraph separators, characters
  that reverse the direction of text, lone surrogates and noncharacters become their code point
  in brackets: ``[U+000A]``;
* text over Excel's limit of 32,767 UTF-16 units is cut and ends in :data:`CUT_MARK`;
* everything else comes back as it is, ``=1+1``, ``#N/A`` and ``_x0041_`` included.
"""

from __future__ import annotations

import re

MAX_UNITS = 32_767
"""Excel's limit for the text of one cell, in UTF-16 code units."""

_SHORT = MAX_UNITS // 2
"""A character is one or two units: only longer text needs counting."""

CUT_MARK = " [cut here: the whole text is in the Parquet file]"

_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_PLAIN = re.compile(r"[!-%'-;=?-~](?:[ -%'-;=?-~]*[!-%'-;=?-~])?")
"""Printable ASCII without markup or outer spaces: most names, written as they are."""

_ESCAPE_LIKE = re.compile(r"(?<=_)(?=x[0-9A-Fa-f]{4}_)")


def cell_text(value: str) -> str:
    """The documented text for ``value``: what every reader of the workbook gets."""
    if _UNSAFE.search(value):
        value = _UNSAFE.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    return value if len(value) <= _SHORT else _cut(value)


def runs(value: str) -> list[str]:
    """``cell_text(value)`` in the pieces it must be written in.

    Excel reads ``_x0041_`` as the letter A, other readers do not, and they disagree about the
    official way to escape it. Split over two runs it is literal text for all of them.
    """
    text = cell_text(value)
    return _ESCAPE_LIKE.split(text) if "_x" in text else [text]


def inline_string(value: str) -> str:
    """``value`` as the ``<is>`` element of a cell."""
    if len(value) <= _SHORT and "_x" not in value and _PLAIN.fullmatch(value):
        return f"<is><t>{value}</t></is>"
    pieces = [_text_element(piece) for piece in runs(value)]
    if len(pieces) == 1:
        return f"<is>{pieces[0]}</is>"
    return "<is>" + "".join(f"<r>{piece}</r>" for piece in pieces) + "</is>"


def inline_prose(value: str) -> str:
    """Like :func:`inline_string`, but line breaks stay what they are."""
    pieces = [piece for line in value.split("\n") for piece in ("\n", *runs(line))][1:]
    return "<is>" + "".join(f"<r>{_text_element(piece)}</r>" for piece in pieces) + "</is>"


def _text_element(text: str) -> str:
    keep = ' xml:space="preserve"' if text != text.strip() else ""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<t{keep}>{text}</t>"


def _cut(text: str) -> str:
    units = text.encode("utf-16-le")
    if len(units) <= MAX_UNITS * 2:
        return text
    kept = units[: (MAX_UNITS - len(CUT_MARK)) * 2]
    # "ignore" drops the first half of a pair that was cut in two.
    return kept.decode("utf-16-le", errors="ignore") + CUT_MARK
