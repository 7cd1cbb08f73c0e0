from __future__ import annotations

import json
import random
from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgscan import frames, schema
from orgscan.errors import IntegrityError
from orgscan.models import Coverage, Gap, Kind, Reading
from orgscan.tables import Tables, build, partitions, recorded
from tests.kit.readings import (
    ACCOUNT,
    AS_OF,
    GENERATED,
    ago,
    key,
    reading,
    root,
    row,
    slot,
    unread,
    user,
)

DTYPES = {
    schema.Type.STRING: "str",
    schema.Type.BOOLEAN: "boolean",
    schema.Type.INTEGER: "Int64",
    schema.Type.NUMBER: "Float64",
    schema.Type.TIMESTAMP: "datetime64[us, UTC]",
}
OLD = ago(days=200)


def one(**kinds: object) -> Tables:
    return build([reading(**kinds)], as_of=AS_OF)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "readings",
    [[], [unread()], [reading()], [reading(users=[user()], keys=[key("AKIA1", OLD)])]],
    ids=["no accounts", "nothing read", "no users", "one key"],
)
def test_columns_and_dtypes_are_the_schemas_even_without_rows(readings: list[Reading]) -> None:
    tables = build(readings, as_of=AS_OF)
    for table in (schema.ACCOUNTS, schema.CREDENTIALS, schema.ACCESS_KEYS):
        frame = getattr(tables, table.name)
        assert list(frame.columns) == table.column_names
        expected = [DTYPES[column.type] for column in table]
        assert [str(dtype) for dtype in frame.dtypes] == expected
        assert [str(dtype) for dtype in frames.empty(table.columns).dtypes] == expected
        assert frames.empty(table.columns).empty


def test_users_called_like_missing_values_stay_names() -> None:
    names = ["NA", "None", "nan", "null", "true"]
    rows = [root(), *(row(name, **slot(1, active=True, created=OLD)) for name in names)]
    keys = [key(f"AKIA{name}", OLD, name) for name in names]
    tables = one(report=rows, users=[user(name) for name in names], keys=keys)
    assert tables.credentials["user"].tolist() == ["<root_account>", *names]
    assert tables.access_keys["user"].tolist() == names
    assert tables.access_keys["match"].eq("matched").all()


def test_account_ids_keep_their_leading_zeros() -> None:
    tables = one(report=[root(), row()])
    assert tables.accounts["account_id"].tolist() == [ACCOUNT]
    assert tables.credentials["account_id"].tolist() == [ACCOUNT, ACCOUNT]


def test_source_tells_where_a_principal_was_seen() -> None:
    tables = one(report=[root(), row("both"), row("gone")], users=[user("both"), user("new")])
    sources = tables.credentials.set_index("user")["source"].to_dict()
    assert sources == {
        "<root_account>": "report_only",
        "both": "both",
        "gone": "report_only",
        "new": "live_only",
    }
    assert tables.accounts["users"].tolist() == [2]


def test_a_user_that_vanished_between_the_listings_is_not_live() -> None:
    tables = one(report=[root(), row("a")], users=[user("a"), user("b")], deleted=["a", "b"])
    assert tables.credentials.set_index("user")["source"].to_dict() == {
        "<root_account>": "report_only",
        "a": "report_only",
    }
    assert tables.accounts["users"].tolist() == [0]


def test_a_user_with_a_path_keeps_its_bare_name() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/team/x/alice"
    tables = one(report=[root(), row(arn=arn)], users=[user() | {"Arn": arn, "Path": "/team/x/"}])
    assert tables.credentials["user"].tolist() == ["<root_account>", "alice"]
    assert tables.credentials["arn"].tolist()[1] == arn


def test_dev_does_not_collect_the_keys_of_dev_ops() -> None:
    rows = [root(), row("dev"), row("dev-ops", **slot(1, active=True, created=OLD))]
    keys = [key("AKIA1", OLD, "dev-ops"), key("AKIA2", OLD, "dev_ops")]
    tables = one(report=rows, users=[user("dev"), user("dev-ops"), user("dev_ops")], keys=keys)
    assert tables.access_keys[["user", "access_key_id"]].to_numpy().tolist() == [
        ["dev-ops", "AKIA1"],
        ["dev_ops", "AKIA2"],
    ]
    counts = tables.credentials.set_index("user")["access_keys_listed"]
    assert counts["dev"] == 0
    assert counts["dev-ops"] == 1


