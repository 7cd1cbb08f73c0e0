"""Sealed files: JSON in one canonical form that holds the hash of its own content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orgscan import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SEAL = "sha256"
"""The member of a sealed file that holds the hash of all its others."""


def seal(content: Mapping[str, Any]) -> bytes:
    """``content`` as canonical JSON, with a member that holds the hash of all the others."""
    bare = {name: value for name, value in content.items() if name != _SEAL}
    return _canonical({**bare, _SEAL: files.sha256(_canonical(bare))})


def unseal(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """The content of a sealed file, and what is wrong with it; the latter is empty if intact.

    A content can be written in one way only, so no byte can change unnoticed. Anyone who changes
    the file on purpose can seal it again: only a signature is proof against that.
    """
    try:
        content = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError) as error:
        return None, f"is cut or not JSON ({' '.join(str(error).split())[:100]})"
    if not isinstance(content, dict):
        return None, "is not a JSON object"
    if seal(content) != raw:
        return content, "was edited: it does not match its own hash"
    return content, ""


def read_sealed(path: Path) -> tuple[dict[str, Any] | None, str]:
    """:func:`unseal` a file; one that is missing or cannot be read has no content."""
    try:
        with files.opened(path) as file:
            raw = file.read()
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    return unseal(raw)


def write_sealed(path: Path, content: Mapping[str, Any], *, remedy: str = "") -> None:
    """Publish ``content`` as a sealed file.

    Raises as :func:`orgscan.files.published` does.
    """
    with files.published(path, remedy=remedy) as draft:
        draft.write_bytes(seal(content))


def _canonical(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=True)
    return f"{text}\n".encode("ascii")
