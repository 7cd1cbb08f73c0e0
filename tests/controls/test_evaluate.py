from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgscan import schema
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.control import Case, Control, Unit, fixed_text
from orgscan.controls.evaluate import evaluate
from orgscan.controls.identity import is_id_of
from orgscan.controls.judging import Texts, decide
from orgscan.controls.limits import Limits
from orgscan.models import Coverage, Kind, Reading, Severity, Status
from orgscan.tables import build
from orgscan.thresholds import Thresholds
from tests.kit.findings import ORGANIZATION, findings
from tests.kit.readings import AS_OF, GENERATED, ago, key, reading, root, row, slot, unread, user

OLD = ago(days=200)


def organization() -> list[Reading]:
    readings = [unread("000000000000"), unread("000000000009", Coverage.NOT_ACTIVE)]
    for number in range(1, 5):
        account = f"{number:012d}"
        rows = [
            root(account),
            row("b", account, password_enabled=True, **slot(1, active=True, created=OLD)),
            row(
                "a",
                account,
                **slot(1, active=True, created=OLD),
                **slot(2, active=True, created=OLD),
            ),
        ]
        keys = [key(f"AKIA2{number}", OLD, "a"), key(f"AKIA1{number}", OLD, "a")]
        listed = keys if number % 2 else None
        readings.append(
            reading(
                account, report=rows, users=[user("b", account), user("a", account)], keys=listed
            )
        )
    return readings


def test_columns_are_the_schemas_and_every_required_one_is_filled() -> None:
    for rows in (findings(organization()), findings([])):
        assert list(rows.columns) == schema.FINDINGS.column_names
        required = [column.name for column in schema.FINDINGS if column.required]
        assert not rows[required].isna().any(axis=None)
        for column in schema.FINDINGS:
            dtype = rows[column.name].dtype
            if column.type == schema.Type.TIMESTAMP:
                assert str(dtype) == "datetime64[us, UTC]"
            else:
                assert dtype == ("Int64" if column.name == "slot" else "str")


def test_every_resource_in_scope_has_one_row_per_control() -> None:
    rows = findings(organization())
    per_control = rows.groupby("control_id", observed=True).size().to_dict()
    units = {Unit.ROOT: 5, Unit.ACCOUNT: 5, Unit.USER: 8, Unit.ACCESS_KEY: 2 * 2 + 2 * 3}
    assert per_control == {
        control.id: units[control.unit] for control in CATALOGUE if control.unit in units
    }
    assert "000000000009" not in set(rows["account_id"])


def test_findings_are_sorted_by_account_user_key_and_control() -> None:
    rows = findings(organization())
    keys = [
        (a, "" if pd.isna(u) else u, "" if pd.isna(k) else k, 0 if pd.isna(s) else s, c)
        for a, u, k, s, c in rows[
            ["account_id", "user", "access_key_id", "slot", "control_id"]
        ].itertuples(index=False)
    ]
    assert keys == sorted(keys)


def test_neither_the_order_of_readings_nor_of_rows_changes_the_findings() -> None:
    expected = findings(organization())
    shuffled = organization()
    random.Random(3).shuffle(shuffled)
    pd.testing.assert_frame_equal(findings(shuffled), expected)
    tables = build(organization(), as_of=AS_OF)
    frames = [
        tables.accounts,
        tables.credentials,
        tables.access_keys,
        tables.service_credentials,
        tables.facts,
    ]
    mixed = [frame.sample(frac=1, random_state=5, ignore_index=True) for frame in frames]
    got = evaluate(*mixed, organization_id=ORGANIZATION, as_of=AS_OF, thresholds=Thresholds())
    pd.testing.assert_frame_equal(got, expected)


def test_finding_ids_are_unique_and_can_be_recomputed() -> None:
    rows = findings(organization())
    assert rows["finding_id"].is_unique
    got = rows[(rows["control_id"] == "access-key-rotation") & rows["access_key_id"].eq("AKIA11")]
    control = hashlib.sha256(f"{ORGANIZATION}\x1faccess-key-rotation".encode()).hexdigest()
    resource = hashlib.sha256(f"{ORGANIZATION}\x1f000000000001\x1fa\x1fAKIA11".encode()).hexdigest()
    assert got["finding_id"].tolist() == [control[:8] + resource[:24]]
    slotted = rows[(rows["control_id"] == "access-key-rotation") & rows["access_key_id"].isna()]
    resource = hashlib.sha256(f"{ORGANIZATION}\x1f000000000002\x1fa\x1fslot-1".encode()).hexdigest()
    assert slotted["finding_id"].iloc[0] == control[:8] + resource[:24]


