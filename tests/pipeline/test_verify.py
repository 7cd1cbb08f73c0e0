"""A run is what its manifest says, or the difference is named."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import resource
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orgscan import files, settings
from orgscan.cli import main
from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import Clock, Credentials, Observer
from orgscan.pipeline.render import render as render_run
from orgscan.pipeline.scan import collect as collect_run
from orgscan.pipeline.verify import verify
from orgscan.runs import evidence, rundir, signing
from orgscan.runs.publication import is_leftover, retract_manifest
from orgscan.runs.seal import seal, write_sealed
from orgscan.simulator import AUDIT_ROLE, Simulator
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXTERNAL_ID = "the-external-id-nobody-may-read"
FILES = (
    "evidence.sqlite", "accounts.parquet", "credentials.parquet", "access_keys.parquet",
    "findings.parquet", "workbook", "manifest.json", "manifest.sig.json",
)  # fmt: skip
ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class Later(Clock):
    """So many days from now."""

    def __init__(self, days: float = 0) -> None:
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() + self._ahead


def scan(output: Path, *, seed: int = 1, days: float = 0, **options: Any) -> None:
    """Collect the small world into ``output`` and render it."""

    async def collect() -> None:
        async with Simulator(WORLDS["small"](seed=seed)) as simulator:
            keys = simulator.credentials
            given_settings = settings.load(
                environment={}, role_name=AUDIT_ROLE, endpoint_url=simulator.endpoint_url,
                external_id=EXTERNAL_ID,
            )  # fmt: skip
            await collect_run(
                given_settings,
                output,
                clock=Later(days),
                observer=Observer(),
                credentials=Credentials(keys.access_key_id, keys.secret_access_key, ""),
                **options,
            )

    asyncio.run(collect())
    render(output, **options)


def render(run: Path, **options: Any) -> Path:
    return render_run(run, clock=Clock(), observer=Observer(), **options)


def problems(run: Path, **options: Any) -> tuple[str, ...]:
    return verify(run, **options).problems


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@dataclass(frozen=True)
class Signer:
    """A key as KMS would hold it, and its public half in a file."""

    private: ec.EllipticCurvePrivateKey
    public: Path

    @classmethod
    def at(cls, path: Path) -> Signer:
        private = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(
            private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return cls(private, path)

    async def call(self, action: str, _result: str, /, **parameters: Any) -> dict[str, Any]:
        if action == "GetPublicKey":
            der = self.private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return {"PublicKey": der, "SigningAlgorithms": ["ECDSA_SHA_256"]}
        raw = self.private.sign(parameters["Message"], ec.ECDSA(Prehashed(SHA256())))
        return {"Signature": raw, "SigningAlgorithm": "ECDSA_SHA_256", "KeyId": ARN}

    def pages(self, action: str, _result: str, /, **_parameters: Any) -> Any:
        raise AssertionError(action)

    def sign(self, run: Path) -> None:
        digest = hashlib.sha256((run / "manifest.json").read_bytes()).hexdigest()
        signature = asyncio.run(signing.sign(self, ARN, digest))
        write_sealed(run / rundir.SIGNATURE, signature.document())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Signer]:
    """A signed run. Whoever changes it puts it back."""
    home = tmp_path_factory.mktemp("verify")
    signer = Signer.at(home / "key.pem")
    scan(home / "run")
    signer.sign(home / "run")
    return home / "run", signer


@pytest.fixture
def run(made: tuple[Path, Signer], tmp_path: Path) -> Path:
    """A copy of the signed run, to do with as one likes."""
    return Path(shutil.copytree(made[0], tmp_path / "run"))


@pytest.fixture
def unsigned(run: Path) -> Path:
    run.joinpath(rundir.SIGNATURE).unlink()
    return run


def named(run: Path, name: str) -> Path:
    return next(run.glob("*.xlsx")) if name == "workbook" else run / name


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def reseal(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the manifest as somebody would who knows how it is made."""
    path = run / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_bytes(seal(content))


def cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(str(left.value.code)), out, err


