"""Whose limit holds: account, tag, deepest OU, organization, framework, default."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.control import Unit
from orgscan.controls.frameworks.reading import shipped
from orgscan.controls.limits import Limits, general, override_notes
from orgscan.controls.requirements import affected
from orgscan.tables import build
from orgscan.thresholds import ThresholdOverride, Thresholds
from tests.kit.findings import findings
from tests.kit.readings import AS_OF, ago, key, reading, root, row, slot, user

if TYPE_CHECKING:
    from orgscan.models import Reading

ACCOUNT, OTHER = "000000000001", "000000000002"
DEFAULT = Thresholds()
FSBP = shipped()["fsbp"]


def override(scope: str, value: str, days: float = 30, **limits: Any) -> ThresholdOverride:
    return ThresholdOverride(**{scope: value, "access_key_max_age_days": days, **limits})


def world(
    account: str = ACCOUNT,
    *,
    age: timedelta = timedelta(days=100),
    ou_path: str = "Root/Workloads/Prod",
    tags: dict[str, str] | None = None,
) -> Reading:
    """One account with one user, who has one key of that age, unused for as long."""
    created = AS_OF - age
    made = reading(
        account,
        report=[
            root(account),
            row("ann", account, password_enabled=True, **slot(1, active=True, created=created)),
        ],
        users=[user("ann", account)],
        keys=[key("AKIA1", created, "ann")],
    )
    return replace(made, account=replace(made.account, ou_path=ou_path, tags=tags))


def rotation(readings: list[Reading], **given: Any) -> list[tuple[str, str]]:
    rows = findings(readings, "access-key-rotation", **given)
    return list(zip(rows["status"], rows["threshold"], strict=True))


LEVELS: list[tuple[str, dict[str, Any]]] = [
    ("90 days (default)", {}),
    ("60 days (acme)", {"framework": replace(FSBP, key="acme", thresholds={})}),
    ("70 days (settings)", {"access_key_max_age_days": 70}),
    ("20 days (OU Root)", {"ou": "Root"}),
    ("21 days (OU Root/Workloads)", {"ou": "Root/Workloads"}),
    ("22 days (OU Root/Workloads/Prod)", {"ou": "Root/Workloads/Prod"}),
    ("23 days (tag environment=dev)", {"tag": "environment=dev"}),
    (f"24 days (account {ACCOUNT})", {"account": ACCOUNT}),
]


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_the_nearest_wins(level: int) -> None:
    """All levels up to one are set; that one holds, whatever the order of the overrides."""
    framework, thresholds, overrides = None, {}, []
    for text, given_ in LEVELS[1 : level + 1]:
        days = int(text.split()[0])
        if "framework" in given_:
            own = {"access_key_max_age_days": days}
            framework = replace(given_["framework"], thresholds=own)
        elif "access_key_max_age_days" in given_:
            thresholds = given_
        else:
            overrides.append(ThresholdOverride(**given_, access_key_max_age_days=days))
    readings = [world(tags={"environment": "dev", "team": "a"})]
    expected = [("FAIL", LEVELS[level][0])]
    for order in (overrides, overrides[::-1]):
        got = rotation(readings, framework=framework, overrides=order, **thresholds)
        assert got == expected


@pytest.mark.parametrize("scope", ["account", "ou", "tag"])
@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=180), "PASS"),
        (timedelta(days=180, microseconds=1_000_000), "FAIL"),
        (timedelta(days=179, hours=23), "PASS"),
    ],
)
def test_an_override_is_exact_at_its_limit(scope: str, age: timedelta, status: str) -> None:
    value = {"account": ACCOUNT, "ou": "Root/Workloads", "tag": "environment=dev"}[scope]
    got = rotation(
        [world(age=age, tags={"environment": "dev"})], overrides=[override(scope, value, 180)]
    )
    label = {"account": "account", "ou": "OU", "tag": "tag"}[scope]
    assert got == [(status, f"180 days ({label} {value})")]


@pytest.mark.parametrize(
    ("age", "status"), [(timedelta(days=90), "FAIL"), (timedelta(days=89, hours=23), "PASS")]
)
def test_a_framework_s_limit_is_exact(age: timedelta, status: str) -> None:
    rows = findings([world(age=age)], "unused-access-key", framework=FSBP)
    assert rows["status"].tolist() == [status]
    assert rows["threshold"].tolist() == ["90 days (fsbp)"]
    default = findings([world(age=age)], "unused-access-key")
    assert default["status"].tolist() == ["FAIL"]


def test_an_ou_is_matched_by_whole_names() -> None:
    readings = [
        world("000000000001", ou_path="Root/Dev"),
        world("000000000002", ou_path="Root/Dev/Team"),
        world("000000000003", ou_path="Root/Development"),
        world("000000000004", ou_path=""),
        world("000000000005", ou_path="Root/dev"),
    ]
    got = [text for _, text in rotation(readings, overrides=[override("ou", "Root/Dev")])]
    assert got == ["30 days (OU Root/Dev)"] * 2 + ["90 days (default)"] * 3


def test_a_tag_is_matched_by_name_and_value() -> None:
    readings = [
        world("000000000001", tags={"environment": "dev"}),
        world("000000000002", tags={"environment": "development"}),
        world("000000000003", tags={"env": "ironment=dev"}),
        world("000000000004", tags={}),
        world("000000000005", tags=None),
        world("000000000006", tags={"environment": ""}),
    ]
    dev = override("tag", "environment=dev")
    blank = override("tag", "environment=", 40)
    got = [text for _, text in rotation(readings, overrides=[dev, blank])]
    default = "90 days (default)"
    tagged, untagged = "30 days (tag environment=dev)", "40 days (tag environment=)"
    assert got == [tagged, default, default, default, default, untagged]


def test_of_two_tags_the_first_named_holds_and_a_note_tells() -> None:
    readings = [world(tags={"a": "1", "b": "2"}), world(OTHER, tags={"b": "2"})]
    first, second = override("tag", "a=1", 10), override("tag", "b=2", 20)
    accounts = build(readings, as_of=AS_OF).accounts
    for order in ([first, second], [second, first]):
        got = rotation(readings, overrides=order)
        winner = f"{order[0].given['access_key_max_age_days']:g} days ({order[0].label})"
        assert got[0][1] == winner
        assert got[1][1] == "20 days (tag b=2)"
        (note,) = override_notes(order, accounts)
        assert note.endswith(f"{order[0].label} holds, being named first.")
        assert note.startswith("1 accounts have both")
    assert not list(override_notes([first, override("tag", "b=2", 10)], accounts))
    third = world("000000000003", tags={"a": "1", "b": "2", "c": "3"})
    more = build([*readings, third], as_of=AS_OF).accounts
    notes = list(override_notes([first, second, override("tag", "c=3", 10)], more))
    assert [note[:44] for note in notes] == ["2 accounts have both tag a=1 and tag b=2, wh"]
    apart = ThresholdOverride(tag="b=2", root_usage_days=3)
    assert not list(override_notes([first, apart], accounts))


def test_overrides_that_reach_nobody_are_told() -> None:
    readings = [world(tags={"a": "1"}), world(OTHER, tags={})]
    accounts = build(readings, as_of=AS_OF).accounts
    lost = [
        override("account", "999999999999"),
        override("ou", "Root/Nowhere"),
        override("tag", "a=2"),
    ]
    fine = [override("account", OTHER), override("ou", "Root"), override("tag", "a=1")]
    notes = list(override_notes([*lost, *fine], accounts))
    for item in lost:
        assert f"The limits set for {item.label} apply to no account" in "\n".join(notes)
    assert len(notes) == len(lost)
    assert not list(override_notes(fine, accounts))
    assert not list(override_notes([], accounts))


def test_overrides_nobody_can_tell_the_reach_of_are_not_told_to_reach_nobody() -> None:
    readings = [world(tags={"a": "1"}), world(OTHER, ou_path="", tags=None)]
    accounts = build(readings, as_of=AS_OF).accounts
    notes = list(override_notes([override("ou", "Root/Nowhere"), override("tag", "a=2")], accounts))
    assert [note.partition(":")[0] for note in notes] == [
        "The organizational unit of 1 accounts could not be read",
        "The tags of 1 accounts could not be read",
    ]


@pytest.mark.parametrize(
    ("scope", "value", "where", "unread"),
    [
        ("tag", "env=prod", {"tags": None}, "tags"),
        ("ou", "Root/Workloads", {"ou_path": ""}, "organizational unit"),
    ],
)
def test_a_limit_nobody_can_tell_makes_no_verdict_it_could_turn(
    scope: str, value: str, where: dict[str, Any], unread: str
) -> None:
    """Unread tags once let a key of 50 days pass where the tag's limit was 30."""

    def judged(days: int, limit: int) -> list[str]:
        readings = [world(age=timedelta(days=days), **where)]
        rows = findings(readings, "access-key-rotation", overrides=[override(scope, value, limit)])
        assert "UNKNOWN" not in rows["status"].tolist() or rows["reason"].tolist() == [
            f"the limit is not known: the account's {unread} could not be read"
        ]
        return [str(status) for status in rows["status"]]

    assert judged(50, 30) == ["UNKNOWN"]  # passes by the organization's 90 days
    assert judged(100, 180) == ["UNKNOWN"]  # fails by them
    assert judged(20, 30) == ["PASS"]
    assert judged(200, 180) == ["FAIL"]
    # Whose own limit is known is judged by it.
    own = override("account", ACCOUNT, 60)
    readings = [world(age=timedelta(days=50), **where)]
    assert rotation(readings, overrides=[own, override(scope, value, 30)]) == [
        ("PASS", f"60 days (account {ACCOUNT})")
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    age=st.sampled_from([5, 25, 50, 100, 200]),
    tag=st.sampled_from(["a=1", "a=2"]),
    path=st.sampled_from(["Root", "Root/Workloads", "Root/Workloads/Prod"]),
    limits=st.lists(
        st.tuples(
            st.sampled_from(
                [("tag", "a=1"), ("tag", "a=2"), ("ou", "Root/Workloads"), ("account", ACCOUNT)]
            ),
            st.sampled_from([10, 30, 60, 150]),
            st.sampled_from(["creation-time", "never-used"]),
            st.sampled_from([1.0, 30.0]),
        ),
        max_size=3,
        unique_by=lambda item: item[0],
    ),
    lost=st.sampled_from([("tags",), ("ou_path",), ("tags", "ou_path")]),
)
def test_what_was_not_read_turns_no_verdict_into_another(
    age: int, tag: str, path: str, limits: list[Any], lost: tuple[str, ...]
) -> None:
    overrides = [
        override(*place, days, unused_credential_days=days, setup_rule=rule,
                 setup_window_minutes=minutes)
        for place, days, rule, minutes in limits
    ]  # fmt: skip
    name, _, text = tag.partition("=")
    known: dict[str, Any] = {"tags": {name: text}, "ou_path": path}
    blind = known | {what: {"tags": None, "ou_path": ""}[what] for what in lost}
    (true, told) = (
        findings([world(age=timedelta(days=age), **where)], overrides=overrides)
        for where in (known, blind)
    )
    assert list(true["finding_id"]) == list(told["finding_id"])
    for truth, said in zip(true["status"], told["status"], strict=True):
        assert said in {truth, "UNKNOWN"}


