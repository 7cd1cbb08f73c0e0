from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.kit.findings import finding, findings, verdict
from tests.kit.readings import AS_OF, ago, reading, root, row, service_credential, user

CONTROL = "service-specific-credential"
BEDROCK, CODECOMMIT = "bedrock.amazonaws.com", "codecommit.amazonaws.com"
SOON = AS_OF + timedelta(days=30)


def alice(*credentials: dict[str, str], **more: Any) -> dict[str, Any]:
    """A world of one user with these credentials and no other one."""
    return {
        "report": [root(), row()],
        "users": [user()],
        "service_credentials": list(credentials),
        "ssh_keys": {"alice": []},
        **more,
    }


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"created": ago(days=1)}, "FAIL"),
        ({"created": ago(days=1), "expires": SOON}, "PASS"),
        ({"created": ago(days=90), "expires": SOON}, "PASS"),
        ({"created": ago(days=90, seconds=1), "expires": SOON}, "FAIL"),
        ({"created": ago(days=1), "expires": AS_OF + timedelta(days=10_000)}, "PASS"),
        ({"created": ago(days=1), "expires": AS_OF + timedelta(days=10_000, seconds=1)}, "FAIL"),
        ({"created": ago(days=1), "service": CODECOMMIT}, "PASS"),
        ({"created": ago(days=91), "service": CODECOMMIT}, "FAIL"),
        ({"created": ago(days=1), "service": "new.amazonaws.com"}, "FAIL"),
        ({"created": ago(days=400), "status": "Inactive"}, "NOT_APPLICABLE"),
        ({"created": ago(days=400), "status": "Expired"}, "NOT_APPLICABLE"),
        ({"created": ago(days=1), "status": "Dormant"}, "UNKNOWN"),
        ({"created": ago(days=100), "expires": ago(days=1)}, "UNKNOWN"),
    ],
)
def test_verdicts(values: dict[str, Any], status: str) -> None:
    assert verdict(CONTROL, **alice(service_credential(**values))) == status


def test_a_credential_names_its_user_and_its_id() -> None:
    got = finding(CONTROL, **alice(service_credential(7, created=ago(days=91), expires=SOON)))
    assert (got["user"], got["access_key_id"]) == ("alice", "ACCAEXAMPLE000000007")
    assert got["reason"] == "active for 91 days, limit 90"


def test_a_credential_of_a_user_nobody_lists_is_judged() -> None:
    stray = service_credential(name="ghost", created=ago(days=1))
    assert finding(CONTROL, **alice(stray))["user"] == "ghost"


@pytest.mark.parametrize(
    ("credentials", "ssh", "status"),
    [
        ([], [], "FAIL"),
        (["Active"], [], "PASS"),
        (["Inactive", "Expired"], [], "FAIL"),
        (["Dormant"], [], "UNKNOWN"),
        (["Dormant", "Active"], [], "PASS"),
        ([], ["Active"], "PASS"),
        ([], ["Inactive"], "FAIL"),
        ([], ["Dormant"], "UNKNOWN"),
        ([], [" Active"], "UNKNOWN"),
        (None, [], "UNKNOWN"),
        ([], None, "UNKNOWN"),
    ],
)
def test_they_count_as_credentials_of_the_user(
    credentials: list[str] | None, ssh: list[str] | None, status: str
) -> None:
    listed = (
        None
        if credentials is None
        else [
            service_credential(number, created=ago(days=1), status=word)
            for number, word in enumerate(credentials)
        ]
    )
    keys = None if ssh is None else {
        "alice": [{"SSHPublicKeyId": f"APKA{number:016}", "Status": word}
                  for number, word in enumerate(ssh)]
    }  # fmt: skip
    world = alice() | {"service_credentials": listed, "ssh_keys": keys}
    assert verdict("user-without-credentials", **world) == status


def test_a_run_that_did_not_ask_for_them_judges_without_them() -> None:
    world = {"report": [root(), row()], "users": [user()]}
    assert verdict("user-without-credentials", **world) == "FAIL"
    assert findings([reading(**world)], CONTROL).empty
