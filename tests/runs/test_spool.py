"""Rows set aside in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orgscan import frames
from orgscan.compare.earlier import by_account
from orgscan.runs import parquet
from orgscan.runs.parquet import Stored
from orgscan.runs.spool import Spool
from orgscan.schema import ACCESS_KEYS, Column, Type

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (Column("group", Type.STRING, ""), Column("number", Type.INTEGER, ""))


def rows(size: int, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    groups = pd.Series(draw.choice(["b", "a", "c"], size), dtype="str")
    return pd.DataFrame({"group": groups, "number": pd.Series(range(size), dtype="Int64")})


@pytest.mark.parametrize("step", [1, 700, 50_000])
def test_groups_come_in_order_and_their_rows_as_they_came(step: int, tmp_path: Path) -> None:
    given = rows(30 if step == 1 else 9_000)
    expected = given.sort_values("group", kind="stable", ignore_index=True)
    with Spool(COLUMNS, tmp_path) as spool:
        for start in range(0, len(given), step):
            part = given.iloc[start : start + step]
            spool.add(part, part[["group"]])
        assert len(spool) == len(given)
        assert list(tmp_path.iterdir()) == [], "the file has no name"
        pd.testing.assert_frame_equal(pd.concat(spool.pieces(), ignore_index=True), expected)
        groups = [set(group["group"]) for group in spool.groups()]
        assert groups == [{"a"}, {"b"}, {"c"}]
        middle = pd.concat(spool.pieces(7, 19), ignore_index=True)
        pd.testing.assert_frame_equal(middle, expected.iloc[7:19].reset_index(drop=True))
        assert list(spool.pieces(5, 5)) == []


def test_nothing_set_aside_is_nothing(tmp_path: Path) -> None:
    with Spool(COLUMNS, tmp_path) as spool:
        spool.add(rows(0), rows(0)[["group"]])
        assert len(spool) == 0
        assert list(spool.pieces()) == list(spool.groups()) == []


@pytest.mark.parametrize("order", ["by account", "by status"])
@pytest.mark.parametrize("group", [1, 3, 1_000])
def test_a_table_in_any_order_is_read_by_account(order: str, group: int, tmp_path: Path) -> None:
    ids = [f"{number:012d}" for number in range(12)]
    given = frames.empty(ACCESS_KEYS.columns).reindex(range(36))
    given = given.assign(
        account_id=pd.Series(ids * 3, dtype="str"),
        status=pd.Series([f"s{number % 3}" for number in range(36)], dtype="str"),
        slot=pd.Series(range(36), dtype="Int64"),
    )
    by = "account_id" if order == "by account" else "status"
    given = given.sort_values(by, kind="stable", ignore_index=True)
    path = tmp_path / "x.parquet"
    schema = parquet.arrow_schema(ACCESS_KEYS)
    arrays = [frames.arrow(given[name]) for name in ACCESS_KEYS.column_names]
    loose = pa.schema(
        [field.with_nullable(nullable=True) for field in schema], metadata=schema.metadata
    )
    table = pa.table(
        [one.cast(field.type) for one, field in zip(arrays, loose, strict=True)], schema=loose
    )
    pq.write_table(table, path, row_group_size=group)
    stored = Stored(path, ACCESS_KEYS, columns=("account_id", "status", "slot"))
    got = pd.concat(by_account(stored, ids, tmp_path), ignore_index=True)
    wanted = given.sort_values("account_id", kind="stable", ignore_index=True)
    columns = ["account_id", "status", "slot"]
    pd.testing.assert_frame_equal(
        got[columns].sort_values(columns, ignore_index=True),
        wanted[columns].sort_values(columns, ignore_index=True),
    )
    assert got["account_id"].is_monotonic_increasing


def test_a_table_without_rows_is_in_order_whoever_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "access_keys.parquet"
    parquet.write(frames.empty(ACCESS_KEYS.columns), ACCESS_KEYS, path, metadata={})
    pq.write_table(pq.read_table(path), path)  # with a row group of no rows
    assert pq.ParquetFile(path).num_row_groups == 1
    stored = Stored(path, ACCESS_KEYS)
    assert sum(map(len, by_account(stored, ["000000000001"], tmp_path))) == 0
