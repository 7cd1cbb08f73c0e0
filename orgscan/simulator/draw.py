"""Chance without a generator: what is drawn from the same parts is the same everywhere."""

from __future__ import annotations

from hashlib import blake2b

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def digest(*parts: object) -> int:
    """A number of 128 bits drawn from the parts: the same parts, the same number, everywhere."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "big")


def letters(count: int, *parts: object) -> str:
    """``count`` (at most 25) characters of A-Z2-7 drawn from the parts, as AWS's ids look."""
    number = digest(*parts)
    return "".join(_LETTERS[number >> 5 * index & 31] for index in range(count))
