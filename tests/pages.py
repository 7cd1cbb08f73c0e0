"""Writes what the code decides in the README and the pages: ``python -m tests.pages``.

``test_readme.py`` fails while a page differs from what this would write.
"""

from __future__ import annotations

import re
from pathlib import Path

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.frameworks.reading import shipped
from orgscan.models import Change

ROOT = Path(__file__).parents[1]
_DOCS = Path("orgscan/docs")
_NUMBER_OF_CONTROLS = (Path("README.md"), _DOCS / "changelog.md")


def controls() -> list[tuple[str, ...]]:
    newest, hub = shipped()["cis-7.0"].controls, shipped()["security-hub"].controls
    return [
        (
            f"`{control.id}`",
            control.severity,
            control.unit,
            ", ".join(newest.get(control.id, ("-",))),
            ", ".join(hub.get(control.id, ("-",))),
            control.title,
        )
        for control in CATALOGUE
    ]


def frameworks() -> list[tuple[str, ...]]:
    return [
        (f"`{framework.key}`", framework.label, framework.kind) for framework in shipped().values()
    ]


def changes() -> list[tuple[str, ...]]:
    return [(f"`{change.value}`", change.label, change.meaning) for change in Change]


_TABLES = (
    (_DOCS / "controls.md", "Controls", controls),
    (_DOCS / "controls.md", "Frameworks", frameworks),
    (_DOCS / "comparing.md", "Changes since an earlier run", changes),
)
"""Page, heading of the section whose first table it is, and what makes its rows."""
DOCUMENTS = sorted({*_NUMBER_OF_CONTROLS, *(page for page, _heading, _rows in _TABLES)})


def up_to_date(document: Path, text: str) -> str:
    """The text of a document with what the code decides as it is now."""
    for page, heading, rows in _TABLES:
        if page == document:
            lines = "".join(f"| {' | '.join(row)} |\n" for row in rows())
            text, changed = re.subn(
                rf"(^#+ {re.escape(heading)}\n(?:(?!#)[^\n]*\n)*?\|---[^\n]*\n)(?:\|[^\n]*\n)*",
                lambda match, lines=lines: match[1] + lines,
                text,
                flags=re.MULTILINE,
            )
            assert changed == 1, f"{page}: {changed} tables under the heading {heading!r}"
    if document in _NUMBER_OF_CONTROLS:
        text = re.sub(r"\b\d+ controls\b", f"{len(CATALOGUE)} controls", text)
    return text


def main() -> None:
    for document in DOCUMENTS:
        path = ROOT / document
        text = path.read_text("utf-8")
        if (new := up_to_date(document, text)) != text:
            path.write_text(new, "utf-8")
            print(f"wrote {document}")  # noqa: T201 - a program


if __name__ == "__main__":
    main()
