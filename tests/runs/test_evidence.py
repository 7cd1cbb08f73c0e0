from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import (
    DEPARTED,
    Account,
    Caller,
    Coverage,
    Evidence,
    Gap,
    Kind,
    Organization,
    Outcome,
    Reading,
    RunInfo,
)
from orgscan.runs.evidence import FORMAT, EvidenceStore, account_hash, contradiction, inspect

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
MOMENT = datetime(2026, 11, 3, 12, 0, 0, 123456, tzinfo=UTC)
INFO = RunInfo(
    run_id="a-b-c",
    organization=Organization("o-abc123", "000000000001"),
    caller=Caller("000000000001", "arn:aws:iam::000000000001:user/=1+1", "aws"),
    started_at=MOMENT,
    as_of=MOMENT - timedelta(days=1),
    version="0.1.0",
    role_name="OrgScanAudit",
    endpoint_url="http://127.0.0.1:1",
    scope={"include_ous": ["Root/ü"], "accounts": []},
    thresholds={"access_key_max_age_days": 90, "setup_rule": "creation-time"},
    notes=("A \u202enote.", "line\nbreak"),
    enumerated=True,
    finished_at=MOMENT + timedelta(minutes=3),
)
ODD_NAMES = ("", "=1+1", "NA", "null", "007", "rocket \U0001f680", "\u202eright", "a\x00b\n", "'\"")


def account(number: int, **more: Any) -> Account:
    return Account(account_id=f"{number:012d}", **more)


def evidence(kind: Kind = Kind.USERS, content: bytes = b"[]", **more: Any) -> Evidence:
    return Evidence(kind=kind, content=content, collected_at=MOMENT, **more)


def whole(content: bytes = b"[]") -> tuple[Evidence, ...]:
    """Evidence of every kind."""
    return tuple(evidence(kind, content) for kind in Kind)


