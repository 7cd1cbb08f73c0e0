"""What waivers do to findings, and what they never do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgscan.errors import UsageError
from orgscan.models import is_in_unit
from orgscan.waivers.apply import apply, check
from orgscan.waivers.waiver import State, Waiver
from tests.kit.waivers import ACCOUNTS, AS_OF, CONTROLS, DAY, USERS, accounts, findings, waiver

if TYPE_CHECKING:
    import random

SECOND = timedelta(seconds=1)
FAILING = [
    (control, account, user, "AKIA0000000000000001" if "key" in control else None, "FAIL")
    for control in CONTROLS
    for account in ACCOUNTS
    for user in USERS
]


def waived(rows: pd.DataFrame, *waivers: Waiver, **options: Any) -> pd.DataFrame:
    done = apply(rows, accounts(), waivers, as_of=options.get("as_of", AS_OF)).findings
    return done[done["status"] == "WAIVED"]


def test_a_waiver_in_force_turns_a_fail_into_waived_and_says_until_when() -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, "FAIL")])
    done = apply(rows, accounts(), [waiver(expires=AS_OF.replace(hour=0) + DAY)], as_of=AS_OF)
    row = done.findings.iloc[0]
    assert (row["status"], row["waiver_id"]) == ("WAIVED", "W-1")
    assert row["reason"] == "active for 412 days, limit 90; waived until 2026-10-01 by W-1"
    (result,) = done.results
    assert (result.state, result.failing, result.matched) == (State.IN_FORCE, 1, 1)


def test_an_expired_waiver_brings_the_fail_back_and_says_so() -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, "FAIL")])
    done = apply(rows, accounts(), [waiver("W-12", expires=AS_OF.replace(hour=0))], as_of=AS_OF)
    row = done.findings.iloc[0]
    assert row["status"] == "FAIL"
    assert pd.isna(row["waiver_id"])
    assert row["reason"].endswith("limit 90; waiver W-12 expired 2026-09-30")
    assert done.results[0].state is State.EXPIRED
    assert done.results[0].failing == 1


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        (AS_OF - SECOND, "FAIL"),
        (AS_OF, "WAIVED"),
        (AS_OF + DAY - SECOND, "WAIVED"),
        (AS_OF + DAY, "FAIL"),
    ],
)
def test_exact_at_the_start_and_expiry_instants(moment: Any, status: str) -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, "FAIL")])
    one = waiver(start=AS_OF, expires=AS_OF + DAY)
    assert apply(rows, accounts(), [one], as_of=moment).findings["status"].tolist() == [status]


@given(
    st.integers(-200_000, 200_000),
    st.integers(-200_000, 200_000),
    st.integers(-200_000, 200_000),
)
def test_a_state_is_a_matter_of_two_comparisons(start: int, end: int, now: int) -> None:
    one = waiver(start=AS_OF + start * SECOND, expires=AS_OF + end * SECOND)
    in_force = start <= now < end
    assert (one.state(AS_OF + now * SECOND) is State.IN_FORCE) == in_force


@pytest.mark.parametrize("status", ["PASS", "UNKNOWN", "NOT_APPLICABLE"])
def test_nothing_but_a_fail_is_touched_though_it_is_counted(status: str) -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, status)])
    for expires in (AS_OF + DAY, AS_OF - DAY):
        done = apply(rows, accounts(), [waiver(expires=expires)], as_of=AS_OF)
        pd.testing.assert_frame_equal(done.findings, rows)
        assert (done.results[0].failing, done.results[0].matched) == (0, 1)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"account": "000000000002"}, {("000000000002", user) for user in USERS}),
        (
            {"ou": "Root/Workloads/Prod"},
            {(account, user) for account in ("000000000002", "000000000004") for user in USERS},
        ),
        ({"user": "ci-*"}, {(account, user) for account in ACCOUNTS for user in ("ci-1", "ci-22")}),
        ({"user": "ci-?"}, {(account, "ci-1") for account in ACCOUNTS}),
        ({"user": "alice"}, {(account, "alice") for account in ACCOUNTS}),
        (
            {"user": "[aA]lice", "account": "000000000003"},
            {("000000000003", "alice"), ("000000000003", "Alice")},
        ),
        ({"tag": "env=prod"}, {("000000000002", user) for user in USERS}),
        ({"tag": "owner=a=b", "user": "alice"}, {("000000000002", "alice")}),
        ({"tag": "env=prod", "ou": "Root/Workloads/Production"}, set()),
    ],
)  # fmt: skip
def test_all_that_narrows_a_scope_must_hold(scope: dict[str, str], expected: set[Any]) -> None:
    rows = waived(findings(FAILING), waiver(**scope))
    assert set(zip(rows["account_id"], rows["user"], strict=True)) == expected
    assert set(rows["control_id"]) <= {"console-mfa"}


def test_an_access_key_id_is_compared_whole() -> None:
    rows = findings(
        [
            ("access-key-rotation", "000000000002", "alice", key, "FAIL")
            for key in ("AKIA0000000000000001", "AKIA00000000000000012", None)
        ]
    )
    one = waiver(controls=["access-key-rotation"], access_key_id="AKIA0000000000000001")
    assert waived(rows, one)["finding_id"].tolist() == [f"{0:032x}"]
    other = waiver(controls=["access-key-rotation"], access_key_id="AKIA0000000000000009")
    assert waived(rows, other).empty


def test_a_user_pattern_does_not_reach_findings_without_a_user() -> None:
    rows = findings([("console-mfa", "000000000002", None, None, "FAIL")])
    assert waived(rows, waiver(user="*")).empty
    assert len(waived(rows, waiver())) == 1


def test_of_two_waivers_the_one_that_lasts_longer_counts_then_the_lower_id() -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, "FAIL")])
    longer = waiver("W-9", expires=AS_OF + 20 * DAY)
    assert waived(rows, waiver("W-1"), longer)["waiver_id"].tolist() == ["W-9"]
    assert waived(rows, waiver("W-2"), waiver("W-1"))["waiver_id"].tolist() == ["W-1"]
    expired = waiver("W-0", expires=AS_OF - DAY)
    assert waived(rows, waiver("W-2"), expired)["reason"].tolist() == [
        "active for 412 days, limit 90; waived until 2026-10-10 06:00:00 UTC by W-2"
    ]


def test_over_broad_is_what_nothing_narrows_and_what_reaches_every_account() -> None:
    broad = {
        "A": {},
        "B": {"user": "**"},
        "C": {"ou": "Root"},
        "D": {"user": "a*"},
        "E": {"user": "alice", "ou": "Root/Workloads/Prod"},
        "F": {"account": "000000000001"},
    }
    waivers = [waiver(name, **scope) for name, scope in broad.items()]
    results = apply(findings(FAILING), accounts(), waivers, as_of=AS_OF).results
    assert [one.waiver.id for one in results if one.over_broad] == ["A", "B", "C", "D"]


@pytest.mark.parametrize("pattern", ["*", "?*", "*?", "[!~]*", "[A-Za-z]*", "*[!~]", "?**?*"])
@pytest.mark.parametrize("scope", [{}, {"ou": "Root"}])
def test_a_pattern_that_leaves_out_no_user_is_over_broad_however_it_is_written(
    pattern: str, scope: dict[str, str]
) -> None:
    # Accounts without IAM users have results about root alone; one account has but one user.
    rows = findings(
        [(control, account, "<root_account>", None, "PASS")
         for control in CONTROLS for account in ACCOUNTS]
        + [("console-mfa", "000000000002", user, None, "FAIL") for user in ("alice", "ci-1")]
    )  # fmt: skip
    (result,) = apply(rows, accounts(), [waiver(user=pattern, **scope)], as_of=AS_OF).results
    assert (result.matched, result.over_broad) == (2, True)
    one_account = rows[rows["account_id"] == "000000000002"]
    (result,) = apply(one_account, accounts(), [waiver(user=pattern)], as_of=AS_OF).results
    assert result.over_broad


@pytest.mark.parametrize(
    "scope",
    [
        {"user": "ci-*"},
        {"user": "alice"},
        {"user": "?*", "account": "000000000002"},
        {"user": "?*", "ou": "Root/Workloads/Prod/EU"},
        {"user": "?*", "tag": "env=prod"},
    ],
)
def test_what_leaves_users_and_accounts_out_is_not_over_broad(scope: dict[str, str]) -> None:
    rows = findings(
        [("console-mfa", account, user, None, "FAIL")
         for account in ("000000000002", "000000000004") for user in ("alice", "ci-1")]
        + [("console-mfa", "000000000003", "bob", None, "FAIL")]
    )  # fmt: skip
    (result,) = apply(rows, accounts(), [waiver(**scope)], as_of=AS_OF).results
    assert result.matched
    assert not result.over_broad


def test_every_account_means_those_that_the_waiver_s_controls_judged() -> None:
    rows = findings(
        [("root-mfa", account, "<root_account>", None, "PASS") for account in ACCOUNTS]
        + [("console-mfa", account, user, None, "FAIL")
           for account in ("000000000002", "000000000003") for user in ("ci-1", "bob")]
    )  # fmt: skip
    (result,) = apply(rows, accounts(), [waiver(user="ci-*")], as_of=AS_OF).results
    assert (result.matched, result.over_broad) == (2, True)


@pytest.mark.parametrize("judged", [2, 3, 4])
def test_a_waiver_that_leaves_out_one_account_is_not_over_broad(judged: int) -> None:
    first, *others = list(ACCOUNTS)[:judged]
    rows = [("console-mfa", account, "bob", None, "FAIL") for account in (first, *others)]
    rows += [("console-mfa", account, "ci-1", None, "FAIL") for account in others]
    (result,) = apply(findings(rows), accounts(), [waiver(user="ci-*")], as_of=AS_OF).results
    assert (result.matched, result.over_broad) == (judged - 1, False)
    rows.append(("console-mfa", first, "ci-1", None, "FAIL"))
    (result,) = apply(findings(rows), accounts(), [waiver(user="ci-*")], as_of=AS_OF).results
    assert (result.matched, result.over_broad) == (judged, True)


@pytest.mark.parametrize("pattern", ["*", "?*", "<*", "[<]root_account>", "*root*", "[!~]*"])
def test_no_user_pattern_matches_root(pattern: str) -> None:
    rows = waived(findings(FAILING), waiver(user=pattern, controls=["root-mfa"]))
    assert "<root_account>" not in set(rows["user"])
    assert len(waived(findings(FAILING), waiver(user="<root_account>"))) == len(ACCOUNTS)


@pytest.mark.parametrize(
    ("owner", "approver", "same"),
    [
        ("Mirela Kovac", "mirela  KOVAC ", True),
        ("Mirela Kovac", "MirelaKovac", True),
        ("Zo\u00eb", "Zoe\u0308", True),
        ("Mirela Kovac", "Greta Lindqvist", False),
    ],
)
def test_a_waiver_approved_by_its_owner_says_so(owner: str, approver: str, *, same: bool) -> None:
    assert waiver(owner=owner, approved_by=approver).is_self_approved is same


@pytest.mark.parametrize("scope", [{"ou": "Elsewhere"}, {"user": "nobody"}, {"controls": ["new"]}])
def test_what_matches_nothing_is_not_over_broad(scope: dict[str, Any]) -> None:
    (result,) = apply(findings(FAILING), accounts(), [waiver(**scope)], as_of=AS_OF).results
    assert (result.matched, result.over_broad) == (0, False)


def test_in_a_run_of_one_account_not_every_waiver_is_over_broad() -> None:
    rows = findings([("console-mfa", "000000000002", "alice", None, "FAIL")])
    (result,) = apply(rows, accounts(), [waiver(user="alice")], as_of=AS_OF).results
    assert not result.over_broad


def test_every_control_within_a_scope() -> None:
    rows = waived(findings(FAILING), waiver(controls=["*"], account="000000000001"))
    assert len(rows) == len(CONTROLS) * len(USERS)


def test_an_account_that_an_earlier_run_knew_may_have_left() -> None:
    gone = waiver(account="999999999999")
    done = apply(findings(FAILING), accounts(), [gone], as_of=AS_OF, left={"999999999999"})
    (result,) = done.results
    assert (result.state, result.failing, result.matched) == (State.IN_FORCE, 0, 0)
    assert not (done.findings["status"] == "WAIVED").any()


def test_an_account_that_is_not_there_is_refused_unless_the_waiver_has_expired() -> None:
    gone = {"account": "999999999999", "place": "w.csv: line 3"}
    with pytest.raises(UsageError, match=r"w.csv: line 3: waiver W-1 names account 999999999999"):
        apply(findings(FAILING), accounts(), [waiver(**gone)], as_of=AS_OF)
    done = apply(findings(FAILING), accounts(), [waiver(**gone, expires=AS_OF)], as_of=AS_OF)
    assert done.results[0].matched == 0


def test_a_waiver_may_not_last_too_long() -> None:
    start = AS_OF.replace(hour=0)
    check([waiver(start=start, expires=start + 366 * DAY)], as_of=AS_OF, max_days=366)
    check([waiver(expires=AS_OF + 366 * DAY)], as_of=AS_OF, max_days=366)
    with pytest.raises(UsageError, match="more than 366 days after its start; end it earlier"):
        check([waiver(start=start, expires=start + 366 * DAY + SECOND)], as_of=AS_OF, max_days=366)
    with pytest.raises(UsageError, match=r"after the as-of time .* give it a start"):
        check([waiver(expires=AS_OF + 366 * DAY + SECOND)], as_of=AS_OF, max_days=366)


def test_findings_without_categories_and_without_rows() -> None:
    plain = findings(FAILING)
    texts = plain.astype(dict.fromkeys(plain.columns, "str"))
    one = waiver(user="alice")
    expected = apply(plain, accounts(), [one], as_of=AS_OF).findings
    done = apply(texts, accounts(), [one], as_of=AS_OF).findings
    for name in ("status", "reason", "waiver_id"):
        assert done[name].astype(object).tolist() == expected[name].astype(object).tolist()
    empty = plain.iloc[:0]
    assert len(apply(empty, accounts(), [one], as_of=AS_OF).findings) == 0


ROWS = st.lists(
    st.tuples(
        st.sampled_from(CONTROLS),
        st.sampled_from([*ACCOUNTS]),
        st.sampled_from([*USERS, None]),
        st.sampled_from(["AKIA0000000000000001", "AKIA0000000000000002", None]),
        st.sampled_from(["PASS", "FAIL", "FAIL", "UNKNOWN", "NOT_APPLICABLE"]),
    ),
    max_size=30,
)
SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "account": st.sampled_from([*ACCOUNTS]),
        "ou": st.sampled_from(["Root", "Root/Workloads", "Root/Workloads/Prod"]),
        "user": st.sampled_from(["*", "a*", "?lice", "ci-*", "<root_account>", "[!a]*"]),
        "access_key_id": st.sampled_from(["AKIA0000000000000001"]),
        "tag": st.sampled_from(["env=prod", "env=test", "env="]),
    },
)


@st.composite
def waiver_lists(draw: Any) -> list[Waiver]:
    made = []
    for number in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(-3, 3))
        made.append(
            waiver(
                f"W-{number}",
                controls=draw(st.lists(st.sampled_from(CONTROLS), min_size=1, unique=True)),
                start=draw(st.sampled_from([None, AS_OF + begin * DAY])),
                expires=AS_OF + draw(st.integers(begin, 4)) * DAY,
                **draw(SCOPES),
            )
        )
    return made


@given(ROWS, waiver_lists(), st.randoms(use_true_random=False))
def test_the_order_of_waivers_and_findings_changes_nothing(
    rows: Any, waivers: list[Waiver], draw: random.Random
) -> None:
    table = findings(rows)
    once = apply(table, accounts(), waivers, as_of=AS_OF)
    mixed = draw.sample(waivers, len(waivers))
    again = apply(table, accounts(), mixed, as_of=AS_OF)
    assert again.results == once.results
    pd.testing.assert_frame_equal(again.findings, once.findings)
    order = draw.sample(range(len(table)), len(table))
    shuffled = apply(table.iloc[order], accounts(), waivers, as_of=AS_OF).findings
    expected = once.findings.iloc[order]
    for name in ("finding_id", "status", "reason", "waiver_id"):
        assert shuffled[name].astype(object).tolist() == pytest.approx(
            expected[name].astype(object).tolist(), nan_ok=True
        )


@given(ROWS, waiver_lists())
def test_no_row_comes_goes_or_moves_and_only_fails_change(rows: Any, waivers: list[Waiver]) -> None:
    table = findings(rows)
    done = apply(table, accounts(), waivers, as_of=AS_OF).findings
    untouched = [name for name in table if name not in {"status", "reason", "waiver_id"}]
    pd.testing.assert_frame_equal(done[untouched], table[untouched])
    changed = done["status"].astype(str) != table["status"].astype(str)
    assert set(table.loc[changed, "status"]) <= {"FAIL"}
    assert set(done.loc[changed, "status"]) <= {"WAIVED"}
    assert done["waiver_id"].notna().tolist() == (done["status"] == "WAIVED").tolist()
    kept = table["status"] != "FAIL"
    assert done.loc[kept, "reason"].tolist() == table.loc[kept, "reason"].tolist()


@given(ROWS, waiver_lists())
def test_the_vectorised_verdict_is_that_of_one_row_at_a_time(
    rows: Any, waivers: list[Waiver]
) -> None:
    done = apply(findings(rows), accounts(), waivers, as_of=AS_OF)
    for (control, account, user, key, status), row in zip(
        rows, done.findings.itertuples(), strict=True
    ):
        covering = [
            one
            for one in waivers
            if _covers(one, control, account, user, key) and one.state(AS_OF) is State.IN_FORCE
        ]
        if status != "FAIL" or not covering:
            assert row.status == status
            continue
        best = min(covering, key=lambda one: (-one.expires.timestamp(), one.id))
        assert (row.status, row.waiver_id) == ("WAIVED", best.id)
    for result in done.results:
        hits = [row for row in rows if _covers(result.waiver, *row[:4])]
        assert result.matched == len(hits)
        assert result.failing == sum(row[4] == "FAIL" for row in hits)


def _covers(one: Waiver, control: str, account: str, user: str | None, key: str | None) -> bool:
    path, tags = ACCOUNTS[account]
    return all(
        (
            control in one.controls,
            not one.account or one.account == account,
            not one.ou or is_in_unit(path, one.ou),
            not one.access_key_id or one.access_key_id == key,
            not one.tag or f'"{one.tag.replace("=", chr(34) + ": " + chr(34), 1)}"' in (tags or ""),
            not one.user or (user is not None and bool(one.user_pattern()(user))),
        )
    )


def test_many_findings_are_quick() -> None:
    size = 400_000
    draw = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "control_id": pd.Categorical.from_codes(draw.integers(0, 3, size), [*CONTROLS]),
            "account_id": pd.Categorical.from_codes(draw.integers(0, 4, size), [*ACCOUNTS]),
            "user": pd.Categorical.from_codes(draw.integers(0, 6, size), [*USERS]),
            "access_key_id": pd.Categorical.from_codes(np.full(size, -1), ["AKIA"]),
            "status": pd.Categorical.from_codes(draw.integers(0, 2, size), ["PASS", "FAIL"]),
            "reason": pd.Categorical.from_codes(np.zeros(size, dtype=int), ["because"]),
            "waiver_id": pd.Series(np.nan, index=range(size), dtype="str"),
        }
    )
    waivers = [waiver(f"W-{number}", user=f"ci-{number % 30}") for number in range(50)]
    done = apply(table, accounts(), waivers, as_of=AS_OF).findings
    assert len(done) == size
    assert set(done["waiver_id"].dropna()) == {"W-1", "W-22"}
