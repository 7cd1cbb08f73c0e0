"""Many runs as one dataset: published, read by others, whole or not at all."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

import orgscan
from orgscan import history, pipeline
from orgscan.cli import main
from orgscan.errors import ExitCode, RunError, UsageError
from orgscan.history import Destination, History, Snapshot, publish
from orgscan.models import Clock, Credentials, Observer
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_OF = datetime(2026, 9, 30, 23, 30, tzinfo=UTC)
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
NAMES = [table.name for table in TABLES]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the demo."""
    run = tmp_path_factory.mktemp("history") / "run"
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--accounts", "12", "--output", str(run)])
    assert ended.value.code == 0
    return run


@pytest.fixture
def snapshot(finished: Path) -> Snapshot:
    return Snapshot(
        run_id="run-one",
        organization_id="o-one",
        as_of=AS_OF,
        files={name: finished / f"{name}.parquet" for name in NAMES},
    )


@pytest.fixture
def dest(tmp_path: Path) -> Destination:
    return Destination.parse(str(tmp_path / "history"))


def files(dest: Destination) -> dict[str, bytes]:
    root = Path(dest.path)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_run_is_one_file_a_table_in_the_partition_of_its_day(
    snapshot: Snapshot, dest: Destination
) -> None:
    publish(snapshot, dest)
    assert sorted(files(dest)) == sorted(
        f"{name}/snapshot_date=2026-09-30/run-one.parquet" for name in NAMES
    )


