"""The notebook is run as an analyst runs it, on a run of the demo."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import orgscan
from orgscan.models import Coverage
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from orgscan.runs.run import Run

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "01-first-look.ipynb"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo of which only what a notebook may read is left."""
    home = tmp_path_factory.mktemp("notebook")
    subprocess.run(
        [sys.executable, "-m", "orgscan", "demo", "--quiet", "--output", home / "demo"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    kept = home / "kept"
    kept.mkdir()
    for name in ["manifest.json", *(f"{table.name}.parquet" for table in TABLES)]:
        shutil.copy(home / "demo" / name, kept)
    return kept


def _read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def _execute(notebook: Any, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(variable, str(folder / ".jupyter"))
        patch.delenv("ORGSCAN_RUN", raising=False)
        NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        ).execute()


@pytest.fixture(scope="session")
def executed(demo_run: Path) -> dict[str, list[Any]]:
    """The outputs of each code cell by its id; the run is found as the newest one."""
    folder = demo_run.parent / "analyst"
    for name in ("2026-01-01T00-00-00Z", "older"):
        (folder / "orgscan-runs" / name).mkdir(parents=True)
    shutil.copytree(demo_run, folder / "orgscan-runs" / "demo")
    notebook = _read()
    _execute(notebook, folder)
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(scope="session")
def run(demo_run: Path) -> Run:
    return orgscan.open_run(demo_run)


def _text(outputs: list[Any]) -> str:
    return "\n".join(
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in outputs
        if output.get("name") != "stderr"
    )


def test_nothing_goes_wrong(executed: dict[str, list[Any]]) -> None:
    for cell, outputs in executed.items():
        assert outputs, f"{cell} shows nothing"
        for output in outputs:
            assert output["output_type"] != "error", cell
            # On a fresh machine matplotlib says there that it looks for fonts.
            assert "Warning" not in output.get("text", ""), (cell, output)


def test_the_coverage_shown_is_the_table_s(executed: dict[str, list[Any]], run: Run) -> None:
    text = _text(executed["coverage"])
    counts = run.accounts["coverage"].value_counts()
    for coverage in Coverage:
        row = re.search(rf"^{coverage}\s+(\d+)\s+(yes|no)\s", text, re.MULTILINE)
        assert row, coverage
        assert int(row[1]) == counts.get(coverage.value, 0)
        assert (row[2] == "yes") == coverage.is_gap
    assert f"{len(run.accounts)} accounts: {counts['COMPLETE']} read whole, " in text
    assert f"{len(run.gaps)} with gaps" in text
    # The accounts add up to what AWS Organizations listed.
    assert counts.sum() == run.manifest["accounts"]


def test_coverage_comes_first_and_says_why(executed: dict[str, list[Any]], run: Run) -> None:
    assert [*executed][:4] == ["open", "coverage", "gaps", "unknown"]
    text = _text(executed["gaps"])
    assert not run.gaps.empty
    for row in run.gaps.itertuples():
        assert row.account_id in text
        assert row.reason[:20] in text


def test_unknown_is_counted(executed: dict[str, list[Any]], run: Run) -> None:
    unknown = (run.findings["status"] == "UNKNOWN").sum()
    assert f"{unknown} of {len(run.findings)} verdicts are UNKNOWN" in _text(executed["unknown"])
    assert "at least" in _text(executed["unknown"])


def test_every_control_that_fails_is_listed(executed: dict[str, list[Any]], run: Run) -> None:
    failing = run.findings.loc[run.findings["status"] == "FAIL", "control_id"].value_counts()
    text = _text(executed["fail"])
    for control, count in failing.items():
        assert re.search(rf"\s{control}\s+{count}\s", text), control


def test_the_keys_counted_are_the_keys_judged(executed: dict[str, list[Any]], run: Run) -> None:
    text = _text(executed["keys"])
    judged = run.findings[run.findings["status"] != "NOT_APPLICABLE"]
    failing = judged[judged["status"] == "FAIL"]["control_id"].value_counts()
    active = (judged["control_id"] == "access-key-rotation").sum()
    assert f"{active} active keys" in text
    assert f"older than 90 days: {failing['access-key-rotation']}\n" in text
    assert f"idle for 45 days or more: {failing['unused-access-key']}\n" in text


@pytest.mark.parametrize("cell", ["ages", "idle"])
def test_the_plots_are_drawn(executed: dict[str, list[Any]], cell: str) -> None:
    (image,) = (output["data"]["image/png"] for output in executed[cell])
    assert b64decode(image).startswith(PNG)
    assert len(image) > 10_000


def test_the_oldest_keys_are_listed(executed: dict[str, list[Any]], run: Run) -> None:
    keys = run.access_keys
    users = keys[(keys["status"] == "Active") & (keys["match"] == "matched")]
    oldest = users.nlargest(1, "age_days")["access_key_id"].iloc[0]
    assert oldest in _text(executed["oldest"])


def test_without_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    notebook = _read()
    notebook.cells = [cell for cell in notebook.cells if cell.id == "open"]
    with pytest.raises(CellExecutionError, match="set ORGSCAN_RUN to a run directory"):
        _execute(notebook, tmp_path)


def test_it_is_stored_clean() -> None:
    notebook = _read()
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert not cell.metadata, cell.id
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_limits_come_from_the_run() -> None:
    code = "\n".join(cell.source for cell in _read().cells if cell.cell_type == "code")
    assert 'thresholds["access_key_max_age_days"]' in code
    assert 'thresholds["unused_credential_days"]' in code
    assert "evidence.sqlite" not in code
    assert not re.search(r"\b(boto3|aioboto3|sqlite3|openpyxl)\b", code)