def test_without_listings_the_report_counts_and_absent_counts_stay_empty() -> None:
    rows = [
        root(**slot(1, active=True, created=OLD)),
        row(**slot(1, active=True, created=OLD), **slot(2, active=False, created=OLD)),
    ]
    tables = one(report=rows, users=None, keys=None)
    assert tables.accounts[["users", "access_keys"]].to_numpy().tolist() == [[1, 2]]
    assert tables.credentials["access_keys_listed"].isna().all()
    assert tables.credentials["active_access_keys"].tolist() == [1, 1]
    nothing = one(report=None, users=None, keys=None).accounts
    assert nothing[["users", "access_keys", "report_generated_at"]].isna().all(axis=None)


def test_times_later_than_as_of_are_kept_with_age_zero() -> None:
    later = AS_OF + timedelta(days=3)
    table = one(users=[user()], keys=[key("AKIA1", later)]).access_keys
    assert table["created_at"].tolist() == [later]
    assert table[["age_days", "idle_days"]].to_numpy().tolist() == [[0.0, 0.0]]


def test_stored_json_that_is_no_json_is_an_integrity_failure() -> None:
    broken = reading(users=[user()])
    evidence = next(item for item in broken.outcome.evidence if item.kind == Kind.USERS)
    evidence.__dict__["content"] = b"[{"
    with pytest.raises(IntegrityError, match="users evidence of account"):
        build([broken], as_of=AS_OF)


def test_evidence_with_a_gap_that_forbids_use_is_not_used() -> None:
    gap = Gap(kind=Kind.CREDENTIAL_REPORT, code="ReportEmpty", reason="empty")
    tables = one(report=[root(), row()], users=[user()], gaps=(gap,))
    assert not tables.facts["has_report"].any()
    assert tables.credentials["source"].tolist() == ["live_only"]


def test_facts_cover_the_accounts_in_scope() -> None:
    readings = [
        unread("000000000001", Coverage.NOT_ACTIVE),
        unread("000000000002", Coverage.EXCLUDED),
        unread("000000000003", Coverage.DENIED),
        reading("000000000004", summary={"AccountAccessKeysPresent": 1}, policy="no policy"),
    ]
    tables = build(readings, as_of=AS_OF)
    assert len(tables.accounts) == 4
    facts = tables.facts.set_index("account_id")
    assert list(facts.index) == ["000000000003", "000000000004"]
    assert not facts.loc["000000000003"].drop("evidence_sha256").fillna(value=False).any()
    assert facts.loc["000000000004", "summary_root_keys"] == 1
    assert not facts.loc["000000000004", "policy_exists"]