def test_what_is_written_is_private(snapshot: Snapshot, dest: Destination) -> None:
    publish(snapshot, dest)
    for path in (Path(dest.path), *Path(dest.path).rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("name", NAMES)
def test_every_table_tells_its_run_and_keeps_its_rows(
    snapshot: Snapshot, dest: Destination, name: str
) -> None:
    publish(snapshot, dest)
    path = Path(dest.path) / name / "snapshot_date=2026-09-30" / "run-one.parquet"
    with pq.ParquetFile(path) as file:
        told, schema = file.read(), file.schema_arrow
    with pq.ParquetFile(snapshot.files[name]) as file:
        source = file.read()
    own = ["run_id", "organization_id"] + ([] if name == "findings" else ["as_of"])
    assert told.column_names == [*own, *source.column_names]
    assert told.select(source.column_names).equals(source)
    assert told["run_id"].unique().to_pylist() == ["run-one"]
    assert told["organization_id"].unique().to_pylist() == ["o-one"]
    assert schema.field("account_id").metadata == source.schema.field("account_id").metadata
    assert schema.metadata[b"orgscan.table"].decode() == name


def test_publishing_again_replaces_its_own_files_only(
    snapshot: Snapshot, dest: Destination
) -> None:
    publish(replace(snapshot, run_id="run-two"), dest)
    publish(snapshot, dest)
    first = files(dest)
    publish(snapshot, dest)
    assert files(dest) == first
    assert len(first) == 2 * len(NAMES)


def test_a_run_judged_for_another_day_is_another_snapshot(
    snapshot: Snapshot, dest: Destination
) -> None:
    publish(snapshot, dest)
    publish(replace(snapshot, as_of=AS_OF.replace(day=29)), dest)
    assert len(files(dest)) == 2 * len(NAMES)


def test_nothing_torn_is_left_where_a_table_cannot_be_read(
    snapshot: Snapshot, dest: Destination, tmp_path: Path
) -> None:
    publish(snapshot, dest)
    before = files(dest)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(snapshot.files["findings"].read_bytes()[:-200])
    with pytest.raises(RunError, match="cannot be published"):
        publish(replace(snapshot, files={**snapshot.files, "findings": torn}), dest)
    assert files(dest) == before


@pytest.fixture
def two(snapshot: Snapshot, dest: Destination) -> History:
    publish(snapshot, dest)
    later = datetime(2026, 12, 31, tzinfo=UTC)
    publish(replace(snapshot, run_id="run-two", as_of=later), dest)
    return History(dest)


def test_history_reads_all_runs_lazily_and_by_day(two: History, snapshot: Snapshot) -> None:
    rows = pq.read_metadata(snapshot.files["accounts"]).num_rows
    every = two.table("accounts")
    assert isinstance(every, ds.Dataset)
    assert every.count_rows() == 2 * rows
    assert two.table("accounts", since=date(2026, 10, 1)).count_rows() == rows
    assert two.table("accounts", until=date(2026, 9, 30)).count_rows() == rows
    assert two.table("accounts", since=date(2027, 1, 1)).count_rows() == 0
    frame = every.to_table(columns=["account_id", "run_id", "snapshot_date"]).to_pandas()
    assert frame["account_id"].str.fullmatch(r"\d{12}").all()
    assert set(zip(frame["run_id"], frame["snapshot_date"], strict=True)) == {
        ("run-one", date(2026, 9, 30)),
        ("run-two", date(2026, 12, 31)),
    }


def test_a_column_of_a_newer_version_is_null_before(
    two: History, dest: Destination, tmp_path: Path, snapshot: Snapshot
) -> None:
    newer = tmp_path / "newer.parquet"
    with pq.ParquetFile(snapshot.files["accounts"]) as file:
        table = file.read()
    pq.write_table(table.append_column("risk", pa.array(["low"] * len(table))), newer)
    files = {**snapshot.files, "accounts": newer}
    publish(replace(snapshot, run_id="run-new", as_of=datetime(2027, 1, 1, tzinfo=UTC),
                    files=files), dest)  # fmt: skip
    frame = two.table("accounts").to_table(columns=["run_id", "risk"]).to_pandas()
    assert frame.groupby("run_id")["risk"].count().to_dict() == {
        "run-new": len(table),
        "run-one": 0,
        "run-two": 0,
    }


def test_pyarrow_and_pandas_read_it_without_us(two: History, dest: Destination) -> None:
    found = ds.dataset(f"{dest.path}/findings", partitioning="hive")
    assert found.count_rows() == two.table("findings").count_rows()
    frame = pd.read_parquet(f"{dest.path}/credentials")
    assert set(frame["snapshot_date"].astype(str)) == {"2026-09-30", "2026-12-31"}
    assert frame["account_id"].str.len().eq(12).all()


@pytest.mark.usefixtures("two")
def test_duckdb_reads_it(dest: Destination) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        findings = connection.read_parquet(
            f"{dest.path}/findings/*/*.parquet", hive_partitioning=True, union_by_name=True
        )
        fails = findings.filter("status = 'FAIL'")
        rows = fails.aggregate("snapshot_date, run_id, count(*)").order("all").fetchall()
        (kind,) = findings.project("typeof(account_id)").distinct().fetchall()[0]
    assert [(str(day), run) for day, run, _count in rows] == [
        ("2026-09-30", "run-one"),
        ("2026-12-31", "run-two"),
    ]
    assert rows[0][2] == rows[1][2] > 0
    assert kind == "VARCHAR"


def test_history_says_what_is_not_there(tmp_path: Path, two: History) -> None:
    with pytest.raises(UsageError, match="holds no published run"):
        orgscan.open_history(str(tmp_path / "nothing")).table("accounts")
    (tmp_path / "empty" / "accounts").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no published run"):
        orgscan.open_history(str(tmp_path / "empty")).table("accounts")
    with pytest.raises(UsageError, match="unknown table 'account'"):
        two.table("account")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "give a directory"),
        ("gs://bucket/prefix", "give a directory"),
        ("https://bucket/prefix", "give a directory"),
        ("s3://", "is not an address"),
        ("s3://Bad_Bucket/x", "is not an address"),
        ("s3://bucket/x?acl=public", "is not an address"),
        ("s3://bucket/x#here", "is not an address"),
        ("s3://key:secret@bucket/x", "must not hold credentials"),
        ("s3://bucket/x?scheme=http", "loopback"),
        ("s3://bucket/x?scheme=http&endpoint_override=minio.example:9000", "loopback"),
        ("s3://bucket/x?scheme=ftp", "loopback"),
        (__file__, "is a file"),
    ],
)
def test_an_address_that_cannot_be_is_told_before_anything_is_read(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        pipeline.check_destination(text)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_directory_that_cannot_be_written_is_one_line(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "accounts").touch()
    for name in NAMES:
        (tmp_path / name).touch()
    with pytest.raises(RunError, match=r"cannot be published to \(.+\); the run") as caught:
        publish(snapshot, Destination.parse(str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def moto() -> Iterator[Callable[..., Any]]:
    """Someone else's S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
    )
    client.create_bucket(Bucket="audits")

    def address(bucket: str = "audits", prefix: str = "org/history") -> str:
        return f"s3://{bucket}/{prefix}?endpoint_override={host}:{port}&scheme=http"

    address.client = client  # type: ignore[attr-defined]
    yield address
    client.close()
    server.stop()


def stored(moto: Any, prefix: str) -> dict[str, str]:
    answer = moto.client.list_objects_v2(Bucket="audits", Prefix=prefix)
    return {item["Key"]: item["ETag"] for item in answer.get("Contents", ())}


def test_s3_holds_what_a_directory_would(moto: Any, snapshot: Snapshot, dest: Destination) -> None:
    publish(snapshot, dest)
    target = Destination.parse(moto(prefix="org/history"))
    for _again in range(2):
        publish(snapshot, target, KEYS)
        told = {
            key.removeprefix("org/history/"): moto.client.get_object(Bucket="audits", Key=key)[
                "Body"
            ].read()
            for key in stored(moto, "org/")
        }
        assert told == files(dest)
    found = History(target, KEYS).table("credentials", since=date(2026, 9, 30))
    assert found.count_rows() == pq.read_metadata(snapshot.files["credentials"]).num_rows


@pytest.mark.parametrize("bucket", ["no-such-bucket"])
def test_s3_errors_are_one_line(moto: Any, snapshot: Snapshot, bucket: str) -> None:
    with pytest.raises(RunError, match="cannot be published to") as caught:
        publish(snapshot, Destination.parse(moto(bucket=bucket)), KEYS)
    assert "\n" not in str(caught.value)
    assert KEYS.secret_key not in str(caught.value)
    assert "bucket" in str(caught.value).lower()


def test_s3_out_of_reach_is_one_line(snapshot: Snapshot) -> None:
    text = "s3://audits/x?endpoint_override=127.0.0.1:9&scheme=http"
    with pytest.raises(RunError, match="cannot be published to") as caught:
        publish(snapshot, Destination.parse(text), KEYS)
    assert "\n" not in str(caught.value)


def test_an_endpoint_variable_does_not_redirect(
    moto: Any, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.client.meta.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.client.meta.endpoint_url)
    text = "s3://audits/redirected?endpoint_override=127.0.0.1:9&scheme=http"
    with pytest.raises(RunError):
        publish(snapshot, Destination.parse(text), KEYS)
    with history._no_configured_endpoint():
        assert not [name for name in os.environ if "ENDPOINT" in name]
    assert os.environ["AWS_ENDPOINT_URL_S3"] == moto.client.meta.endpoint_url
    assert stored(moto, "redirected") == {}


def test_a_run_is_published_as_whoever_scans(
    moto: Any, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="finished and whole, but not published: no AWS cred"):
        pipeline.publish(finished, moto(prefix="as"), observer=Observer())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    pipeline.publish(finished, moto(prefix="as"), observer=Observer())
    assert len(stored(moto, "as/")) == len(NAMES)
    assert orgscan.open_history(moto(prefix="as")).table("accounts").count_rows() == 12
    with pytest.raises(RunError, match="profile 'nobody' does not exist"):
        pipeline.publish(finished, moto(prefix="as"), observer=Observer(), profile="nobody")


def test_the_command_line_publishes(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path / "history"
    arguments = ["report", str(finished), "--output", str(tmp_path / "again"), "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--publish", str(dest)])
    assert ended.value.code == ExitCode.COVERAGE_GAPS
    assert f"Published {dest}" in capsys.readouterr().out
    today = Clock().now().date()
    assert orgscan.open_history(str(dest)).table("accounts", until=today).count_rows() == 12


def test_the_command_line_says_first_what_cannot_be(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(finished), "--output", str(again), "--publish", "ftp://x"])
    assert ended.value.code == ExitCode.USAGE
    assert not again.exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_that_cannot_be_published_is_whole(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again, blocked = tmp_path / "again", tmp_path / "blocked"
    for name in NAMES:
        blocked.mkdir(exist_ok=True)
        (blocked / name).touch()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(finished), "--output", str(again), "--publish", str(blocked)])
    assert ended.value.code == ExitCode.RUN_FAILED
    assert "the run itself is finished and whole" in capsys.readouterr().err
    assert len(orgscan.open_run(again).accounts) == 12