def test_every_control_with_a_limit_says_where_it_comes_from() -> None:
    limits: dict[str, Any] = {
        "root_usage_days": 1,
        "password_minimum_length": 8,
        "password_reuse_prevention": 2,
        "unused_credential_days": 3,
        "setup_window_minutes": 1,
        "new_key_grace_days": 4,
    }
    own = override("account", OTHER, 5, **limits)
    rows = findings([world(), world(OTHER)], overrides=[own])
    with_limit = {control.id for control in CATALOGUE if control.thresholds}
    texts = rows.groupby("control_id", observed=True)["threshold"].agg(list).to_dict()
    source = f"(account {OTHER})"
    for control, shown in texts.items():
        if control in with_limit:
            assert shown[0].endswith(" (default)"), control
            assert shown[1].endswith(f" {source}"), control
        else:
            # A number that no setting changes is the same everywhere.
            assert all(pd.isna(text) or text.endswith(" (fixed)") for text in shown), control
    assert texts["setup-access-key"] == ["5 minutes (default)", f"1 minute {source}"]
    assert texts["password-length"] == ["14 characters (default)", f"8 characters {source}"]


def test_the_setup_rule_may_differ_by_account() -> None:
    own = ThresholdOverride(account=OTHER, setup_rule="never-used")
    rows = findings([world(), world(OTHER)], "setup-access-key", overrides=[own])
    assert rows["threshold"].tolist() == ["5 minutes (default)", f"never used (account {OTHER})"]