def test_each_id_is_that_of_its_own_control_and_resource_alone() -> None:
    rows = findings(organization())
    about = ["control_id", "account_id", "user", "access_key_id"]
    listed = rows[about].astype(object).where(rows[about].notna(), "").to_dict("records")
    ids = rows["finding_id"].tolist()
    for finding, known in zip(ids, listed, strict=True):
        assert is_id_of(finding, organization_id=ORGANIZATION, **known)
        assert not is_id_of(finding, organization_id="o-elsewhere00", **known)
        for name in about:
            other = known | {name: f"{known[name]}x"}
            assert not is_id_of(finding, organization_id=ORGANIZATION, **other)


def test_finding_ids_do_not_depend_on_the_verdict_or_the_moment() -> None:
    denied = findings([unread("000000000001")])
    clean = findings([reading("000000000001")])
    assert set(denied["finding_id"]) == set(clean["finding_id"])
    assert not clean["status"].eq("UNKNOWN").any()


def test_findings_lead_to_the_evidence() -> None:
    rows = findings(organization())
    read = rows[rows["account_id"] == "000000000001"]
    assert read["evidence_sha256"].eq("0" * 64).all()
    assert read["report_generated_at"].eq(GENERATED).all()
    assert rows["as_of"].eq(AS_OF).all()
    assert rows["first_seen_at"].eq(AS_OF).all()
    assert rows["waiver_id"].isna().all()


def test_fewer_controls_can_be_asked_for() -> None:
    rows = findings(organization(), "console-mfa", "root-mfa")
    assert set(rows["control_id"]) == {"root-mfa", "console-mfa"}
    tables = build(organization(), as_of=AS_OF)
    none = evaluate(
        tables.accounts,
        tables.credentials,
        tables.access_keys,
        tables.service_credentials,
        tables.facts,
        organization_id=ORGANIZATION,
        as_of=AS_OF,
        thresholds=Thresholds(),
        controls=(),
    )
    assert none.empty


class RowLimits(Limits):
    """Thresholds that differ per row, as a later version will resolve them."""

    def of(self, name: str, frame: pd.DataFrame) -> Any:
        value = super().of(name, frame)
        return np.array([value] * len(frame))


@pytest.mark.parametrize("control", CATALOGUE, ids=lambda control: control.id)
def test_predicates_take_thresholds_per_row(control: Control) -> None:
    from orgscan.controls.units import prepare  # noqa: PLC0415 - inner machinery

    tables = build(organization(), as_of=AS_OF)
    units = prepare(
        tables.accounts,
        tables.credentials,
        tables.access_keys,
        tables.service_credentials,
        tables.facts,
    )
    frame = units.of(control.unit)
    moment = np.int64(AS_OF.timestamp() * 1_000_000)
    outcomes = []
    for limits in (Limits(Thresholds()), RowLimits(Thresholds())):
        texts = Texts()
        status, reason = decide(control.judge(frame, limits, moment), len(frame), texts)
        threshold = control.threshold_text and texts.number(
            control.threshold_text(frame, limits), np.arange(len(frame))
        )
        sentences = list(texts.codes)
        shown = None if threshold is None else [sentences[code] for code in np.ravel(threshold)]
        outcomes.append((status.tolist(), [sentences[code] for code in reason], shown))
    assert outcomes[0] == outcomes[1]


def test_cases_that_leave_a_resource_without_a_verdict_are_a_defect() -> None:
    nobody = np.zeros(3, dtype=np.bool_)
    with pytest.raises(ValueError, match="do not cover"):
        decide((Case(nobody, Status.PASS, "never"),), 3, Texts())


# The catalogue


def test_no_id_of_a_control_is_taken_away_or_given_twice() -> None:
    """Ids are in waivers, findings and workbooks of years ago; new ones may be added anywhere."""
    ids = [control.id for control in CATALOGUE]
    assert len(ids) == len(set(ids))
    known = [
        "root-access-key",
        "root-mfa",
        "root-hardware-mfa",
        "root-usage",
        "root-signing-certificate",
        "password-length",
        "password-reuse",
        "console-mfa",
        "unused-password",
        "console-user",
        "unused-access-key",
        "access-key-rotation",
        "setup-access-key",
        "never-used-access-key",
        "inactive-access-key",
        "single-active-access-key",
        "user-without-credentials",
        "signing-certificate",
        "service-specific-credential",
    ]
    assert [name for name in ids if name in known] == known
    halves = {hashlib.sha256(control.id.encode()).hexdigest()[:8] for control in CATALOGUE}
    assert len(halves) == len(CATALOGUE)
    for control in CATALOGUE:
        assert control.needs
        assert control.title
        assert control.description.endswith(".")
        assert control.remediation.endswith(".")
        assert isinstance(control.severity, Severity)


