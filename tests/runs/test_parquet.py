from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orgscan.errors import RunError
from orgscan.runs import parquet
from orgscan.runs.parquet import read as read_parquet
from orgscan.runs.parquet import write as write_parquet
from orgscan.schema import ACCOUNTS, CREDENTIALS, FINDINGS, SCHEMA_VERSION, TABLES, Type
from tests.kit import reports as sample

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["NA", "null", "None", "nan", "true", "", "=1+1", "line\nbreak\x07", "\U0001f600", "007"]


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    content = sample.content(6, 2, coverages=("COMPLETE", "DENIED", "NOT_ACTIVE"))
    return {table.name: getattr(content, table.name) for table in TABLES}


def users(names: list[str]) -> pd.DataFrame:
    base = {"account_id": "000000000001", "is_root": False, "source": "both"}
    return sample.typed(CREDENTIALS, [{**base, "user": name} for name in names])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_schema_follows_the_table(
    table: Any, frames: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(frames[table.name], table, path, metadata={"run": "r1"})
    schema = pq.read_schema(path)
    assert schema.names == table.column_names
    for column in table:
        field = schema.field(column.name)
        assert field.nullable is not column.required
        assert field.metadata[b"description"].decode() == column.description
        assert field.metadata[b"unit"].decode() == column.unit
    assert schema.field(table.column_names[0]).type == pa.string()
    assert schema.metadata[b"orgscan.grain"].decode() == table.grain
    assert schema.metadata[b"orgscan.key"].decode() == ",".join(table.key)
    assert schema.metadata[b"orgscan.schema_version"].decode() == str(SCHEMA_VERSION)
    assert schema.metadata[b"run"] == b"r1"
    assert b"pandas" not in schema.metadata


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_is_written_is_read(
    table: Any, frames: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(frames[table.name], table, path, metadata={})
    pd.testing.assert_frame_equal(read_parquet(path, table), frames[table.name])


def test_same_frame_same_bytes(frames: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    plain = frames["findings"]
    coded = plain.assign(
        control_id=plain["control_id"].astype("category"), status=plain["status"].astype("category")
    )
    write_parquet(plain, FINDINGS, first, metadata={"a": "1", "b": "2"})
    shuffled_index = coded.set_axis(range(len(coded), 0, -1))
    write_parquet(shuffled_index, FINDINGS, second, metadata={"b": "2", "a": "1"})
    assert first.read_bytes() == second.read_bytes()


def test_users_called_like_nothing_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    write_parquet(users(NAMES), CREDENTIALS, path, metadata={})
    assert read_parquet(path, CREDENTIALS)["user"].tolist() == NAMES
    assert pq.read_table(path)["user"].to_pylist() == NAMES


def test_empty_table_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    write_parquet(users([]), CREDENTIALS, path, metadata={})
    pd.testing.assert_frame_equal(read_parquet(path, CREDENTIALS), users([]))


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 4)
    path = tmp_path / "users.parquet"
    write_parquet(users(NAMES), CREDENTIALS, path, metadata={})
    assert pq.ParquetFile(path).num_row_groups == 3
    assert read_parquet(path, CREDENTIALS)["user"].tolist() == NAMES


def test_null_in_a_required_column_is_refused(tmp_path: Path) -> None:
    frame = users(["a", "b"])
    frame.loc[1, "user"] = None
    with pytest.raises(
        RunError, match=r"column user: 1 rows are empty, but the column is required"
    ):
        write_parquet(frame, CREDENTIALS, tmp_path / "x", metadata={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="user"), r"missing \['user'\]"),
        (lambda f: f.assign(more="x"), r"not in the schema \['more'\]"),
        (lambda f: f[f.columns[::-1]], "out of order"),
    ],
    ids=["missing", "extra", "order"],
)
def test_other_columns_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=message):
        write_parquet(change(users(["a"])), CREDENTIALS, tmp_path / "x", metadata={})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("account_id", [12345]),
        ("is_root", ["true"]),
        ("access_keys_listed", ["2"]),
        ("access_keys_listed", [1.5]),
        ("user_created_at", ["2026-01-01"]),
        ("user_created_at", [datetime(2026, 1, 1)]),  # noqa: DTZ001 - naive on purpose
        ("user_created_at", [pd.Timestamp("2026-01-01T00:00:00.000000001Z")]),
    ],
)
def test_other_types_are_refused(column: str, values: list[Any], tmp_path: Path) -> None:
    frame = users(["a"]).assign(**{column: pd.Series(values)})
    with pytest.raises(RunError, match=f"column {column}: "):
        write_parquet(frame, CREDENTIALS, tmp_path / "x", metadata={})


def test_lone_surrogate_is_refused_by_name(tmp_path: Path) -> None:
    frame = users(["a"]).assign(user=pd.Series(["\ud800"], dtype=object))
    with pytest.raises(RunError, match="column user: cannot be stored"):
        write_parquet(frame, CREDENTIALS, tmp_path / "x", metadata={})


def test_other_zones_become_utc(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    tokyo = pd.Series(pd.to_datetime(["2026-01-01T09:00:00+09:00"])).dt.as_unit("us")
    write_parquet(users(["a"]).assign(user_created_at=tokyo), CREDENTIALS, path, metadata={})
    assert read_parquet(path, CREDENTIALS)["user_created_at"][0] == datetime(2026, 1, 1, tzinfo=UTC)


def rewritten(path: Path, change: Any) -> Path:
    pq.write_table(change(pq.read_table(path)), path)
    return path


def versioned(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({**table.schema.metadata, b"orgscan.schema_version": b"9"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (versioned, "table schema 9"),
        (lambda t: t.replace_schema_metadata(None), "holds table '\\?'"),
        (lambda t: t.drop_columns("user"), "column user is missing"),
        (lambda t: t.set_column(0, "account_id", pa.array([1])), "account_id holds int64"),
    ],
    ids=["version", "foreign", "missing", "retyped"],
)
def test_files_that_do_not_fit_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    write_parquet(users(["a"]), CREDENTIALS, path, metadata={})
    with pytest.raises(RunError, match=message):
        read_parquet(rewritten(path, change), CREDENTIALS)


def test_no_parquet_and_other_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"nonsense")
    with pytest.raises(RunError, match="cannot be read as Parquet"):
        read_parquet(path, CREDENTIALS)
    with pytest.raises(RunError, match="cannot be read as Parquet"):
        read_parquet(tmp_path / "absent.parquet", CREDENTIALS)
    write_parquet(users(["a"]), CREDENTIALS, path, metadata={})
    with pytest.raises(RunError, match="holds table 'credentials', not 'accounts'"):
        read_parquet(path, ACCOUNTS)


def test_columns_of_another_minor_version(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    write_parquet(users(["a"]), CREDENTIALS, path, metadata={})
    rewritten(path, lambda t: t.drop_columns("mfa_active").append_column("new", pa.array(["x"])))
    frame = read_parquet(path, CREDENTIALS)
    assert list(frame.columns) == CREDENTIALS.column_names
    assert frame["mfa_active"].dtype == sample.DTYPES[Type.BOOLEAN]
    assert frame["mfa_active"].isna().all()