def test_without_overrides_limits_stay_scalars() -> None:
    frame = pd.DataFrame({"account_id": [ACCOUNT, OTHER], "ou_path": "", "tags": None})
    far = Limits(DEFAULT, overrides=[override("account", "999999999999")], accounts=frame)
    for limits in (Limits(DEFAULT), far):
        for name in Thresholds.model_fields:
            assert np.ndim(limits.of(name, frame)) == 0
            assert np.ndim(limits.numbers(name, frame)) == 0
    near = Limits(DEFAULT, overrides=[override("account", OTHER)], accounts=frame)
    assert near.of("access_key_max_age_days", frame).tolist() == [90, 30]
    keys = pd.DataFrame({"account": [1, 0, 1, 1]})
    assert near.of("access_key_max_age_days", keys).tolist() == [30, 90, 30, 30]
    assert np.ndim(near.of("root_usage_days", frame)) == 0


class Recording(Limits):
    """Notes which thresholds are asked for."""

    def __init__(self) -> None:
        super().__init__(DEFAULT)
        self.asked: set[str] = set()

    def of(self, name: str, frame: pd.DataFrame) -> Any:
        self.asked.add(name)
        return super().of(name, frame)


@pytest.mark.parametrize("control", CATALOGUE, ids=lambda control: control.id)
def test_controls_read_the_limits_they_name(control: Any) -> None:
    from orgscan.controls.units import prepare  # noqa: PLC0415 - inner machinery

    tables = build([world()], as_of=AS_OF)
    units = prepare(
        tables.accounts,
        tables.credentials,
        tables.access_keys,
        tables.service_credentials,
        tables.facts,
    )
    limits = Recording()
    control.judge(units.of(control.unit), limits, np.int64(AS_OF.timestamp() * 1_000_000))
    assert limits.asked == set(control.thresholds)


