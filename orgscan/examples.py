"""The files a user copies and edits: settings, waivers, a framework, the audit role."""

from __future__ import annotations

from pathlib import Path

from orgscan.errors import UsageError


def directory(package: Path = Path(__file__).parent) -> Path:
    """The directory that holds them: inside an installed package, beside it in a source tree."""
    inside = package / "config"
    return inside if inside.is_dir() else package.parent / "config"


def names() -> list[str]:
    """The names of the files, sorted."""
    return sorted(path.name for path in directory().iterdir() if path.is_file())


def read(name: str) -> str:
    """The text of one file.

    Raises :class:`orgscan.errors.UsageError` where there is none of that name.
    """
    known = names()
    if name not in known:
        raise UsageError(f"there is no file {name!r}; there are {', '.join(known)}")
    return (directory() / name).read_text("utf-8")