# Promises: no PASS without evidence; a fault never turns FAIL or UNKNOWN into PASS

TIMES = st.sampled_from([ago(days=days) for days in (1, 6, 8, 44, 46, 89, 91, 399, 400)])


@st.composite
def quiet_worlds(draw: st.DrawFn) -> dict[str, Any]:
    """An account in which nothing changed between report and listing."""
    cells: dict[str, Any] = {
        "password_enabled": draw(st.booleans()),
        "password_last_used": draw(TIMES | st.just("no_information")),
        "mfa_active": draw(st.booleans()),
        "cert_1_active": draw(st.booleans()),
    }
    keys = []
    for number in range(1, draw(st.integers(0, 2)) + 1):
        # Keys of one second would be two readings of the same evidence, not a fault in it.
        active, created = draw(st.booleans()), draw(TIMES) + timedelta(seconds=number)
        used = draw(TIMES | st.just("N/A"))
        cells |= slot(number, active=active, created=created, used=used)
        keys.append(key(f"AKIA{number}", created, status="Active" if active else "Inactive"))
    root_cells: dict[str, Any] = {
        "mfa_active": draw(st.booleans()),
        "password_enabled": draw(st.booleans()),
        "password_last_used": draw(TIMES | st.just("no_information")),
    }
    root_keys = draw(st.integers(0, 1))
    if root_keys:
        root_cells |= slot(1, active=draw(st.booleans()), created=draw(TIMES))
    return {
        "report": [root(**root_cells), row(**cells)],
        "users": [user()],
        "keys": draw(st.permutations(keys)),
        "policy": draw(st.sampled_from(["no policy", {}, {"MinimumPasswordLength": 14}])),
        "devices": draw(
            st.sampled_from([[], [{"User": {"Arn": "arn:aws:iam::012345678901:root"}}]])
        ),
    }


KINDS = {
    Kind.CREDENTIAL_REPORT: "report",
    Kind.USERS: "users",
    Kind.ACCESS_KEYS: "keys",
    Kind.ACCOUNT_SUMMARY: "summary",
    Kind.PASSWORD_POLICY: "policy",
    Kind.VIRTUAL_MFA_DEVICES: "devices",
    Kind.SERVICE_SPECIFIC_CREDENTIALS: "service_credentials",
    Kind.SSH_PUBLIC_KEYS: "ssh_keys",
    Kind.USER_DETAILS: "details",
}
LOST = st.sets(st.sampled_from(sorted(KINDS.values())), min_size=1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(quiet_worlds(), LOST)
def test_missing_evidence_never_makes_a_pass(world: dict[str, Any], lost: set[str]) -> None:
    whole = findings([reading(**world)])
    less = findings([reading(**world | dict.fromkeys(lost))])
    before = {name: status for names, status in named(whole) for name in names}
    for names, status in named(less):
        if status == "PASS":
            assert {before[name] for name in names} == {"PASS"}, names


def named(rows: pd.DataFrame) -> list[tuple[list[tuple[str, ...]], str]]:
    """Each finding's status with the names of what it is about: by key id and by slot."""
    filled = rows.astype({"slot": "str"}).astype("str").fillna("")
    found = []
    for line in filled.itertuples():
        about = [("id", line.access_key_id), ("slot", line.slot)]
        names = [(line.control_id, line.user, *name) for name in about if name[1]]
        found.append((names or [(line.control_id, line.user)], line.status))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(quiet_worlds(), LOST)
def test_nothing_passes_without_the_evidence_it_rests_on(
    world: dict[str, Any], lost: set[str]
) -> None:
    rows = findings([reading(**world | dict.fromkeys(lost))])
    passed = set(rows.loc[rows["status"] == "PASS", "control_id"])
    for control in CATALOGUE:
        if {KINDS[kind] for kind in control.needs} <= lost:
            assert control.id not in passed


def test_an_account_with_no_evidence_at_all_passes_nothing() -> None:
    nothing = dict.fromkeys(KINDS.values())
    rows = findings([reading(**nothing)])
    assert set(rows["status"]) == {"UNKNOWN"}


def test_a_threshold_that_no_setting_changes_says_so() -> None:
    limits = Limits(Thresholds())
    assert fixed_text(30, "day")(pd.DataFrame(), limits) == "30 days (fixed)"
    assert fixed_text(1, "day")(pd.DataFrame(), limits) == "1 day (fixed)"


def test_a_control_is_a_frozen_value() -> None:
    renamed = replace(CATALOGUE[0], id="other")
    assert renamed.id == "other"
    assert CATALOGUE[0].id == "root-access-key"