def test_only_controls_with_another_limit_are_judged_again() -> None:
    cis = shipped()["cis-7.0"]
    assert affected(cis, cis, DEFAULT) == ()
    assert [one.id for one in affected(FSBP, cis, DEFAULT)] == [
        "unused-password",
        "unused-access-key",
        "access-key-rotation",
    ]
    # What the settings set holds for the findings, not for what a framework states.
    both = Thresholds(unused_credential_days=10, access_key_max_age_days=10)
    expected = ["unused-password", "unused-access-key", "access-key-rotation"]
    for framework in (FSBP, cis):
        assert [one.id for one in affected(framework, cis, both)] == expected
        assert general(both, framework, binding=True)["access_key_max_age_days"].value == 90
    own = override("account", "000000000001", 400, access_key_max_age_days=400)
    assert [one.id for one in affected(cis, cis, DEFAULT, [own])] == ["access-key-rotation"]
    # Where a framework states nothing, the organization's threshold holds.
    nist = shipped()["nist-800-53-r5"]
    assert general(both, nist, binding=True)["access_key_max_age_days"].source == "settings"
    assert affected(nist, nist, both, [own]) == ()
    assert general(both, FSBP)["unused_credential_days"].source == "settings"
    assert general(DEFAULT, FSBP)["unused_credential_days"].source == "fsbp"


ACCOUNTS = [f"{number:012d}" for number in range(1, 5)]
AGES = st.sampled_from([timedelta(days=days) for days in (1, 29, 30, 31, 89, 90, 91, 400)])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ages=st.tuples(*[AGES] * 4),
    chosen=st.sampled_from(ACCOUNTS),
    days=st.sampled_from([1, 30, 90, 365]),
    unit=st.sampled_from([Unit.USER, Unit.ACCESS_KEY]),
)
def test_an_override_for_one_account_changes_no_other(
    ages: tuple[timedelta, ...], chosen: str, days: float, unit: Unit
) -> None:
    readings = [world(name, age=age) for name, age in zip(ACCOUNTS, ages, strict=True)]
    ids = [control.id for control in CATALOGUE if control.unit == unit]
    own = override("account", chosen, days, unused_credential_days=days)
    plain = findings(readings, *ids).astype("str")
    changed = findings(readings, *ids, overrides=[own]).astype("str")
    pd.testing.assert_frame_equal(
        plain[plain["account_id"] != chosen], changed[changed["account_id"] != chosen]
    )
    alone = findings(
        readings, *ids, access_key_max_age_days=days, unused_credential_days=days
    ).astype("str")
    verdicts = ["finding_id", "status", "reason"]
    mine = changed["account_id"] == chosen
    pd.testing.assert_frame_equal(changed.loc[mine, verdicts], alone.loc[mine, verdicts])


def test_ages_of_the_world_are_exact() -> None:
    assert rotation([world(age=timedelta(days=90))]) == [("PASS", "90 days (default)")]
    assert rotation([world(age=AS_OF - ago(days=91))]) == [("FAIL", "90 days (default)")]
