"""Many runs as one dataset: published, read by others, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import uuid
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
from orgscan import settings
from orgscan.cli import main
from orgscan.errors import ExitCode, IntegrityError, RunError, UsageError
from orgscan.models import Clock, Credentials, Observer
from orgscan.pipeline.publish import check_destination
from orgscan.pipeline.publish import publish as publish_run
from orgscan.runs.history import Destination, History, Snapshot, destination, publish
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_OF = datetime(2026, 9, 30, 23, 30, tzinfo=UTC)
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
ONE, TWO, NEW = (str(uuid.UUID(int=number, version=4)) for number in (1, 2, 3))
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
        run_id=ONE,
        organization_id="o-one",
        as_of=AS_OF,
        files={name: finished / f"{name}.parquet" for name in NAMES},
    )


@pytest.fixture
def dest(tmp_path: Path) -> Destination:
    return Destination.parse(str(tmp_path / "history"))


def judged(snapshot: Snapshot, as_of: datetime, **changes: Any) -> Snapshot:
    """The snapshot for another time; findings tell it in a column of their own."""
    path = Path(tempfile.mkdtemp(dir=snapshot.files["findings"].parent.parent)) / "findings.parquet"
    findings = pq.read_table(snapshot.files["findings"])
    place = findings.column_names.index("as_of")
    field = findings.schema.field(place)
    moments = pa.array([as_of] * len(findings), field.type)
    pq.write_table(findings.set_column(place, field, moments), path)
    return replace(snapshot, as_of=as_of, files={**snapshot.files, "findings": path}, **changes)


def files(dest: Destination) -> dict[str, bytes]:
    root = Path(dest.path)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_run_is_one_file_a_table_in_the_partition_of_its_day(
    snapshot: Snapshot, dest: Destination
) -> None:
    publish(snapshot, dest)
    assert sorted(files(dest)) == sorted(
        f"{name}/snapshot_date=2026-09-30/{ONE}.parquet" for name in NAMES
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
    path = Path(dest.path) / name / "snapshot_date=2026-09-30" / f"{ONE}.parquet"
    with pq.ParquetFile(path) as file:
        told, schema = file.read(), file.schema_arrow
    with pq.ParquetFile(snapshot.files[name]) as file:
        source = file.read()
    own = ["run_id", "organization_id"] + ([] if name == "findings" else ["as_of"])
    assert told.column_names == [*own, *source.column_names]
    assert told.select(source.column_names).equals(source)
    assert told["run_id"].to_pylist() == [ONE] * len(source)
    assert told["organization_id"].to_pylist() == ["o-one"] * len(source)
    assert schema.field("account_id").metadata == source.schema.field("account_id").metadata
    assert schema.metadata[b"orgscan.table"].decode() == name


def test_publishing_again_replaces_its_own_files_only(
    snapshot: Snapshot, dest: Destination
) -> None:
    publish(replace(snapshot, run_id=TWO), dest)
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
    publish(judged(snapshot, AS_OF), dest)
    publish(judged(snapshot, datetime(2026, 12, 31, tzinfo=UTC), run_id=TWO), dest)
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
        (ONE, date(2026, 9, 30)),
        (TWO, date(2026, 12, 31)),
    }


def test_a_column_of_a_newer_version_is_null_before(
    two: History, dest: Destination, tmp_path: Path, snapshot: Snapshot
) -> None:
    newer = tmp_path / "newer.parquet"
    with pq.ParquetFile(snapshot.files["accounts"]) as file:
        table = file.read()
    pq.write_table(table.append_column("risk", pa.array(["low"] * len(table))), newer)
    files = {**snapshot.files, "accounts": newer}
    publish(replace(snapshot, run_id=NEW, as_of=datetime(2027, 1, 1, tzinfo=UTC),
                    files=files), dest)  # fmt: skip
    frame = two.table("accounts").to_table(columns=["run_id", "risk"]).to_pandas()
    assert frame.groupby("run_id")["risk"].count().to_dict() == {
        NEW: len(table),
        ONE: 0,
        TWO: 0,
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
        ("2026-09-30", ONE),
        ("2026-12-31", TWO),
    ]
    assert rows[0][2] == rows[1][2] > 0
    assert kind == "VARCHAR"


def test_history_says_what_is_not_there(tmp_path: Path, two: History) -> None:
    with pytest.raises(UsageError, match="contains no published run"):
        orgscan.open_history(str(tmp_path / "nothing")).table("accounts")
    (tmp_path / "empty" / "accounts").mkdir(parents=True)
    with pytest.raises(UsageError, match="contains no published run"):
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
        ("s3://bucket/x?scheme=http&endpoint_override=[::1].evil", "endpoint_override: "),
        ("s3://bucket/x?endpoint_override=[::1].evil", "is not HOST or HOST:PORT"),
        (__file__, "is not a directory"),
        ("s3:/bucket/x", "give a directory"),
        ("s3:bucket", r"write '\./s3:bucket'"),
        ("S3://bucket/x", "give a directory"),
        (" s3://bucket/x", "give a directory"),
        ("C:history", "give a directory"),
        ("arn:aws:s3:::bucket", "give a directory"),
    ],
)
def test_an_address_that_cannot_be_is_told_before_anything_is_read(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        check_destination(text)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_word_with_a_colon_is_a_directory_when_it_is_written_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Destination.parse("./s3:bucket").path == str(tmp_path / "s3:bucket")
    assert Destination.parse("quarters 2026: all").is_local


def test_a_directory_that_cannot_be_written_is_one_line(
    snapshot: Snapshot, dest: Destination
) -> None:
    Path(dest.path).mkdir()
    for name in NAMES:
        Path(dest.path, name).touch()
    with pytest.raises(RunError, match=r"cannot be published to \(.+\); the run") as caught:
        publish(snapshot, dest)
    assert "\n" not in str(caught.value)
    assert "put into" not in str(caught.value)


def blocked_at(dest: Destination, name: str) -> None:
    """Let the partition of one table be a file."""
    Path(dest.path, name).mkdir(parents=True)
    Path(dest.path, name, "snapshot_date=2026-09-30").touch()


def test_what_was_put_before_it_failed_is_told(snapshot: Snapshot, dest: Destination) -> None:
    blocked_at(dest, "accounts")
    others = ", ".join(name for name in snapshot.files if name != "accounts")
    told = f"published: {others}; not published: accounts; publish the run again$"
    with pytest.raises(RunError, match=told):
        publish(snapshot, dest)


@pytest.mark.parametrize("before", [False, True], ids=["alone", "beside another"])
def test_a_run_that_is_not_among_the_accounts_is_not_counted(
    snapshot: Snapshot, dest: Destination, *, before: bool
) -> None:
    if before:
        publish(judged(snapshot, AS_OF.replace(month=6), run_id=TWO), dest)
    files = {name: snapshot.files[name] for name in ("findings", "credentials", "accounts")}
    torn = replace(snapshot, files={**files, "credentials": Path(os.devnull)})
    with pytest.raises(RunError, match="published: findings; not published: credentials, accounts"):
        publish(torn, dest)
    if before:
        assert set(History(dest).trend()["run_id"]) == {TWO}
    else:
        with pytest.raises(UsageError, match="contains no published run"):
            History(dest).trend()


@pytest.mark.parametrize(
    "run_id",
    [
        "../../../escaped",
        "",
        "run-one",
        f"{ONE}/x",
        ONE.replace("0", "A", 1),
        f"{ONE}\n",
        "a\x1b[2J",
    ],
)
def test_a_run_id_that_is_no_uuid_names_no_file(snapshot: Snapshot, run_id: str) -> None:
    with pytest.raises(IntegrityError, match="not a UUID") as caught:
        replace(snapshot, run_id=run_id)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["", "history", "deeper/history"])
def test_a_history_lies_apart_from_the_runs(tmp_path: Path, place: str) -> None:
    run, link = tmp_path / "run", tmp_path / "link"
    run.mkdir()
    link.symlink_to(run)
    for first in (run, link, tmp_path / "other" / ".." / "run"):
        with pytest.raises(UsageError, match="must be outside the run"):
            check_destination(str(first / place), apart_from=[None, run])
        with pytest.raises(UsageError, match="must be outside the run"):
            check_destination(str(run / place), apart_from=[link])
    check_destination(str(tmp_path), apart_from=[run])
    check_destination("s3://bucket/run", apart_from=[run])


def test_no_run_lies_where_a_history_has_its_tables(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be outside the run"):
        check_destination(str(tmp_path), apart_from=[tmp_path / "findings"])
    inside = tmp_path / "findings" / "snapshot_date=2026-09-30"
    with pytest.raises(UsageError, match="must be outside the run"):
        check_destination(str(tmp_path), apart_from=[inside])


def test_publishing_into_a_run_leaves_it_whole(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    with pytest.raises(RunError, match=r"not published: .* must be outside the run"):
        publish_run(run, str(run / "history"), observer=Observer())
    assert sorted(path.name for path in run.iterdir()) == sorted(
        path.name for path in finished.iterdir()
    )


@pytest.mark.parametrize("option", ["run", "output", "previous"])
@pytest.mark.parametrize("command", ["scan", "report"])
def test_the_command_line_refuses_a_history_in_a_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, command: str
) -> None:
    again, before = tmp_path / "again", sorted(finished.rglob("*"))
    where = again if option == "output" else finished
    arguments = {"scan": ["--role-name", "Audit"], "report": [str(finished)]}[command]
    if option == "run" and command == "scan":
        arguments += ["--resume", str(finished)]
    else:
        arguments += ["--output", str(again)]
    if option == "previous":
        arguments += ["--previous", str(finished)]
        if command == "report":
            arguments[0] = str(tmp_path / "another")
    with pytest.raises(SystemExit) as ended:
        main([command, *arguments, "--publish", str(where / "history")])
    assert ended.value.code == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "must be outside the run" in told
    assert told.count("\n") == 1
    assert not again.exists()
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize(
    ("below", "blocking"),
    [("file/history", "file"), ("file/a/b", "file"), ("history", "history/findings")],
)
def test_a_file_in_the_way_is_named_first(tmp_path: Path, below: str, blocking: str) -> None:
    (tmp_path / blocking).parent.mkdir(exist_ok=True)
    (tmp_path / blocking).touch()
    with pytest.raises(UsageError, match=f"{tmp_path / blocking}' is not a directory"):
        check_destination(str(tmp_path / below))


def test_a_name_too_long_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be \(File name too long\); choose another"):
        check_destination(str(tmp_path / ("x" * 300) / "history"))


@pytest.mark.parametrize("name", ["history", "history/findings"])
def test_a_link_to_nowhere_is_in_the_way(tmp_path: Path, name: str) -> None:
    link = tmp_path / name
    link.parent.mkdir(exist_ok=True)
    for target in ("nowhere", link.name):
        link.symlink_to(target)
        with pytest.raises(UsageError, match="is not a directory"):
            check_destination(str(tmp_path / "history"), apart_from=[tmp_path / "run"])
        link.unlink()


@pytest.fixture
def kept() -> Iterator[Path]:
    """A directory with one that may not be written to and one that may not be entered.

    Looked at as somebody else where the tests run as root, who may do either.
    """
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name)
        for folder, mode in (("closed", 0o000), ("findings", 0o555)):
            (kept / folder).mkdir(mode)
        kept.chmod(0o755)
        user = os.geteuid()
        os.seteuid(user or 65534)
        yield kept
        os.seteuid(user)
        for folder in ("closed", "findings"):
            (kept / folder).chmod(0o755)


@pytest.mark.parametrize(
    ("below", "blocking"),
    [("findings/history", "findings"), ("closed/a/b", "closed")],
)
def test_a_directory_nobody_may_write_to_is_named_first(
    kept: Path, below: str, blocking: str
) -> None:
    with pytest.raises(UsageError, match=f"{kept / blocking}' may not be written to"):
        check_destination(str(kept / below))


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
    with destination._no_configured_endpoint():
        assert not [name for name in os.environ if "ENDPOINT" in name]
    assert os.environ["AWS_ENDPOINT_URL_S3"] == moto.client.meta.endpoint_url
    assert stored(moto, "redirected") == {}


def test_a_run_is_published_as_whoever_scans(
    moto: Any, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="the run is complete but was not published: no AWS cred"):
        publish_run(finished, moto(prefix="as"), observer=Observer())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    publish_run(finished, moto(prefix="as"), observer=Observer())
    assert len(stored(moto, "as/")) == len(NAMES)
    assert orgscan.open_history(moto(prefix="as")).table("accounts").count_rows() == 12
    with pytest.raises(RunError, match="profile 'nobody' does not exist"):
        publish_run(
            finished,
            moto(prefix="as"),
            observer=Observer(),
            settings=settings.load(environment={}, profile="nobody"),
        )


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
    day = orgscan.open_run(finished).manifest["as_of"][:10]
    for name in NAMES:
        (blocked / name).mkdir(parents=True)
        (blocked / name / f"snapshot_date={day}").touch()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(finished), "--output", str(again), "--publish", str(blocked)])
    assert ended.value.code == ExitCode.RUN_FAILED
    assert "the run itself is complete" in capsys.readouterr().err
    assert len(orgscan.open_run(again).accounts) == 12


def test_the_command_line_says_first_which_file_is_in_the_way(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again, file = tmp_path / "again", tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(finished), "--output", str(again), "--publish", f"{file}/history"])
    assert ended.value.code == ExitCode.USAGE
    assert not again.exists()
    assert f"'{file}' is not a directory" in capsys.readouterr().err


def test_what_is_not_ours_is_passed_over(two: History, dest: Destination) -> None:
    whole = two.trend()
    rows = two.table("findings").count_rows()
    findings = Path(dest.path, "findings")
    written = findings / "snapshot_date=2026-09-30" / f"{ONE}.parquet"
    (findings / "README.txt").write_text("ours")
    (findings / "snapshot_date=notadate").mkdir()
    (findings / "snapshot_date=2026-13-45").mkdir()
    for stray in (
        "stray.parquet",
        "snapshot_date=notadate/x.parquet",
        "snapshot_date=2026-13-45/x.parquet",
        "snapshot_date=2026-09-30/.x.parquet",
        "snapshot_date=2026-09-30/_x.parquet",
        "snapshot_date=2026-09-30/x.parquet.bak",
    ):
        shutil.copy(written, findings / stray)
    (findings / "snapshot_date=2026-09-30" / "folder.parquet").mkdir()
    (findings / "snapshot_date=2026-09-30" / "_SUCCESS").touch()
    assert two.table("findings").count_rows() == rows
    pd.testing.assert_frame_equal(two.trend(), whole)


def test_what_is_not_ours_alone_is_no_history(dest: Destination) -> None:
    findings = Path(dest.path, "findings")
    findings.mkdir(parents=True)
    (findings / "README.txt").write_text("ours")
    with pytest.raises(UsageError, match="contains no published run"):
        History(dest).table("findings")


def test_what_is_not_ours_is_passed_over_on_s3(moto: Any, snapshot: Snapshot) -> None:
    target = Destination.parse(moto(prefix="strays"))
    for key in ("README.txt", "snapshot_date=notadate/x.parquet", "x.parquet"):
        moto.client.put_object(Bucket="audits", Key=f"strays/findings/{key}", Body=b"ours")
    with pytest.raises(UsageError, match="contains no published run"):
        History(target, KEYS).table("findings")
    publish(snapshot, target, KEYS)
    rows = pq.read_metadata(snapshot.files["findings"]).num_rows
    assert History(target, KEYS).table("findings").count_rows() == rows


@pytest.mark.parametrize("day", ["2026-09-30", "2026-12-31"])
def test_a_damaged_file_is_named(two: History, dest: Destination, day: str) -> None:
    (damaged,) = Path(dest.path, "findings", f"snapshot_date={day}").iterdir()
    damaged.write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=str(damaged)) as caught:
        two.trend()
    assert str(caught.value).startswith(f"{dest.path}: cannot be read (")
    assert "\n" not in str(caught.value)


def test_a_history_is_found_by_any_way_to_it(
    two: History, dest: Destination, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(dest.path)
    for way in (tmp_path / "other" / ".." / "history", tmp_path / "link", f"{dest.path}//"):
        found = orgscan.open_history(str(way)).table("findings")
        assert found.count_rows() == two.table("findings").count_rows()


def shown(capsys: pytest.CaptureFixture[str], dest: Destination, *options: str) -> list[list[str]]:
    """The rows of ``orgscan trend``, its heads first."""
    with pytest.raises(SystemExit) as ended:
        main(["trend", dest.path, *options])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    return [re.split(r"  +", line.strip()) for line in lines[1 : lines.index("")]]


@pytest.mark.parametrize("options", [[], ["--by", "ou"]])
def test_one_run_of_two_days_is_shown_as_two(
    snapshot: Snapshot,
    dest: Destination,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    publish(judged(snapshot, AS_OF), dest)
    heads, *alone = shown(capsys, dest, *options)
    publish(judged(snapshot, datetime(2027, 1, 2, tzinfo=UTC)), dest)
    both_heads, *both = shown(capsys, dest, *options)
    assert [head.rstrip("*") for head in both_heads] == ["2026-09-30", "2027-01-02"]
    assert both_heads[:1] == heads
    assert both == [[*row, row[-1]] for row in alone]
    read = pq.read_table(snapshot.files["accounts"], columns=["coverage"])["coverage"].to_pylist()
    assert alone[0] == ["accounts read", str(read.count("COMPLETE"))]


def test_two_days_of_one_run_keep_their_own_figures(
    snapshot: Snapshot,
    dest: Destination,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(judged(snapshot, AS_OF), dest)
    later = judged(snapshot, datetime(2027, 1, 2, tzinfo=UTC))
    findings = pq.read_table(later.files["findings"])
    place = findings.column_names.index("status")
    field = findings.schema.field(place)
    passed = findings.set_column(place, field, pa.array(["PASS"] * len(findings), field.type))
    pq.write_table(passed, later.files["findings"])
    publish(later, dest)
    controls = shown(capsys, dest)[3:]
    assert {cells[2] for cells in controls} == {"0"}
    assert {cells[1] for cells in controls} != {"0"}


def test_two_runs_of_one_day_have_heads_that_differ(
    snapshot: Snapshot, dest: Destination, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(judged(snapshot, AS_OF), dest)
    publish(judged(snapshot, AS_OF.replace(hour=7, minute=5), run_id=TWO), dest)
    publish(judged(snapshot, AS_OF.replace(month=12, day=1), run_id=NEW), dest)
    assert heads(capsys, dest) == ["2026-09-30 07:05", "2026-09-30 23:30", "2026-12-01"]
    third = "c" + ONE[1:]
    publish(judged(snapshot, AS_OF, run_id=third), dest)
    assert heads(capsys, dest) == [
        "2026-09-30 07:05",
        "2026-09-30 23:30 00000000",
        "2026-09-30 23:30 c0000000",
        "2026-12-01",
    ]


def heads(capsys: pytest.CaptureFixture[str], dest: Destination) -> list[str]:
    """The heads of the columns, each of which stands over the end of its cells."""
    with pytest.raises(SystemExit):
        main(["trend", dest.path])
    head, read = capsys.readouterr().out.splitlines()[1:3]
    ends = [found.end() for found in re.finditer(r"\d+$|\d+(?= )", read)]
    starts = [found.start() for found in re.finditer(r"\d{4}-\d\d-\d\d", head)]
    stops = [*starts[1:], len(head)]
    found = [head[start:stop].rstrip() for start, stop in zip(starts, stops, strict=True)]
    assert ends == [start + len(text) for start, text in zip(starts, found, strict=True)]
    return [text.rstrip("*") for text in found]


def test_trend_of_a_file_is_told_without_an_option_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a\x1bfile"
    file.touch()
    with pytest.raises(SystemExit) as ended:
        main(["trend", str(file)])
    assert ended.value.code == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "--publish" not in told
    assert "is not a directory" in told
    assert told.strip().isprintable()