class TestWhole:
    def test_a_finished_run_is_whole_and_one_line_says_so(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = cli(capsys, "verify", unsigned)
        assert (code, err) == (0, "")
        assert out == f"{unsigned}: verified: 7 files, evidence of 4 accounts\n"

    def test_nothing_is_written_not_even_a_journal(self, run: Path) -> None:
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.iterdir()}
        assert not problems(run)
        assert {
            path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.iterdir()
        } == before

    def test_it_may_be_copied_and_read_only(self, run: Path) -> None:
        for path in run.iterdir():
            path.chmod(0o400)
        run.chmod(0o500)
        try:
            assert not problems(run)
        finally:
            run.chmod(0o700)

    def test_the_manifest_tells_what_the_run_was(self, run: Path) -> None:
        raw = (run / "manifest.json").read_bytes()
        manifest = json.loads(raw)
        with closing(sqlite3.connect(run / "evidence.sqlite")) as connection:
            digests = dict(
                connection.execute("SELECT account_id, evidence_sha256 FROM outcomes").fetchall()
            )
        assert manifest["evidence"]["accounts"] == digests
        assert len(digests) == 4
        assert manifest["settings"]["role_name"] == AUDIT_ROLE
        assert manifest["settings"]["concurrency"] == 64
        assert manifest["settings"]["endpoint_url"] == manifest["endpoint_url"]
        assert manifest["external_id_used"] is True
        assert EXTERNAL_ID.encode() not in raw
        assert "external_id" not in manifest["settings"]
        assert manifest["previous"] is None
        for name, told in manifest["files"].items():
            content = (run / name).read_bytes()
            assert told == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}

    def test_a_rendering_elsewhere_verifies_without_its_evidence(
        self, unsigned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        elsewhere = render(unsigned, output=tmp_path / "elsewhere")
        manifest = json.loads((elsewhere / "manifest.json").read_text())
        digest = hashlib.sha256((unsigned / "evidence.sqlite").read_bytes()).hexdigest()

        assert manifest["evidence"]["external"] is True
        assert manifest["evidence"]["sha256"] == digest
        code, out, _ = cli(capsys, "verify", elsewhere)
        assert code == 0
        assert (
            f"6 files, evidence of 4 accounts; the evidence is in the original run "
            f"(SHA-256 {digest[:12]}" in out
        )
        (elsewhere / "findings.parquet").write_bytes(b"")
        assert [line.split(":")[0] for line in problems(elsewhere)] == ["findings.parquet"]


class TestChanges:
    @hypothesis_settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        name=st.sampled_from(FILES),
        how=st.sampled_from(["flip", "remove", "insert", "cut"]),
        where=st.floats(0, 1, exclude_max=True),
        value=st.integers(1, 255),
    )
    @example(name="evidence.sqlite", how="flip", where=0.0, value=1)
    @example(name="manifest.json", how="insert", where=0.999999, value=10)
    @example(name="manifest.json", how="cut", where=0.0, value=1)
    def test_any_byte_changed_lost_or_added_is_found_and_its_file_named(
        self, made: tuple[Path, Signer], name: str, how: str, where: float, value: int
    ) -> None:
        run, _signer = made
        path = named(run, name)
        raw = path.read_bytes()
        place = int(where * len(raw))
        content = {
            "flip": raw[:place] + bytes([raw[place] ^ value]) + raw[place + 1 :],
            "remove": raw[:place] + raw[place + 1 :],
            "insert": raw[:place] + bytes([value]) + raw[place:],
            "cut": raw[:place],
        }[how]
        with changed(path, content):
            found = problems(run)
        assert any(line.startswith(f"{path.name}: ") for line in found), found
        assert not [line for line in found if "\n" in line]
        assert not problems(run)

    @pytest.mark.parametrize("name", FILES[:6])
    def test_a_file_that_is_missing_is_named(self, unsigned: Path, name: str) -> None:
        path = named(unsigned, name)
        path.unlink()
        assert f"{path.name}: is missing" in problems(unsigned)

    @pytest.mark.parametrize("name", FILES[:6])
    def test_a_link_or_a_folder_in_its_place_is_named(
        self, unsigned: Path, tmp_path: Path, name: str
    ) -> None:
        path = named(unsigned, name)
        path.rename(tmp_path / "moved")
        for make in (lambda: path.symlink_to(tmp_path / "moved"), path.mkdir):
            make()
            assert f"{path.name}: is not a file of the run directory" in problems(unsigned)
            path.unlink() if path.is_symlink() else path.rmdir()

    def test_a_link_in_place_of_the_manifest_is_named(self, unsigned: Path, tmp_path: Path) -> None:
        manifest = unsigned / "manifest.json"
        manifest.rename(tmp_path / "moved")
        manifest.symlink_to(tmp_path / "moved")
        assert "manifest.json: is not a file of the run directory" in problems(unsigned)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("notes.txt", "was added: it does not belong to the run"),
            (".hidden", "was added"),
            (".~lock.orgscan-o-1-2026-11-03.xlsx#", "LibreOffice, in which orgscan-o-1-2026"),
            ("~$orgscan-o-1-2026-11-03.xlsx", "Microsoft Office, in which orgscan-o-1-2026"),
            (".findings.parquet.4711.tmp", "left by an interrupted process"),
            ("evidence.sqlite-wal", "a database journal was added"),
            ("evidence.sqlite-journal", "a database journal was added"),
            ("fin\x1b[2Jdings", "was added"),
        ],
    )
    def test_a_file_that_was_added_is_named(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
    ) -> None:
        unsigned.joinpath(name).write_bytes(b"x")
        code, out, err = cli(capsys, "verify", unsigned)
        assert code == 5
        (line,) = out.splitlines()
        assert line.startswith(f"{name.replace(chr(27), '?')}: ")
        assert words in line
        assert err == f"orgscan: {unsigned}: does not match its manifest (1 problem)\n"

    def test_a_folder_that_was_added_is_named(self, unsigned: Path) -> None:
        unsigned.joinpath("old").mkdir()
        assert problems(unsigned) == ("old: was added: it does not belong to the run",)

    def test_every_problem_has_its_line(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        named(unsigned, "workbook").write_bytes(b"x")
        named(unsigned, "findings.parquet").unlink()
        unsigned.joinpath("new").touch()
        code, out, err = cli(capsys, "verify", unsigned)
        assert code == 5
        assert len(out.splitlines()) == 3
        assert err.endswith("(3 problems)\n")
        assert re.search(r"xlsx: was changed \(\d+ -> 1 bytes, SHA-256 ", out)

    def test_a_manifest_made_anew_around_a_changed_table_disagrees_with_the_rest(
        self, unsigned: Path
    ) -> None:
        other = unsigned.parent / "other"
        scan(other, seed=2)
        shutil.copy(other / "accounts.parquet", unsigned)
        record = files.record(unsigned / "accounts.parquet")
        reseal(
            unsigned,
            lambda manifest: manifest["files"].update(
                {"accounts.parquet": {"sha256": record.sha256, "size": record.size}}
            ),
        )
        found = "\n".join(problems(unsigned))
        assert "accounts.parquet: its orgscan.run_id is" in found
        assert re.search(r"accounts\.parquet: account \d{12}", found)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda m: m.update(as_of="2020-01-01T00:00:00+00:00"), "its orgscan.as_of is"),
            (lambda m: m["thresholds"].update(access_key_max_age_days=9999), "orgscan.thresholds"),
            (lambda m: m["coverage"].update(COMPLETE=5), "does not add up"),
            (lambda m: m["files"].pop("findings.parquet"), "does not name findings.parquet"),
            (lambda m: m["files"].pop("evidence.sqlite"), "does not name evidence.sqlite"),
            (lambda m: m["evidence"]["accounts"].popitem(), "is only in accounts.parquet"),
            (lambda m: m["evidence"]["accounts"].update({"000000000000": None}),
             "its evidence is missing or cannot be read"),
            (lambda m: m["files"].update({"../x": {"sha256": "", "size": 0}}),
             "../x: is not a file of the run directory"),
            (lambda m: m["files"].update({"\0": {"sha256": "", "size": 0}}), "\0: cannot be read"),
            (lambda m: m.pop("files"), "is not the manifest of a run"),
            (lambda m: m.update(files=[1]), "is not the manifest of a run"),
            (lambda m: m.update(evidence=None), "is not the manifest of a run"),
            (lambda m: m.update(format="1"), "is not the manifest of a run"),
        ],
    )  # fmt: skip
    def test_a_manifest_edited_with_skill_disagrees_with_what_it_speaks_of(
        self, unsigned: Path, change: Callable[[dict[str, Any]], Any], words: str
    ) -> None:
        reseal(unsigned, change)
        found = problems(unsigned)
        assert any(words in line for line in found), found

    def test_a_newer_manifest_is_not_judged(self, unsigned: Path) -> None:
        reseal(unsigned, lambda manifest: manifest.update(format=99))
        with pytest.raises(UsageError, match="written by a newer orgscan"):
            verify(unsigned)


