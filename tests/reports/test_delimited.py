"""CSV: what goes in comes back, and no cell is a formula to anybody."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgscan.reports.delimited import write
from orgscan.reports.rows import ROWS

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = {
    "=1+1": "'=1+1", "+1": "'+1", "-2": "'-2", "@x": "'@x", " =1": " '=1", "\x00=1": "\x00'=1",
    "\x0b-1": "\x0b'-1", "\u200b=1": "\u200b'=1", "\u00a0@x": "\u00a0'@x", "\uff1d1": "'\uff1d1",
    "\uff0b1": "'\uff0b1", "\uff0d1": "'\uff0d1", "\uff20x": "'\uff20x", "'=1": "''=1",
    "''=1": "'''=1", "\t=1": "'\t'=1", "\r=1": "'\r'=1", "\nx": "'\nx", "'\tx": "''\tx",
    "a;=1": "a;'=1", "a; +1;-2": "a; '+1;'-2", "a\n=1": "a\n'=1", "a\t'@x": "a\t''@x",
}  # fmt: skip
PLAIN = (
    "NA", "null", "true", "nan", "a=1", "x-1", "a,b", 'say "hi"', "two\nlines", "cr\rlf\r\n", "",
    " ", "x ", "'", "''x", "a;b", "a;'b", "it's",
    "naïve 🎉", "\u202emoor\u202c", "a\x00b", "\x1b[31m", "000012345678", "1E5", "\\",
)  # fmt: skip
INVISIBLE = r"\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def column(path: Path) -> list[str]:
    """The only column, a quoted empty text in an otherwise empty line included."""
    return [row[0] if row else "" for row in cells(path)][1:]


def read_back(cell: str) -> str:
    """The documented way to the exact text."""
    cell = re.sub(r"^'('*[\t\r\n])", r"\1", cell)
    return re.sub(rf"((?:^|[;\t\r\n])[{INVISIBLE}]*'*)'({SIGN})", r"\1\2", cell)


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_every_name_comes_back_and_none_begins_a_formula(tmp_path: Path, dtype: Any) -> None:
    names = [*HOSTILE, *PLAIN]
    path = tmp_path / "x.csv"
    write(path, pd.DataFrame({"user": pd.Series(names, dtype=dtype)}))

    found = column(path)
    assert [read_back(cell) for cell in found] == names
    assert found == [*HOSTILE.values(), *PLAIN]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"])) | st.text("=+-@'\t\r\n \x00\",;a\uff1d"),
        min_size=1,
    )
)
def test_any_text_comes_back_and_begins_no_formula(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "x.csv"
    write(path, pd.DataFrame({"user": pd.Series(names, dtype="str"), "slot": 1}))

    found = [row[0] for row in cells(path)][1:]
    assert [read_back(cell) for cell in found] == names
    for separator in (";", "\t", "\n", "\r"):
        begun = [part for cell in found for part in cell.split(separator)]
        assert not [part for part in begun if re.match(rf"[{INVISIBLE}]*{SIGN}", part)]
    assert not [cell for cell in found if cell.startswith(("\t", "\r", "\n"))]


def test_values_nulls_and_the_bytes_of_the_file(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "account_id": pd.Series(["000000000042", "0"], dtype="str"),
            "user": pd.Series(["", None], dtype="str"),
            "is_root": pd.Series([True, None], dtype="boolean"),
            "slot": pd.Series([2, None], dtype="Int64"),
            "age_days": pd.Series([0.5, None], dtype="Float64"),
            "as_of": pd.Series(
                [datetime(2026, 9, 30, 6, tzinfo=UTC), None], dtype="datetime64[us, UTC]"
            ),
            "seen": pd.Series(
                [datetime(2026, 9, 30, 6, 0, 10, 120_000, tzinfo=UTC), None],
                dtype="datetime64[us, UTC]",
            ),
        }
    )
    path = tmp_path / "x.csv"
    write(path, frame)

    assert path.read_bytes() == (
        b"\xef\xbb\xbfaccount_id,user,is_root,slot,age_days,as_of,seen\r\n"
        b'000000000042,"",true,2,0.5,2026-09-30T06:00:00Z,2026-09-30T06:00:10.12Z\r\n'
        b"0,,,,,,\r\n"
    )


def test_a_table_without_rows_has_its_head(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, pd.DataFrame({"user": pd.Series([], dtype="str"), "slot": []}))
    assert path.read_bytes() == b"\xef\xbb\xbfuser,slot\r\n"


def test_rows_of_several_pieces_keep_their_order(tmp_path: Path) -> None:
    rows = ROWS * 2 + 3
    names = pd.Series([f"user-{number % 7}" for number in range(rows)], dtype="category")
    path = tmp_path / "x.csv"
    write(path, pd.DataFrame({"number": range(rows), "user": names}))
    found = cells(path)[1:]
    assert [row[0] for row in found] == [str(number) for number in range(rows)]
    assert [row[1] for row in found] == names.tolist()


def test_half_a_surrogate_pair_becomes_its_escape(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, pd.DataFrame({"user": pd.Series(["lone \ud800", None], dtype=object), "n": 1}))
    assert [row[0] for row in cells(path)][1:] == ["lone \\ud800", ""]