@pytest.mark.parametrize(
    "device",
    [
        {"SerialNumber": "arn:aws:iam::1:mfa/x", "User": {"Arn": f"arn:aws:iam::{ACCOUNT}:root"}},
        {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/root-account-mfa-device"},
    ],
)
def test_roots_virtual_device_is_recognised(device: dict[str, object]) -> None:
    assert one(devices=[device]).facts["root_virtual_mfa"].tolist() == [True]
    other = {"SerialNumber": "arn:aws:iam::1:mfa/x", "User": {"Arn": "arn:aws:iam::1:user/root"}}
    assert one(devices=[other]).facts["root_virtual_mfa"].tolist() == [False]


def test_a_lone_surrogate_does_not_lose_the_run() -> None:
    odd = reading(name="bad \ud800 name")
    assert build([odd], as_of=AS_OF).accounts["account_name"].tolist() == ["bad \\ud800 name"]


def small_organization() -> list[Reading]:
    readings = [unread("000000000000")]
    for number in range(1, 6):
        account = f"{number:012d}"
        rows = [
            root(account),
            row("b", account, **slot(1, active=True, created=OLD, used=ago(days=3))),
            row(
                "a",
                account,
                **slot(1, active=True, created=OLD),
                **slot(2, active=True, created=OLD),
            ),
        ]
        keys = [key("AKIA2", OLD, "a"), key("AKIA1", OLD, "a"), key("AKIA3", OLD, "b")]
        readings.append(
            reading(account, report=rows, users=[user("b", account), user("a", account)], keys=keys)
        )
    return readings


TABLES = ("accounts", "credentials", "access_keys", "service_credentials", "facts")


def test_the_order_of_readings_does_not_change_the_tables() -> None:
    expected = build(small_organization(), as_of=AS_OF)
    for seed in range(3):
        shuffled = small_organization()
        random.Random(seed).shuffle(shuffled)
        tables = build(shuffled, as_of=AS_OF)
        for name in TABLES:
            pd.testing.assert_frame_equal(getattr(tables, name), getattr(expected, name))


@pytest.mark.parametrize("size", [1, 7, 50_000])
def test_partitions_are_the_tables_divided_between_accounts(size: int) -> None:
    readings = sorted(small_organization(), key=lambda one: one.account.account_id)
    expected = build(readings, as_of=AS_OF)
    parts = list(partitions(readings, as_of=AS_OF, size=size))
    assert len(parts) == {1: len(readings), 50_000: 1}.get(size, len(parts))
    for name in TABLES:
        together = pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(together, getattr(expected, name))
        owners = [set(getattr(part, name)["account_id"]) for part in parts]
        assert sum(map(len, owners)) == len(set().union(*owners))


def test_what_is_recorded_of_accounts_is_what_their_table_repeats() -> None:
    readings = sorted(small_organization(), key=lambda one: one.account.account_id)
    found, table = recorded(readings), build(readings, as_of=AS_OF).accounts
    assert len(found) == len(readings)
    needs_evidence = {
        "report_generated_at",
        "users",
        "access_keys",
        "service_credentials",
        "evidence_sha256",
    }
    assert set(table.columns) - set(found.columns) == needs_evidence
    pd.testing.assert_frame_equal(found, table[list(found.columns)])


def test_tables_are_sorted_by_key() -> None:
    tables = build(small_organization(), as_of=AS_OF)
    for name, by in (("credentials", ["account_id", "user"]), ("accounts", ["account_id"])):
        frame = getattr(tables, name)
        assert frame.equals(frame.sort_values(by, ignore_index=True))


STATUS = st.booleans()
MOMENTS = st.sampled_from([OLD, OLD + timedelta(milliseconds=1), OLD + timedelta(seconds=1)])
SLOTS = st.lists(st.tuples(STATUS, MOMENTS, st.booleans()), max_size=2)
KEYS = st.lists(st.tuples(STATUS, MOMENTS), max_size=3)


@settings(max_examples=80, deadline=None)
@given(SLOTS, KEYS, SLOTS, st.booleans())
def test_the_join_keeps_every_slot_and_key_and_multiplies_none(
    slots: list[tuple[bool, object, bool]],
    keys: list[tuple[bool, object]],
    root_slots: list[tuple[bool, object, bool]],
    listed: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    def cells(drawn: list[tuple[bool, object, bool]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for number, (active, created, used) in enumerate(drawn, start=1):
            last = ago(days=number) if used else "N/A"
            found |= slot(number, active=active, created=created, used=last)
        return found

    live = [
        key(f"AKIA{place}", created, status="Active" if active else "Inactive")
        for place, (active, created) in enumerate(keys)
    ]
    tables = one(
        report=[root(**cells(root_slots)), row(**cells(slots))],
        users=[user()],
        keys=live if listed else None,
    )
    table = tables.access_keys
    expected = live if listed else []
    users, roots = table[~table["is_root"]], table[table["is_root"]]
    assert sorted(users["access_key_id"].dropna()) == [item["AccessKeyId"] for item in expected]
    assert sorted(users["slot"].dropna()) == list(range(1, len(slots) + 1))
    assert sorted(roots["slot"]) == list(range(1, len(root_slots) + 1))
    assert roots["match"].eq("report_only").all()
    assert not table.duplicated(["account_id", "user", "access_key_id", "slot"]).any()
    statuses = users.dropna(subset=["access_key_id"]).set_index("access_key_id")["status"]
    assert statuses.to_dict() == {item["AccessKeyId"]: item["Status"] for item in expected}
    count = len(expected) if listed else len(slots)
    assert tables.accounts["access_keys"].tolist() == [count]


def test_evidence_is_read_as_json_dumps_writes_it() -> None:
    # Non-ASCII names travel as escapes in canonical JSON.
    assert b"\\u00fc" in json.dumps(user("ü")).encode()
    assert "ü" in one(users=[user("ü")]).credentials["user"].tolist()


def test_generated_at_missing_makes_the_report_unusable() -> None:
    tables = one(report=[root(), row()], generated=None)
    assert not tables.facts["has_report"].any()
    assert GENERATED not in tables.accounts["report_generated_at"].tolist()


def test_a_user_known_by_its_keys_alone_exists() -> None:
    tables = one(users=[], keys=[key("AKIA1", OLD)])
    assert tables.credentials.set_index("user")["source"]["alice"] == "live_only"
    assert tables.accounts[["users", "access_keys"]].to_numpy().tolist() == [[1, 1]]
