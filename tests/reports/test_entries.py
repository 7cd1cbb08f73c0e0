"""Waivers and entries written to a workbook come back as they were."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from orgscan.models import HumanEntry
from orgscan.reports import write_workbook
from orgscan.waivers.apply import Result
from orgscan.waivers.entries import unlisted
from orgscan.waivers.fields import assemble
from orgscan.waivers.sheets import read_back
from orgscan.waivers.waiver import State, Waiver
from tests.kit import reports as sample

if TYPE_CHECKING:
    from orgscan.reports import WorkbookContent

CONTROLS = tuple(control[0] for control in sample.CONTROLS)
PROSE = st.text("aB =+-@'\"<&>_x0041\n\u00e4\u6f22\U0001f600,;", min_size=1, max_size=30).map(
    lambda text: text.strip() or "x"
)
MOMENT = st.sampled_from(
    [datetime(2026, 12, 31, tzinfo=UTC), datetime(2026, 12, 31, 18, 30, 7, tzinfo=UTC)]
)


@pytest.fixture(scope="module")
def content() -> WorkbookContent:
    return sample.content(3, 2)


@pytest.fixture(scope="module")
def long_content() -> WorkbookContent:
    """More findings than fit two sheets of the size the tests ask for."""
    return sample.content(25, 3)


def written(content: WorkbookContent, tmp_path: Path, rows_per_sheet: int = 1_000) -> bytes:
    path = tmp_path / "book.xlsx"
    write_workbook(path, content, rows_per_sheet=rows_per_sheet)
    return path.read_bytes()


@st.composite
def results(draw: Any) -> list[Result]:
    return [
        Result(
            Waiver(
                id=f"W-{number}",
                controls=draw(st.sampled_from([("console-mfa",), ("console-mfa", "root-mfa")])),
                account=draw(st.sampled_from(["", "000000000001"])),
                ou=draw(st.sampled_from(["", "Root/A & B/<C>"])),
                user=draw(st.sampled_from(["", "ci-*", "=x", "_x0041_"])),
                access_key_id="",
                tag=draw(st.sampled_from(["", "env=a=b"])),
                owner=draw(PROSE),
                reason=draw(PROSE),
                ticket=draw(st.sampled_from(["", "0042", "1E5"])),
                approved_by=draw(PROSE),
                start=draw(st.sampled_from([None, datetime(2026, 1, 1, tzinfo=UTC)])),
                expires=draw(MOMENT),
            ),
            State.IN_FORCE,
            failing=3,
            matched=4,
            over_broad=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 3)))
    ]


@settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
@given(shown=results())
def test_waivers_come_back(content: WorkbookContent, tmp_path: Path, shown: list[Result]) -> None:
    raw = written(replace(content, waivers=shown), tmp_path)
    assert assemble(read_back(Path("b.xlsx"), raw).drafts, CONTROLS) == [
        result.waiver for result in shown
    ]


@settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_entries_come_back_from_split_sheets_too(
    long_content: WorkbookContent, tmp_path: Path, data: Any
) -> None:
    content = long_content
    listed = content.findings[content.findings["status"].isin(["FAIL", "WAIVED"])]
    ids = [*listed["finding_id"][:: len(listed) // 6], f"{1:032x}", f"{2:032x}"]
    chosen = data.draw(st.lists(st.sampled_from(ids), unique=True))
    entries = [
        HumanEntry(
            finding_id=finding,
            owner=data.draw(PROSE),
            due=data.draw(st.sampled_from([None, date(2026, 12, 31)])),
            comment=data.draw(PROSE),
        )
        for finding in sorted(chosen)
    ]
    raw = written(replace(content, entries=entries), tmp_path, rows_per_sheet=len(listed) // 2 + 1)
    back = read_back(Path("b.xlsx"), raw).entries
    assert [(one.finding_id, one.owner, one.due, one.comment) for one in back] == [
        (one.finding_id, one.owner, one.due, one.comment) for one in entries
    ]
    assert {one.finding_id for one in unlisted([content.findings], entries)} == {
        one for one in chosen if one not in set(listed["finding_id"])
    }


def test_there_is_room_for_more_waivers(content: WorkbookContent, tmp_path: Path) -> None:
    page = load_workbook(io.BytesIO(written(content, tmp_path)))["Waivers"]
    assert page.max_row == 26
    assert page["A2"].fill.start_color.rgb == "00FFFBEA"
    assert {str(rule.sqref) for rule in page.data_validations.dataValidation} == {
        "L2:L26",
        "M2:M26",
    }
    # What orgscan computes is no place to write.
    assert page["N2"].fill.fill_type is None


def test_overdue_is_on_the_summary(content: WorkbookContent, tmp_path: Path) -> None:
    late = replace(content, due_days={"critical": 1, "high": 1})
    book = load_workbook(io.BytesIO(written(late, tmp_path)))
    rows = [row for row in book["Summary"].iter_rows(values_only=True) if row[0] == "critical"]
    fails = content.findings[
        (content.findings["severity"] == "critical") & (content.findings["status"] == "FAIL")
    ]
    assert rows[-1][:4] == ("critical", len(fails), 0, len(fails))
    marked = [cell for row in book["Findings"].iter_rows(values_only=True) for cell in row]
    assert "Yes" in marked
