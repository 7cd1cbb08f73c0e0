"""Columns as numbers, counts and types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from orgscan import frames
from orgscan.schema import TABLES

WORDS = ["b", None, "a", "b", "NA"]


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_text_becomes_numbers_and_null_is_minus_one(dtype: str) -> None:
    numbers, texts = frames.codes(pd.Series(WORDS, dtype=dtype))
    assert [texts[number] if number >= 0 else None for number in numbers] == WORDS
    assert sorted(texts) == ["NA", "a", "b"]


def test_rows_are_counted_by_values_and_nulls_are_left_out() -> None:
    frame = pd.DataFrame({"one": WORDS, "two": ["x", "x", "y", "x", None]})
    assert frames.counts(frame, "one", "two") == {("b", "x"): 2, ("a", "y"): 1}
    assert frames.counts(frame.iloc[:0].astype("str"), "one") == {}


def test_membership_and_positions() -> None:
    column = pd.Series(WORDS, dtype="str")
    assert frames.among(column, ["b"]).tolist() == [True, False, False, True, False]
    assert frames.among(column, pd.Series([], dtype="str")).tolist() == [False] * 5
    others = frames.arrow(pd.Series(["a", "b"], dtype="str"))
    assert frames.positions(frames.arrow(column), others).tolist() == [1, -1, 0, 1, -1]


def test_parts_are_joined_and_null_is_nothing() -> None:
    joined = frames.joined(["<", frames.arrow(pd.Series(WORDS, dtype="str")), ">"])
    assert joined.to_pylist() == ["<b>", "<>", "<a>", "<b>", "<NA>"]


def test_times_are_utc_and_the_lowest_integer_is_null() -> None:
    times = pd.Series(frames.times(np.array([1_000_000, np.iinfo(np.int64).min])))
    assert times[0] == pd.Timestamp("1970-01-01T00:00:01Z")
    assert times.isna().tolist() == [False, True]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_an_empty_frame_has_the_types_of_its_table(table: Any) -> None:
    empty = frames.empty(table.columns)
    assert list(empty.columns) == table.column_names
    assert [empty[column.name].dtype for column in table] == [
        frames.PANDAS[column.type] for column in table
    ]