class TestEvidence:
    def test_the_account_whose_evidence_was_changed_is_named(self, unsigned: Path) -> None:
        account_id = self._forge(unsigned, consistently=False)
        found = problems(unsigned)
        assert f"evidence.sqlite: account {account_id}: its users was altered" in found
        assert (
            f"evidence.sqlite: account {account_id}: its evidence does not match the manifest"
            in found
        )
        named = {match[1] for line in found if (match := re.search(r"account (\d{12})", line))}
        assert named == {account_id}, found

    def test_even_where_the_store_s_own_hashes_were_made_anew(self, unsigned: Path) -> None:
        account_id = self._forge(unsigned, consistently=True)
        assert problems(unsigned)[1:] == (
            f"evidence.sqlite: account {account_id}: its evidence does not match the manifest",
        )

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("UPDATE outcomes SET coverage = 'DENIED', reason = 'No.'", "coverage, reason"),
            ("UPDATE outcomes SET coverage = 'NOT_ACTIVE'", "coverage"),
            ("UPDATE outcomes SET error_code = 'Throttling'", "error_code"),
            ("UPDATE outcomes SET attempts = attempts + 1", "attempts"),
            ("UPDATE outcomes SET started_at = NULL", "started_at"),
            ("UPDATE outcomes SET duration_seconds = 0.001", "duration_seconds"),
            ('UPDATE outcomes SET gaps = \'[{"kind": "users", "code": "", "reason": ""}]\'',
             "missing"),
            ("UPDATE accounts SET account = replace(account, 'ou_path\": \"', 'ou_path\": \"X/')",
             "ou_path"),
            ("UPDATE accounts SET account = replace(account, '\"name\": \"', '\"name\": \"X')",
             "account_name"),
        ],
    )  # fmt: skip
    def test_the_account_whose_end_or_place_was_edited_is_named(
        self, unsigned: Path, statement: str, words: str
    ) -> None:
        with closing(sqlite3.connect(unsigned / "evidence.sqlite")) as connection, connection:
            ((account_id,),) = connection.execute("SELECT max(account_id) FROM outcomes")
            connection.execute(f"{statement} WHERE account_id = ?", (account_id,))
        expected = f"evidence.sqlite: account {account_id}: records another {words} than "
        changed_file, line = problems(unsigned)
        assert changed_file.startswith("evidence.sqlite: was changed (")
        assert line == f"{expected}accounts.parquet"

        # Nor does it help to enter the edited store in the manifest.
        record = files.record(unsigned / "evidence.sqlite")
        entry = {"evidence.sqlite": {"sha256": record.sha256, "size": record.size}}
        reseal(unsigned, lambda manifest: manifest["files"].update(entry))
        assert problems(unsigned) == (line,)

    @pytest.mark.parametrize("value", ["5", "json('[]')", "json('{\"a\": 1}')"])
    @pytest.mark.parametrize("name", ["name", "ou_path", "tags", "is_management"])
    def test_accounts_that_make_no_table_are_a_problem_too(
        self, unsigned: Path, name: str, value: str
    ) -> None:
        with closing(sqlite3.connect(unsigned / "evidence.sqlite")) as connection, connection:
            connection.execute(
                f"UPDATE accounts SET account = json_set(account, '$.{name}', {value}) "  # noqa: S608
                "WHERE account_id = (SELECT min(account_id) FROM accounts)"
            )
        record = files.record(unsigned / "evidence.sqlite")
        entry = {"evidence.sqlite": {"sha256": record.sha256, "size": record.size}}
        reseal(unsigned, lambda manifest: manifest["files"].update(entry))
        (line,) = problems(unsigned)
        assert re.search(
            "cannot be built from it|records another (account_name|ou_path|tags)", line
        ), line

    def test_a_lost_outcome_is_named_with_its_account(self, unsigned: Path) -> None:
        with closing(sqlite3.connect(unsigned / "evidence.sqlite")) as connection, connection:
            ((account_id,),) = connection.execute("SELECT max(account_id) FROM outcomes")
            connection.execute("DELETE FROM outcomes WHERE account_id = ?", (account_id,))
        about = f"evidence.sqlite: account {account_id}: "
        lost, recorded = problems(unsigned)[1:]
        assert lost == f"{about}its evidence was altered or is lost"
        assert recorded.startswith(f"{about}records another coverage, reason, ")

    def _forge(self, run: Path, *, consistently: bool) -> str:
        with closing(sqlite3.connect(run / "evidence.sqlite")) as connection, connection:
            ((account_id,),) = connection.execute("SELECT min(account_id) FROM evidence")
            connection.execute(
                "UPDATE evidence SET content = CAST('[ ]' AS BLOB) "
                "WHERE account_id = ? AND kind = 'users'",
                (account_id,),
            )
            if consistently:
                connection.execute(
                    "UPDATE evidence SET sha256 = ? WHERE account_id = ? AND kind = 'users'",
                    (hashlib.sha256(b"[ ]").hexdigest(), account_id),
                )
                rows = connection.execute(
                    "SELECT kind, sha256 FROM evidence WHERE account_id = ? ORDER BY kind",
                    (account_id,),
                )
                text = "".join(f"{kind}:{digest}\n" for kind, digest in rows)
                connection.execute(
                    "UPDATE outcomes SET evidence_sha256 = ? WHERE account_id = ?",
                    (hashlib.sha256(text.encode()).hexdigest(), account_id),
                )
        return str(account_id)

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("DELETE FROM evidence WHERE kind = 'users'", "its evidence was altered or is lost"),
            ("DELETE FROM accounts WHERE account_id = (SELECT min(account_id) FROM accounts)",
             "of an account that is not listed"),
            ("DELETE FROM run", "is damaged"),
            ("UPDATE run SET info = '{}'", "is damaged"),
            ("UPDATE run SET format = 99", "has format 99"),
            ("DROP TABLE outcomes", "cannot be read (no such table: outcomes)"),
            ("DROP TABLE evidence", "cannot be read"),
            ("UPDATE evidence SET kind = 'gossip' WHERE kind = 'users'", "cannot be read ("),
            ("UPDATE outcomes SET coverage = 'FINE'", "cannot be read ("),
            ("UPDATE outcomes SET gaps = '[[[[['", "cannot be read ("),
            ("UPDATE accounts SET account = '[]'", "cannot be read ("),
            ("UPDATE accounts SET account = replace(account, '_id\": \"', '_id\": \"9')",
             "is listed with another account ID"),
        ],
    )  # fmt: skip
    def test_rows_that_do_not_fit_together_are_named(
        self, unsigned: Path, statement: str, words: str
    ) -> None:
        with closing(sqlite3.connect(unsigned / "evidence.sqlite")) as connection, connection:
            connection.execute(statement)
        found = problems(unsigned)
        assert any(line.startswith("evidence.sqlite: ") and words in line for line in found), found
        assert not [line for line in found if "Traceback" in line or "\n" in line]

    def test_a_store_cut_anywhere_is_named_and_trips_nothing(self, unsigned: Path) -> None:
        path = unsigned / "evidence.sqlite"
        raw = path.read_bytes()
        for length in [*range(0, 120, 7), *range(120, len(raw), 1009)]:
            path.write_bytes(raw[:length])
            found = evidence.inspect(path)
            assert found.problems or length >= len(raw), length
        assert contents(unsigned).keys() - {"evidence.sqlite"} == {
            path.name for path in unsigned.iterdir()
        } - {"evidence.sqlite"}

    def test_a_store_flipped_anywhere_trips_nothing(self, unsigned: Path) -> None:
        path = unsigned / "evidence.sqlite"
        raw = path.read_bytes()
        for place in [*range(110), *range(110, len(raw), 509)]:
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :])
            evidence.inspect(path)
        path.write_bytes(raw)
        assert not evidence.inspect(path).problems

    def test_a_journal_beside_the_evidence_is_not_played_into_it(self, unsigned: Path) -> None:
        forged = unsigned.parent / "forged.sqlite"
        shutil.copy(unsigned / "evidence.sqlite", forged)
        with closing(sqlite3.connect(forged, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("DELETE FROM evidence")
            shutil.copy(f"{forged}-wal", unsigned / "evidence.sqlite-wal")
        before = contents(unsigned)
        assert [line.split(":")[0] for line in problems(unsigned)] == ["evidence.sqlite-wal"]
        assert contents(unsigned) == before

    def test_a_report_of_changed_evidence_is_refused_and_writes_nothing(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._forge(unsigned, consistently=True)
        before = contents(unsigned)
        code, _, err = cli(capsys, "report", unsigned, "--quiet")
        assert code == 5
        assert "evidence.sqlite: was changed after the run was finished" in err
        assert contents(unsigned) == before

    def test_a_resume_that_was_refused_changed_nothing(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = contents(run)
        code, _, err = cli(capsys, "scan", "--resume", run, "--external-id", EXTERNAL_ID)
        assert code == 2
        assert "the run is already complete" in err
        assert contents(run) == before


class TestUnfinished:
    def test_a_run_without_a_manifest_is_not_finished(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        unsigned.joinpath("manifest.json").unlink()
        code, out, err = cli(capsys, "verify", unsigned)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert (
            f"is not finished (no manifest.json); resume it with `orgscan scan --resume {unsigned}`"
            in line
        )
        assert f"`orgscan report {unsigned}`" in line

    def test_what_is_no_run_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in (tmp_path, tmp_path / "nowhere"):
            code, out, err = cli(capsys, "verify", path)
            assert (code, out) == (2, "")
            assert "is not an orgscan run" in err

    def test_a_run_being_written_is_not_judged(self, unsigned: Path) -> None:
        with files.locked(unsigned), pytest.raises(UsageError, match="in use by another"):
            verify(unsigned)


class TestSignature:
    def test_a_true_one_is_proof(
        self, made: tuple[Path, Signer], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run, signer = made
        code, out, _ = cli(capsys, "verify", run, "--public-key", signer.public)
        assert (code, out.count("\n")) == (0, 1)
        assert f"; signed with {ARN}" in out

    def test_without_a_key_it_is_not_said_to_be_true(
        self, made: tuple[Path, Signer], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, _ = cli(capsys, "verify", made[0])
        assert code == 0
        assert "signature present, not verified: give --public-key" in out
        assert "signed with" not in out

    def test_another_key_fails(
        self, made: tuple[Path, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = Signer.at(tmp_path / "other.pem")
        code, out, _ = cli(capsys, "verify", made[0], "--public-key", other.public)
        assert code == 5
        assert (
            "manifest.sig.json: is invalid: the manifest was altered, or another key signed it"
            in out
        )

    def test_a_manifest_made_anew_after_signing_fails(
        self, run: Path, made: tuple[Path, Signer]
    ) -> None:
        reseal(run, lambda manifest: manifest.update(caller="arn:aws:iam::1:user/nobody"))
        expected = "manifest.sig.json: the signature belongs to another manifest"
        assert problems(run) == (expected,)
        assert problems(run, public_key=made[1].public) == (expected,)

    def test_so_does_a_signature_made_to_fit_it(self, run: Path, made: tuple[Path, Signer]) -> None:
        reseal(run, lambda manifest: manifest.update(caller="arn:aws:iam::1:user/nobody"))
        document = json.loads((run / rundir.SIGNATURE).read_text())
        document["manifest_sha256"] = files.record(run / "manifest.json").sha256
        write_sealed(run / rundir.SIGNATURE, document)
        (problem,) = problems(run, public_key=made[1].public)
        assert "another key signed it" in problem

    def test_one_that_is_missing_fails_where_a_key_was_given(
        self, unsigned: Path, made: tuple[Path, Signer]
    ) -> None:
        assert problems(unsigned, public_key=made[1].public) == (
            "manifest.sig.json: is missing: the run is not signed",
        )

    def test_a_report_made_again_is_not_signed_any_more(self, run: Path) -> None:
        render(run)
        assert not run.joinpath(rundir.SIGNATURE).exists()
        assert not problems(run)

    def test_nor_is_a_run_that_goes_on(self, run: Path) -> None:
        retract_manifest(run)
        assert not run.joinpath(rundir.SIGNATURE).exists()

    def test_what_cannot_be_a_key_is_told_first(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = contents(unsigned)
        for arguments in (
            ("report", unsigned, "--sign-with-kms", "nonsense"),
            ("scan", "--role-name", "R", "--sign-with-kms", "nonsense"),
        ):
            code, out, err = cli(capsys, *arguments)
            assert (code, out) == (2, "")
            assert "'nonsense' is not a KMS key" in err
        assert contents(unsigned) == before

    def test_a_report_that_cannot_be_signed_is_finished_and_shown(
        self, unsigned: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = cli(
            capsys, "report", unsigned, "--quiet", "--sign-with-kms", ARN,
            "--endpoint-url", "http://127.0.0.1:9",
        )  # fmt: skip
        assert code == 1
        assert "Coverage: 4 accounts" in out
        assert err.startswith(f"orgscan: {unsigned}: the run is complete but was not signed: ")
        assert err.count("\n") == 1
        assert not problems(unsigned)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs, the second of which continues the first."""
    home = tmp_path_factory.mktemp("chain")
    scan(home / "first")
    scan(home / "second", previous=home / "first")
    return home / "first", home / "second"


class TestChain:
    def test_the_later_manifest_names_the_earlier_by_its_hash(
        self, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = runs
        told = json.loads((second / "manifest.json").read_text())["previous"]
        earlier = (first / "manifest.json").read_bytes()
        assert told["manifest_sha256"] == hashlib.sha256(earlier).hexdigest()
        assert told["run_id"] == json.loads(earlier)["run_id"]
        code, out, _ = cli(capsys, "verify", second, "--previous", first)
        assert code == 0
        assert f"; continues {first}" in out
        _, out, _ = cli(capsys, "verify", second)
        assert f"; continues run {told['run_id']}; use --previous to verify that" in out

    def test_an_earlier_run_judged_anew_breaks_it(
        self, runs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        first = Path(shutil.copytree(runs[0], tmp_path / "first"))
        render(first)
        (problem,) = problems(runs[1], previous=first)
        assert problem.startswith("manifest.json: continues run ")

    def test_an_earlier_run_that_was_edited_is_named(
        self, runs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        first = Path(shutil.copytree(runs[0], tmp_path / "first"))
        path = first / "manifest.json"
        path.write_bytes(path.read_bytes().replace(b"COMPLETE", b"DENIED"))
        assert problems(runs[1], previous=first) == (
            f"{path}: was edited: it does not match its own hash",
        )

    def test_a_run_that_continues_none(self, runs: tuple[Path, Path]) -> None:
        (problem,) = problems(runs[0], previous=runs[1])
        assert "names no previous run" in problem

    def test_rendering_again_keeps_it(self, runs: tuple[Path, Path], tmp_path: Path) -> None:
        second = Path(shutil.copytree(runs[1], tmp_path / "second"))
        render(second)
        assert not problems(second, previous=runs[0])
        assert not problems(render(second, output=tmp_path / "out"), previous=runs[0])

    def test_a_report_can_join_it(self, runs: tuple[Path, Path], run: Path) -> None:
        scan(run.parent / "late", previous=run)
        render(run.parent / "late", previous=runs[0])
        assert not problems(run.parent / "late", previous=runs[0])

    @pytest.mark.parametrize("command", ["scan", "report"])
    def test_what_cannot_be_continued_is_told_before_anything_is_done(
        self,
        runs: tuple[Path, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        command: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        work = Path(shutil.copytree(runs[1], tmp_path / "work"))
        before = contents(work)
        bad = tmp_path / "bad"
        for spoil, words in (
            (lambda path: path.unlink(), "holds no finished run"),
            (lambda path: path.write_bytes(b"{"), "cannot be read"),
            (lambda path: path.write_bytes(path.read_bytes().replace(b"25", b"26")), "was edited"),
            (lambda path: path.write_bytes(seal({"format": 9})), "newer orgscan"),
            (
                lambda path: path.write_bytes(seal({"format": 1})),
                "not the manifest of a run",
            ),
        ):
            shutil.copytree(runs[0], bad)
            spoil(bad / "manifest.json")
            target = [work] if command == "report" else ["--role-name", "R"]
            code, out, err = cli(capsys, command, *target, "--previous", bad)
            assert (code, out) == (2, ""), err
            assert words in err
            assert err.count("\n") == 1
            shutil.rmtree(bad)
        assert contents(work) == before
        assert [path.name for path in tmp_path.iterdir()] == ["work"]

    def test_another_organization_s_run_is_refused(
        self, runs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        scan(tmp_path / "other", seed=7)
        before = contents(runs[1])
        with pytest.raises(UsageError, match="is a run of organization o-"):
            render(runs[1], previous=tmp_path / "other")
        with pytest.raises(UsageError, match="is a run of organization o-"):
            scan(tmp_path / "new", previous=tmp_path / "other")
        assert contents(runs[1]) == before
        assert not tmp_path.joinpath("new").exists()

    def test_neither_itself_nor_a_later_run_can_be_continued(self, runs: tuple[Path, Path]) -> None:
        with pytest.raises(UsageError, match="is the run itself"):
            render(runs[0], previous=runs[0])
        with pytest.raises(UsageError, match="began later than the run"):
            render(runs[0], previous=runs[1])


class TestWriting:
    def test_a_report_of_another_day_takes_the_place_of_the_first(self, run: Path) -> None:
        before = named(run, "workbook").name
        render(run, as_of=datetime(2099, 1, 1, tzinfo=UTC))
        assert named(run, "workbook").name != before
        assert not problems(run)

    def test_leftovers_of_a_killed_report_are_cleared_by_the_next(self, run: Path) -> None:
        run.joinpath(".findings.parquet.1.tmp").write_bytes(b"half")
        assert problems(run)
        render(run)
        assert not problems(run)

    def test_only_one_report_at_a_time(self, run: Path) -> None:
        before = contents(run)
        with files.locked(run), pytest.raises(UsageError, match="in use by another"):
            render(run)
        assert contents(run) == before

    @pytest.mark.parametrize("share", [0.0001, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
    def test_where_files_cannot_grow_the_run_stays_as_it_was(
        self, run: Path, tmp_path: Path, share: float
    ) -> None:
        before = contents(run)
        largest = max(len(content) for name, content in before.items() if "evidence" not in name)
        with capped(int(largest * share) + 1), pytest.raises(RunError) as caught:
            render(run)
        text = str(caught.value)
        assert text.endswith(
            f"cannot be written (File too large); the evidence is kept; run `orgscan report {run}` "
            "to write the reports again"
        )
        assert text.startswith(f"{run}/")
        assert contents(run) == before
        with capped(int(largest * share) + 1), pytest.raises(RunError):
            render(run, output=tmp_path / "out")
        assert not tmp_path.joinpath("out").exists()

    def test_wherever_the_disk_is_full_nothing_torn_is_left(
        self, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fails the first write to disk, then the second, and so on until one report passes."""
        for allowed in range(20):
            with monkeypatch.context() as patch:
                fail_after(patch, allowed)
                failure = outcome(run)
            if failure is None:
                break
            assert "No space left on device" in str(failure)
            assert not [name for name in contents(run) if is_leftover(name)]
            if run.joinpath("manifest.json").exists():
                assert not problems(run)
            else:
                assert not run.joinpath(rundir.SIGNATURE).exists()
                render(run)
                assert not problems(run)
        assert allowed > 6
        assert not problems(run)

    def test_a_report_killed_at_any_moment_leaves_no_manifest_that_lies(
        self, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Dies where the first name is given or taken away, then at the second, and so on."""
        unfinished = 0
        for step in range(40):
            with monkeypatch.context() as patch:
                dead = die_at(patch, step)
                with suppress(Killed):
                    render(run)
            if not dead():
                break
            if run.joinpath("manifest.json").exists():
                found = problems(run)
                assert all("left by an interrupted process" in line for line in found)
            else:
                unfinished += 1
                with pytest.raises(UsageError, match="is not finished"):
                    verify(run)
        assert step > 10
        assert unfinished > 5
        assert not problems(run)

    def test_parquet_is_the_same_bytes_whatever_it_was_published_with(self, run: Path) -> None:
        before = contents(run)
        render(run)
        after = contents(run)
        for name in FILES[:5]:
            assert after[name] == before[name]
        assert pq.read_schema(run / "findings.parquet").metadata


@contextmanager
def capped(size: int) -> Iterator[None]:
    """No file may grow beyond ``size``; the disk of the poor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fail_after(patch: pytest.MonkeyPatch, allowed: int) -> None:
    """Let so many fsyncs pass, then let the disk be full."""
    real, left = os.fsync, [allowed]

    def fsync(descriptor: int) -> None:
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        real(descriptor)

    patch.setattr(os, "fsync", fsync)


def outcome(run: Path) -> RunError | None:
    """Render; the error, if it came to one."""
    try:
        render(run)
    except RunError as error:
        return error
    return None


class Killed(BaseException):
    """What SIGKILL would be if Python could see it."""


def die_at(patch: pytest.MonkeyPatch, step: int) -> Callable[[], bool]:
    """Die at the so-manieth renaming or removal; a dead process tidies nothing up."""
    left = [step]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        return wrapped

    patch.setattr(Path, "replace", dying(Path.replace))
    patch.setattr(Path, "unlink", dying(Path.unlink))
    return lambda: left[0] < 0


def test_integrity_is_its_own_exit_code() -> None:
    assert IntegrityError.exit_code == 5


class TestKinds:
    @pytest.mark.parametrize("name", FILES)
    def test_a_pipe_in_place_of_a_file_is_named_and_never_opened(
        self, run: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = named(run, name)
        path.unlink()
        os.mkfifo(path)
        code, out, err = cli(capsys, "verify", run)
        assert code == (2 if name == "manifest.json" else 5)
        assert path.name in out + err

    def test_a_device_in_place_of_the_manifest_is_not_read(self, run: Path) -> None:
        (run / "manifest.json").unlink()
        (run / "manifest.json").symlink_to("/dev/zero")
        with pytest.raises(UsageError, match=r"manifest\.json: cannot be read"):
            verify(run)

    def test_a_pipe_in_place_of_the_previous_manifest_is_not_read(
        self, unsigned: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "earlier").mkdir()
        os.mkfifo(tmp_path / "earlier" / "manifest.json")
        with pytest.raises(UsageError, match=r"manifest\.json: cannot be read"):
            verify(unsigned, previous=tmp_path / "earlier")

    @pytest.mark.parametrize("name", [".", *FILES])
    @pytest.mark.parametrize("mode", [0o020, 0o002])
    def test_what_others_may_change_is_a_problem(self, run: Path, name: str, mode: int) -> None:
        path = run if name == "." else named(run, name)
        path.chmod(path.stat().st_mode | mode)
        (line,) = problems(run)
        assert line.startswith("the run directory: " if name == "." else f"{path.name}: ")
        assert "chmod go-rwx" in line

    def test_what_others_may_read_is_a_remark(self, unsigned: Path) -> None:
        for path in (unsigned, unsigned / "findings.parquet"):
            path.chmod(path.stat().st_mode | 0o044)
        found = verify(unsigned)
        assert not found.problems
        assert any("other users can read 2" in remark for remark in found.remarks)


def _more(counts: dict[str, Any], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


class TestTotals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda m: _more(m["findings"]["access-key-rotation"], "PASS"), "access-key-rotation"),
            (lambda m: m["findings"].pop("root-mfa"), "findings.parquet: root-mfa"),
            (lambda m: m["findings"].update(nothing={"FAIL": 1}), "findings.parquet: nothing"),
            (lambda m: _more(m["overdue"], "high"), "overdue findings of severity high"),
            (lambda m: m["severities"].update({"root-mfa": "low"}), "root-mfa: is of severity"),
            (lambda m: m.update(accounts=5), "has 4 accounts, the manifest counts 5"),
            (lambda m: m["integrity_failures"].append("123456789012"), "integrity failures"),
            (lambda m: m.pop("findings"), "is not the manifest of a run"),
        ],
    )
    def test_a_figure_that_its_table_does_not_add_up_to_is_named(
        self, unsigned: Path, change: Callable[[dict[str, Any]], Any], words: str
    ) -> None:
        reseal(unsigned, change)
        found = problems(unsigned)
        assert any(words in line for line in found), found