def outcome(number: int, *items: Evidence, **more: Any) -> Outcome:
    """An outcome that fits its evidence: whatever else is required has a gap."""
    missing = [kind for kind in Kind if kind not in {item.kind for item in items}]
    coverage = Coverage.COMPLETE
    if missing:
        coverage = Coverage.PARTIAL if items else Coverage.FAILED
    gaps = tuple(Gap(kind=kind, code="Timeout", reason="not collected") for kind in missing)
    values = {"coverage": coverage, "attempts": 1, "gaps": gaps, **more}
    return Outcome(account_id=f"{number:012d}", evidence=items, **values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evidence.sqlite"


@pytest.fixture
def filled(path: Path) -> Path:
    """A finished store of three accounts; the middle one has evidence, the last was not read."""
    with EvidenceStore.create(path, INFO) as store:
        store.add_accounts(account(number) for number in (1, 2, 3))
        store.keep(outcome(1, evidence(content=b'["one"]')))
        report = evidence(Kind.CREDENTIAL_REPORT, b"user,arn\n", generated_at=MOMENT)
        store.keep(outcome(2, report, evidence(content=b'["two"]')))
    return path


def altered(path: Path, statement: str, *parameters: object) -> Path:
    """Somebody changes the file with other means."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement, parameters).rowcount > 0
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestRoundTrip:
    def test_of_what_the_run_is(self, path: Path) -> None:
        with EvidenceStore.create(path, replace(INFO, finished_at=None, enumerated=False)) as store:
            store.update(INFO)
            assert store.info == INFO
        with EvidenceStore.read(path) as store:
            assert store.info == INFO

    def test_of_accounts_with_odd_names(self, path: Path) -> None:
        accounts = [
            account(
                number, name=name, email=name, arn=name, ou_id=name, ou_path=name,
                state="HIBERNATING", is_management=True, joined_at=MOMENT, tags={name: name},
            )
            for number, name in enumerate(ODD_NAMES)
        ]  # fmt: skip
        accounts.append(account(999, tags=None, joined_at=None))
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts(accounts)
        with EvidenceStore.read(path) as store:
            assert [reading.account for reading in store] == accounts
            assert len(store) == len(accounts)

    def test_of_outcomes_with_all_their_evidence(self, path: Path) -> None:
        items = tuple(
            evidence(kind, bytes(range(256)) * place, generated_at=MOMENT if place else None)
            for place, kind in enumerate(Kind)
        )
        kept = outcome(
            7, *items, coverage=Coverage.PARTIAL, reason="a\nb \U0001f680", error_code="NA",
            started_at=MOMENT, duration_seconds=0.125,
            gaps=(
                Gap(kind=Kind.USERS, code="AccessDenied", reason="='x'"),
                Gap(kind=Kind.CREDENTIAL_REPORT, code="NoRoot", reason="", usable=True),
            ),
        )  # fmt: skip
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(7)])
            store.keep(kept)
        with EvidenceStore.read(path) as store:
            (reading,) = store
        found = reading.outcome
        assert set(found.evidence) == set(items)
        assert replace(found, evidence=()) == replace(kept, evidence=())
        assert reading.evidence_sha256 == account_hash(items)

    def test_of_times_is_utc(self, path: Path) -> None:
        local = MOMENT.astimezone(timezone(timedelta(hours=-5)))
        with EvidenceStore.create(path, replace(INFO, as_of=local)) as store:
            assert store.info.as_of == MOMENT
            assert store.info.as_of.tzinfo == UTC

    def test_of_an_account_told_twice_is_one_account(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1, name="old")])
            store.keep(outcome(1))
            store.add_accounts([account(1, name="new")])
            (reading,) = store
        assert (reading.account.name, reading.outcome.attempts) == ("new", 1)

    def test_keeps_the_order_of_account_ids(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts(account(number) for number in (30, 4, 100, 5))
            for number in (100, 4):
                store.keep(outcome(number, evidence()))
            found = [int(reading.account.account_id) for reading in store]
            assert found == [4, 5, 30, 100]
            assert [len(reading.outcome.evidence) for reading in store] == [1, 0, 0, 1]


class TestCoverage:
    def test_an_account_without_an_outcome_was_not_attempted(self, filled: Path) -> None:
        with EvidenceStore.read(filled) as store:
            found = [(reading.outcome.coverage, reading.evidence_sha256) for reading in store]
            assert store.finished() == {"000000000001", "000000000002"}
        assert found[2] == (Coverage.NOT_ATTEMPTED, None)
        assert None not in {hashed for _, hashed in found[:2]}

    def test_attempts_add_up_and_the_last_reading_stands(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1)])
            store.keep(outcome(1, evidence(Kind.USERS), evidence(Kind.ACCESS_KEYS)))
            store.keep(outcome(1, evidence(Kind.USERS), coverage=Coverage.PARTIAL))
        with EvidenceStore.resume(path) as store:
            store.keep(outcome(1, evidence(content=b"new"), reason="third"))
            (reading,) = store
        assert (reading.outcome.attempts, reading.outcome.reason) == (3, "third")
        assert [item.content for item in reading.outcome.evidence] == [b"new"]

    def test_an_outcome_of_an_account_never_enumerated_is_refused(self, filled: Path) -> None:
        with EvidenceStore.resume(filled) as store:
            with pytest.raises(RunError):
                store.keep(outcome(99, evidence()))
            assert len(list(store)) == 3


class TestKilled:
    def copied(self, path: Path, target: Path) -> Path:
        """The files as a killed process leaves them."""
        target.mkdir()
        for file in path.parent.glob("evidence.sqlite*"):
            shutil.copy(file, target)
        return target / path.name

    def test_at_any_moment_everything_kept_before_is_there(
        self, path: Path, tmp_path: Path
    ) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts(account(number) for number in range(5))
            for number in range(5):
                store.keep(outcome(number, evidence(content=b"x" * 5000 * number)))
                left = self.copied(path, tmp_path / str(number))
                assert left.with_name("evidence.sqlite-wal").exists()
                with EvidenceStore.resume(left) as again:
                    assert len(again.finished()) == number + 1
                    assert len(list(again)) == 5

    def test_in_the_middle_of_a_transaction_nothing_of_it_is_there(
        self, path: Path, tmp_path: Path
    ) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1), account(2)])
            store.keep(outcome(1, evidence()))
            with store._connection as connection:
                # What keep() does first, with the rest still to come.
                connection.execute("DELETE FROM evidence")
                left = self.copied(path, tmp_path / "left")
                connection.rollback()
        with EvidenceStore.resume(left) as again:
            assert [len(reading.outcome.evidence) for reading in again] == [1, 0]

    def test_reading_folds_the_journal_in(self, path: Path, tmp_path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1)])
            left = self.copied(path, tmp_path / "left")
        with EvidenceStore.read(left) as again:
            assert len(again) == 1
        assert [file.name for file in left.parent.iterdir()] == [path.name]

    def test_outright_leaves_no_lock(self, path: Path) -> None:
        program = (
            "import os, sys; from pathlib import Path\n"
            "from orgscan.runs.evidence import EvidenceStore\n"
            f"store = EvidenceStore.resume(Path({str(path)!r})); os.kill(os.getpid(), 9)"
        )
        with EvidenceStore.create(path, INFO):
            pass
        ended = subprocess.run([sys.executable, "-c", program], check=False)
        assert ended.returncode == -9
        with EvidenceStore.resume(path) as store:
            assert store.info == INFO


class TestWriters:
    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_a_second_process_is_refused(self, path: Path, opening: Any) -> None:
        with EvidenceStore.create(path, INFO) as store:
            with pytest.raises(UsageError) as caught:
                opening(path)
            store.add_accounts([account(1)])
        said = f"{path.parent}: is in use by another orgscan process; wait for it to end"
        assert str(caught.value) == said

    def test_an_existing_store_is_not_overwritten(self, filled: Path) -> None:
        before = digest(filled)
        with pytest.raises(UsageError, match="cannot be written"):
            EvidenceStore.create(filled, INFO)
        assert digest(filled) == before

    def test_a_place_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="choose another --output"):
            EvidenceStore.create(tmp_path / "none" / "evidence.sqlite", INFO)

    def test_only_the_owner_may_read_any_of_the_files(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1)])
            modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}

    def test_when_the_store_is_closed_it_is_one_file(self, filled: Path) -> None:
        assert list(filled.parent.iterdir()) == [filled]

    def test_reading_changes_not_a_byte(self, filled: Path) -> None:
        before = digest(filled)
        with EvidenceStore.read(filled) as store, EvidenceStore.read(filled) as second:
            assert [*store] == [*second]
            with pytest.raises(RunError, match="cannot be written"):
                store.add_accounts([account(9)])
        assert digest(filled) == before
        assert list(filled.parent.iterdir()) == [filled]

    def test_what_is_kept_is_on_the_disk_and_nobody_else_may_write(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            asked = ("synchronous", "journal_mode", "locking_mode", "foreign_keys")
            found = [store._connection.execute(f"PRAGMA {one}").fetchone()[0] for one in asked]
        assert found == [2, "wal", "exclusive", 1]


def read(path: Path) -> list[Any]:
    with EvidenceStore.read(path) as store:
        return [store.info, store.finished(), len(store), *store]


class TestDamage:
    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("UPDATE evidence SET content = x'00'", "does not match its hash"),
            ("UPDATE evidence SET sha256 = 'ab'", "does not match its hash"),
            ("UPDATE outcomes SET evidence_sha256 = 'ab'", "was altered or is lost"),
            ("UPDATE outcomes SET evidence_sha256 = NULL", "was altered or is lost"),
            ("DELETE FROM evidence WHERE kind = 'users'", "was altered or is lost"),
            ("DELETE FROM evidence WHERE account_id LIKE '%2'", "was altered or is lost"),
            ("DELETE FROM outcomes WHERE account_id LIKE '%2'", "was altered or is lost"),
            ("DELETE FROM accounts WHERE account_id LIKE '%1'", "altered|not listed"),
            ("DELETE FROM accounts WHERE account_id NOT LIKE '%1'", "not listed"),
            ("UPDATE evidence SET kind = 'passwords' WHERE kind = 'users'", "damaged"),
            ("UPDATE evidence SET collected_at = 'yesterday'", "damaged"),
            ("UPDATE outcomes SET coverage = 'FINE'", "damaged"),
            ("UPDATE outcomes SET gaps = '[{}]'", "damaged"),
            ("UPDATE outcomes SET gaps = '['", "damaged"),
            ("UPDATE outcomes SET started_at = 'x'", "damaged"),
            ("UPDATE accounts SET account = '{}'", "damaged"),
            ('UPDATE accounts SET account = \'{"joined_at": null, "size": 1}\'', "damaged"),
            ("UPDATE run SET info = 'null'", "damaged"),
            ("UPDATE run SET info = '{}'", "damaged"),
            ("DELETE FROM run", "damaged"),
        ],
    )
    def test_by_hand_is_found(self, filled: Path, statement: str, said: str) -> None:
        altered(filled, statement)
        with pytest.raises(IntegrityError, match=said) as caught:
            read(filled)
        assert str(caught.value).startswith(str(filled))
        assert str(caught.value).splitlines() == [str(caught.value)]

    def test_by_a_bad_disk_is_found_or_harmless(self, filled: Path) -> None:
        whole, before = read(filled), filled.read_bytes()
        for place in range(0, len(before), 41):
            damaged = bytearray(before)
            damaged[place] ^= 0xFF
            filled.write_bytes(damaged)
            try:
                found = read(filled)
            except (IntegrityError, UsageError):
                continue
            hashes = [reading.evidence_sha256 for reading in found[3:]]
            assert hashes == [reading.evidence_sha256 for reading in whole[3:]], place

    @pytest.mark.parametrize("part", [0, 50, 4096, 9000])
    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_by_cutting_is_found(self, filled: Path, part: int, opening: Any) -> None:
        filled.write_bytes(filled.read_bytes()[:part])
        with pytest.raises(IntegrityError), opening(filled) as store:
            list(store)

    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_a_file_of_another_kind_is_found(self, path: Path, opening: Any) -> None:
        path.write_text("user,arn\n" * 1000)
        with pytest.raises(IntegrityError, match="is damaged"):
            opening(path)

    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_a_database_of_another_kind_is_found(self, path: Path, opening: Any) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE bookmarks (url)")
        with pytest.raises(IntegrityError, match="no such table"):
            opening(path)

    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_a_newer_format_is_left_to_a_newer_orgscan(self, filled: Path, opening: Any) -> None:
        altered(filled, "UPDATE run SET format = ?", FORMAT + 1)
        with pytest.raises(UsageError, match=r"newer orgscan \(format 2\); upgrade orgscan"):
            opening(filled)
        with closing(sqlite3.connect(filled)) as connection:
            connection.execute("SELECT * FROM run")  # nobody holds a lock

    @pytest.mark.parametrize("opening", [EvidenceStore.resume, EvidenceStore.read])
    def test_what_is_no_run_is_refused(self, tmp_path: Path, opening: Any) -> None:
        with pytest.raises(UsageError) as caught:
            opening(tmp_path / "evidence.sqlite")
        assert str(caught.value) == f"{tmp_path}: is not an orgscan run (no evidence.sqlite)"
        assert list(tmp_path.iterdir()) == []


def gap(kind: Kind = Kind.USERS, **more: Any) -> Gap:
    return Gap(kind=kind, code="Timeout", reason="", **more)


class TestContradictions:
    @pytest.mark.parametrize(
        ("state", "made", "said"),
        [
            ("ACTIVE", outcome(1, *whole()), ""),
            ("ACTIVE", outcome(1, *whole(), gaps=(gap(usable=True),)), "has gaps"),
            ("ACTIVE", outcome(1, *whole()[1:], coverage=Coverage.COMPLETE, gaps=()), "report"),
            ("ACTIVE", outcome(1, coverage=Coverage.COMPLETE, gaps=()), "COMPLETE"),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.PARTIAL, gaps=(gap(),)), ""),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.PARTIAL), "has no gap"),
            ("ACTIVE", outcome(1, *whole()[1:], gaps=(gap(),)), "credential_report"),
            ("ACTIVE", outcome(1, coverage=Coverage.DENIED), ""),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.DENIED), "DENIED"),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.FAILED), "FAILED"),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.NOT_ATTEMPTED), "NOT_ATTEMPTED"),
            ("CLOSED", outcome(1, coverage=Coverage.NOT_ACTIVE), ""),
            ("CLOSED", outcome(1, *whole(), coverage=Coverage.NOT_ACTIVE), "NOT_ACTIVE"),
            ("ACTIVE", outcome(1, coverage=Coverage.NOT_ACTIVE), "its state is ACTIVE"),
            ("UNKNOWN", outcome(1, coverage=Coverage.NOT_ACTIVE), "its state is UNKNOWN"),
            ("ACTIVE", outcome(1, coverage=Coverage.NOT_ACTIVE, reason=DEPARTED), ""),
            ("ACTIVE", outcome(1, coverage=Coverage.EXCLUDED), ""),
            ("ACTIVE", outcome(1, *whole(), coverage=Coverage.EXCLUDED), "EXCLUDED"),
            ("ACTIVE", outcome(2, *whole()), "listed with another account ID"),
        ],
        ids=str,
    )
    def test_between_an_outcome_and_what_it_rests_on(
        self, state: str, made: Outcome, said: str
    ) -> None:
        reading = Reading(account=account(1, state=state), outcome=made)
        found = contradiction(reading, INFO)
        assert said in found
        assert bool(found) == bool(said)

    def test_between_an_exclusion_and_settings_that_exclude_nothing(self) -> None:
        reading = Reading(account=account(1), outcome=outcome(1, coverage=Coverage.EXCLUDED))
        nothing: dict[str, list[str]] = {"include_ous": [], "accounts": [], "exclude_accounts": []}
        assert "EXCLUDED" in contradiction(reading, replace(INFO, scope=nothing))
        assert not contradiction(reading, replace(INFO, scope=nothing | {"accounts": ["1"]}))


class TestHashes:
    def test_follow_every_change(self, path: Path) -> None:
        """Read after each: what was not hashed anew would be taken for altered."""
        steps: list[Callable[[EvidenceStore], None]] = [
            lambda store: store.add_accounts(account(number) for number in (1, 2, 3)),
            lambda store: store.keep(outcome(1, *whole())),
            lambda store: store.keep(outcome(2, evidence(), duration_seconds=1)),
            lambda store: store.count_attempt("000000000002"),
            lambda store: store.count_attempt("000000000003"),
            lambda store: store.add_accounts([account(2, name="\u00fc\U0001f680"), account(4)]),
            lambda store: store.distrust(
                outcome(2, error_code="IntegrityFailure", reason="another account")
            ),
            lambda store: store.keep(outcome(2, *whole(), duration_seconds=0.1)),
            lambda store: store.update(replace(INFO, notes=("new",))),
        ]
        with EvidenceStore.create(path, INFO) as store:
            for step in steps:
                step(store)
                assert len(list(store)) == len(store)
        with EvidenceStore.read(path) as store:
            assert store.info.notes == ("new",)
            every = len(Kind)
            assert [len(one.outcome.evidence) for one in store] == [every, every, 0, 0]
        found = inspect(path)
        assert (found.problems, found.altered) == ((), {})

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ("UPDATE outcomes SET reason = 'x' WHERE account_id LIKE '%1'", "000000000001"),
            ("UPDATE outcomes SET attempts = 2 WHERE account_id LIKE '%2'", "000000000002"),
            ("UPDATE outcomes SET outcome_sha256 = NULL WHERE account_id LIKE '%2'",
             "000000000002"),
            ("DELETE FROM accounts WHERE account_id LIKE '%3'", ""),
            (
                ("UPDATE accounts SET account = replace(account, 'ACTIVE', 'CLOSED') "
                "WHERE account_id LIKE '%3'"),
                "",
            ),
            (
                ("INSERT INTO accounts SELECT '000000000004', replace(account, '003', '004') "
                "FROM accounts WHERE account_id LIKE '%3'"),
                "",
            ),
        ],
    )  # fmt: skip
    def test_name_the_account_whose_record_was_altered(
        self, filled: Path, statement: str, named: str
    ) -> None:
        altered(filled, statement)
        assert named in inspect(filled).altered
        with pytest.raises(IntegrityError, match=f"account {named}"):
            read(filled)

    def test_of_two_outcomes_that_were_swapped_fit_neither(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts(account(number) for number in (1, 2))
            store.keep(outcome(1, coverage=Coverage.DENIED, reason="one"))
            store.keep(outcome(2, coverage=Coverage.FAILED, reason="two"))
        altered(path, "UPDATE outcomes SET account_id = CAST(3 - account_id AS TEXT)")
        altered(path, "UPDATE outcomes SET account_id = '00000000000' || account_id")
        assert set(inspect(path).altered) == {"", "000000000001", "000000000002"}
        with pytest.raises(IntegrityError, match="altered"):
            read(path)


class TestStates:
    def test_an_account_that_is_active_again_has_no_outcome_until_it_is_read(
        self, path: Path
    ) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1, state="SUSPENDED"), account(2, state="SUSPENDED")])
            store.keep(outcome(1, coverage=Coverage.NOT_ACTIVE))
            store.keep(outcome(2, coverage=Coverage.NOT_ACTIVE))
            store.add_accounts([account(1), account(2, state="CLOSED")])
            found = [reading.outcome.coverage for reading in store]
        assert found == [Coverage.NOT_ATTEMPTED, Coverage.NOT_ACTIVE]

    def test_an_account_is_distrusted_once_and_keeps_its_evidence(self, path: Path) -> None:
        wrong = outcome(1, error_code="IntegrityFailure", reason="session of another")
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts([account(1)])
            store.keep(outcome(1, evidence(), error_code="Timeout", reason="late"))
            for _ in range(2):
                store.distrust(wrong)
            (reading,) = store
        found = reading.outcome
        assert (found.error_code, found.attempts) == ("IntegrityFailure", 3)
        assert found.reason == "session of another; late"
        assert (found.coverage, len(found.evidence)) == (Coverage.PARTIAL, 1)
        assert len(found.gaps) == len(Kind) - 1


def test_a_refused_store_is_not_kept_locked(filled: Path) -> None:
    altered(filled, "UPDATE outcomes SET attempts = attempts + 1")
    with pytest.raises(IntegrityError) as kept, EvidenceStore.resume(filled) as store:
        list(store)
    with EvidenceStore.resume(filled) as store:
        assert len(store) == 3
    assert kept.value is not None


class TestFullDisk:
    def test_fails_the_run_and_keeps_what_was_stored(self, path: Path) -> None:
        with EvidenceStore.create(path, INFO) as store:
            store.add_accounts(account(number) for number in (1, 2))
            store.keep(outcome(1, *whole(b"first")))
            (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
            store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
            with pytest.raises(RunError) as caught:
                store.keep(outcome(2, evidence(content=b"x" * 100_000)))
            assert "is full); what was stored before is kept" in str(caught.value)
            assert store.finished() == {"000000000001"}
        with EvidenceStore.resume(path) as store:
            found = {reading.account.account_id: reading.outcome.coverage for reading in store}
        assert found == {"000000000001": Coverage.COMPLETE, "000000000002": Coverage.NOT_ATTEMPTED}

    def test_without_room_even_for_the_journal(self, path: Path) -> None:
        program = """
import resource, signal, sys
from pathlib import Path
from tests.runs.test_evidence import INFO, EvidenceStore, RunError, account, evidence, outcome
with EvidenceStore.create(Path(sys.argv[1]), INFO) as store:
    store.add_accounts([account(1), account(2)])
    store.keep(outcome(1, evidence(content=b"first")))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        store.keep(outcome(2, evidence(content=b"x" * 100_000)))
    except RunError as error:
        print(error)
"""
        ended = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.stderr == ""
        assert "what was stored before is kept" in ended.stdout
        with EvidenceStore.resume(path) as store:
            assert store.finished() == {"000000000001"}
            assert next(iter(store)).outcome.evidence[0].content == b"first"


def test_the_hash_of_an_account_depends_on_kinds_and_content_and_not_on_their_order() -> None:
    one, two = evidence(Kind.USERS, b"1"), evidence(Kind.ACCESS_KEYS, b"2")
    assert account_hash([one, two]) == account_hash([two, one])
    swapped = [evidence(Kind.USERS, b"2"), evidence(Kind.ACCESS_KEYS, b"1")]
    assert account_hash(swapped) != account_hash([one, two])
    assert account_hash([]) is None


def test_evidence_is_read_account_by_account(path: Path) -> None:
    with EvidenceStore.create(path, INFO) as store:
        store.add_accounts(account(number) for number in range(3))
        for number in range(3):
            store.keep(outcome(number, evidence(content=b"%d" % number)))
        store._connection.execute("UPDATE evidence SET content = x'00' WHERE account_id LIKE '%2'")
        readings = iter(store)
        # The next account's evidence is looked at while this one's is handed out, no further.
        assert next(readings).outcome.evidence[0].content == b"0"
        with pytest.raises(IntegrityError):
            list(readings)
        store._connection.rollback()


def test_a_store_appears_with_its_tables_or_not_at_all(path: Path) -> None:
    sizes: list[int] = []

    def look(event: str, _arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect" and watching and path.exists():
            sizes.append(path.stat().st_size)

    watching = True
    sys.addaudithook(look)  # stays for the rest of the process, and looks away
    with EvidenceStore.create(path, INFO):
        pass
    watching = False
    assert sizes
    assert min(sizes) > 0
    with pytest.raises(UsageError, match="File exists"):
        EvidenceStore.create(path, INFO)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../../../elsewhere"},
        {"run_id": ""},
        {"run_id": ".hidden"},
        {"run_id": "a\0b"},
        {"organization": {"id": "../../x", "management_account_id": "000000000001"}},
        {"organization": {"id": "o-\x1b[2J", "management_account_id": "000000000001"}},
        {"as_of": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_a_head_that_would_lead_elsewhere_is_damage(path: Path, change: dict[str, Any]) -> None:
    """The ids become parts of paths: a run directory from somebody else must not choose them."""
    with EvidenceStore.create(path, INFO):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        (text,) = connection.execute("SELECT info FROM run").fetchone()
        altered = json.dumps(json.loads(text) | change)
        connection.execute("UPDATE run SET info = ?", (altered,))
    with EvidenceStore.read(path) as store, pytest.raises(IntegrityError, match="is damaged"):
        _ = store.info
