"""Writes what the code decides in the README and the pages: ``python -m tests.pages``.

``test_readme.py`` fails while a page differs from what this would write.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.frameworks.reading import shipped
from orgscan.models import Change

ROOT = Path(__file__).parents[1]
_DOCS = Path("orgscan/docs")
README = Path("README.md")
_NUMBER_OF_CONTROLS = (README, _DOCS / "changelog.md")


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


@cache
def demo() -> dict[str, Any]:
    """The manifest of a run of the demo."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "orgscan", "demo", "--quiet", "--output", "run"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        manifest: dict[str, Any] = json.loads(Path(folder, "run", "manifest.json").read_bytes())
    return manifest


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
    if document == README:
        counts = demo()["findings"].values()
        totals = (f"{sum(of[status] for of in counts)} {status}" for status in ("FAIL", "UNKNOWN"))
        text, changed = re.subn(
            r"(?m)^Findings: \d+ FAIL, \d+ UNKNOWN", f"Findings: {', '.join(totals)}", text
        )
        assert changed == 1, f"{changed} excerpts of the demo"
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
