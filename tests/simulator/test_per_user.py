from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.simulator.world import (
    BEDROCK,
    CODECOMMIT,
    Account,
    Certificate,
    Key,
    Mfa,
    Password,
    Role,
    Root,
    ServiceCredential,
    SshKey,
    User,
    View,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orgscan.simulator import Simulator

MEMBER = "222222222222"
USED, UNUSED, GONE = "AKIAUSEDUSEDUSEDUSED", "AKIAUNUSEDUNUSEDUNUS", "AKIAGONEGONEGONEGONE"


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    error, metadata = response["Error"], response["ResponseMetadata"]
    return error["Code"], metadata["HTTPStatusCode"], error["Message"]


@pytest.fixture
def old(now: datetime) -> datetime:
    return now - timedelta(days=900)


@pytest.fixture
def ask(
    now: datetime,
    old: datetime,
    serve: Callable[..., Simulator],
    member: Callable[..., Any],
) -> Callable[..., Any]:
    """boto3's IAM client in an account with these users."""

    def start(*users: User, page: int = 1000, **values: Any) -> Any:
        world = World(
            name="single",
            now=now,
            iam_page_size=page,
            accounts=(
                Account(id="111111111111", name="management", joined=old),
                Account(id=MEMBER, name="member", joined=old, users=users, **values),
            ),
        )
        return member(serve(world), MEMBER)

    return start


def test_a_password_has_a_login_profile(ask: Callable[..., Any], now: datetime) -> None:
    set_at = now - timedelta(hours=1)
    iam = ask(
        User(name="person", created=now, password=Password(changed=set_at)),
        User(name="program", created=now),
        User(name="gone", created=now, view=View.REPORT_ONLY),
    )
    profile = iam.get_login_profile(UserName="person")["LoginProfile"]
    assert profile == {
        "UserName": "person",
        "CreateDate": set_at,
        "PasswordResetRequired": False,
    }
    code, status, message = refusal(iam.get_login_profile, UserName="program")
    assert (code, status) == ("NoSuchEntity", 404)
    assert message == "Login Profile for User program cannot be found."
    assert refusal(iam.get_login_profile, UserName="gone")[:2] == ("NoSuchEntity", 404)
    assert refusal(iam.get_login_profile)[:2] == ("ValidationError", 400)


def test_mfa_devices_are_virtual_keys_or_tokens(ask: Callable[..., Any], now: datetime) -> None:
    hardware = [User(name=f"h{place}", created=now, mfa=Mfa.HARDWARE) for place in range(12)]
    iam = ask(
        User(name="none", created=now), User(name="app", created=now, mfa=Mfa.VIRTUAL), *hardware
    )
    assert iam.list_mfa_devices(UserName="none")["MFADevices"] == []
    (device,) = iam.list_mfa_devices(UserName="app")["MFADevices"]
    assert device == {
        "UserName": "app",
        "SerialNumber": f"arn:aws:iam::{MEMBER}:mfa/app",
        "EnableDate": now,
    }
    serials = [
        device["SerialNumber"]
        for user in hardware
        for device in iam.list_mfa_devices(UserName=user.name)["MFADevices"]
    ]
    assert len(set(serials)) == 12
    tokens = [serial for serial in serials if serial.startswith("GAHT") and len(serial) == 12]
    keys = [serial for serial in serials if serial.startswith(f"arn:aws:iam::{MEMBER}:u2f/user/h")]
    assert tokens
    assert keys
    assert len(tokens) + len(keys) == 12
    assert refusal(iam.list_mfa_devices, UserName="nobody")[:2] == ("NoSuchEntity", 404)


def test_the_last_use_of_a_key_is_told_by_its_id(ask: Callable[..., Any], now: datetime) -> None:
    used = now - timedelta(minutes=30)
    iam = ask(
        User(
            name="a",
            created=now,
            keys=(
                Key(created=now, last_used=used, region="eu-west-1", service="ec2", id=USED),
                Key(created=now, id=UNUSED),
                Key(created=now, id=GONE, view=View.REPORT_ONLY),
            ),
        )
    )
    answer = iam.get_access_key_last_used(AccessKeyId=USED)
    assert answer["UserName"] == "a"
    assert answer["AccessKeyLastUsed"] == {
        "LastUsedDate": used,
        "ServiceName": "ec2",
        "Region": "eu-west-1",
    }
    answer = iam.get_access_key_last_used(AccessKeyId=UNUSED)
    assert answer["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    for unknown in (GONE, "AKIANOBODYNOBODYNOBO"):
        told = refusal(iam.get_access_key_last_used, AccessKeyId=unknown)
        assert told[:2] == ("NoSuchEntity", 404)
        assert unknown in told[2]


def test_a_key_may_have_any_status_word(ask: Callable[..., Any], now: datetime) -> None:
    keys = (Key(created=now, active=False, status="Expired"), Key(created=now, status="Dormant"))
    iam = ask(User(name="a", created=now, keys=keys))
    found = iam.list_access_keys(UserName="a")["AccessKeyMetadata"]
    assert {key["Status"] for key in found} == {"Expired", "Dormant"}


def test_signing_certificates_are_paged(
    ask: Callable[..., Any], now: datetime, old: datetime
) -> None:
    certificates = (Certificate(created=old), Certificate(created=now, active=False))
    iam = ask(User(name="a", created=old, certificates=certificates), page=1)
    pages = list(iam.get_paginator("list_signing_certificates").paginate(UserName="a"))
    assert [page["IsTruncated"] for page in pages] == [True, False]
    found = [one for page in pages for one in page["Certificates"]]
    assert [(one["UserName"], one["Status"], one["UploadDate"]) for one in found] == [
        ("a", "Active", old),
        ("a", "Inactive", now),
    ]
    assert len({one["CertificateId"] for one in found}) == 2
    assert all(one["CertificateBody"] for one in found)


def test_ssh_keys_are_paged(ask: Callable[..., Any], now: datetime) -> None:
    keys = (
        SshKey(created=now),
        SshKey(created=now, active=False),
        SshKey(created=now, view=View.REPORT_ONLY),
    )
    iam = ask(User(name="a", created=now, ssh_keys=keys), page=1)
    pages = list(iam.get_paginator("list_ssh_public_keys").paginate(UserName="a"))
    found = [one for page in pages for one in page["SSHPublicKeys"]]
    assert len(pages) == 2
    assert {(one["UserName"], one["Status"], one["UploadDate"]) for one in found} == {
        ("a", "Active", now),
        ("a", "Inactive", now),
    }
    assert all(one["SSHPublicKeyId"].startswith("APKA") for one in found)


def credentials(now: datetime) -> tuple[User, ...]:
    soon = now + timedelta(days=30)
    return (
        User(
            name="a",
            created=now,
            service_credentials=(
                ServiceCredential(service=BEDROCK, created=now, expires=soon),
                ServiceCredential(service=CODECOMMIT, created=now, active=False),
                ServiceCredential(service=CODECOMMIT, created=now, view=View.REPORT_ONLY),
            ),
        ),
        User(
            name="b",
            created=now,
            service_credentials=(
                ServiceCredential(service=BEDROCK, created=now, active=False, status="Expired"),
            ),
        ),
    )


def test_service_credentials_of_all_users_are_paged_by_marker(
    ask: Callable[..., Any], now: datetime
) -> None:
    iam = ask(*credentials(now), page=2)
    first = iam.list_service_specific_credentials(AllUsers=True)
    assert first["IsTruncated"]
    second = iam.list_service_specific_credentials(AllUsers=True, Marker=first["Marker"])
    assert not second["IsTruncated"]
    found = [*first["ServiceSpecificCredentials"], *second["ServiceSpecificCredentials"]]
    told = {(one["UserName"], one["ServiceName"], one["Status"]) for one in found}
    assert told == {
        ("a", BEDROCK, "Active"),
        ("a", CODECOMMIT, "Inactive"),
        ("b", BEDROCK, "Expired"),
    }
    assert all(one["ServiceSpecificCredentialId"].startswith("ACCA") for one in found)
    (expiring,) = [one for one in found if "ExpirationDate" in one]
    assert expiring["ExpirationDate"] == now + timedelta(days=30)
    assert "a" in expiring["ServiceCredentialAlias"]
    (named,) = [one for one in found if "ServiceUserName" in one]
    assert named["ServiceUserName"] == f"a-at-{MEMBER}"


def test_service_credentials_of_one_user_or_service(ask: Callable[..., Any], now: datetime) -> None:
    listed = ask(*credentials(now)).list_service_specific_credentials

    def owners(**parameters: Any) -> list[str]:
        return [one["UserName"] for one in listed(**parameters)["ServiceSpecificCredentials"]]

    assert owners(UserName="b") == ["b"]
    assert owners(AllUsers=True, ServiceName=BEDROCK) == ["a", "b"]
    assert owners(UserName="b", ServiceName=CODECOMMIT) == []
    assert refusal(listed, UserName="c")[:2] == ("NoSuchEntity", 404)
    assert refusal(listed)[:2] == ("ValidationError", 400)
    assert refusal(listed, AllUsers=True, UserName="a")[:2] == ("ValidationError", 400)


def test_an_account_may_not_support_service_credentials(
    ask: Callable[..., Any], now: datetime
) -> None:
    iam = ask(User(name="a", created=now), supports_service_credentials=False)
    told = refusal(iam.list_service_specific_credentials, AllUsers=True)
    assert told[:2] == ("NotSupportedService", 404)


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("get_login_profile", {"UserName": "a"}),
        ("list_mfa_devices", {"UserName": "a"}),
        ("get_access_key_last_used", {"AccessKeyId": USED}),
        ("list_signing_certificates", {"UserName": "a"}),
        ("list_ssh_public_keys", {"UserName": "a"}),
        ("list_service_specific_credentials", {"AllUsers": True}),
    ],
)
def test_a_role_may_lack_any_of_the_new_actions(
    ask: Callable[..., Any], now: datetime, action: str, parameters: dict[str, Any]
) -> None:
    words = {"mfa": "MFA", "ssh": "SSH"}
    name = "".join(words.get(part, part.title()) for part in action.split("_"))
    role = Role(denied_actions=frozenset({f"iam:{name}"}))
    iam = ask(User(name="a", created=now), roles=(role,))
    assert refusal(getattr(iam, action), **parameters)[:2] == ("AccessDenied", 403)


def test_a_user_created_again_has_another_id_and_other_keys(
    ask: Callable[..., Any], now: datetime, old: datetime
) -> None:
    before = User(
        name="a", created=old, mfa=Mfa.VIRTUAL, keys=(Key(created=old),), view=View.REPORT_ONLY
    )
    after = User(name="a", created=now, keys=(Key(created=now),), view=View.LIVE_ONLY)
    iam = ask(before, after, report_age=timedelta(hours=2))
    (listed,) = iam.list_users()["Users"]
    assert listed["CreateDate"] == now
    assert iam.list_mfa_devices(UserName="a")["MFADevices"] == []
    rows = iam.get_credential_report()["Content"].decode().split("\n")
    (row,) = [row for row in rows if row.startswith("a,")]
    assert row.split(",")[2] == f"{old:%Y-%m-%dT%H:%M:%S}Z"
    (first,) = ask(User(name="a", created=old, keys=(Key(created=old),))).list_users()["Users"]
    assert listed["UserId"] != first["UserId"]
    earlier = ask(User(name="a", created=old, keys=(Key(created=old),)))
    assert ids(iam) != ids(earlier)


def ids(iam: Any) -> list[str]:
    return [key["AccessKeyId"] for key in iam.list_access_keys(UserName="a")["AccessKeyMetadata"]]


def test_a_renamed_user_keeps_its_ids_and_the_report_the_old_name(
    ask: Callable[..., Any], old: datetime
) -> None:
    keys = (Key(created=old),)
    calm = User(name="m", created=old)
    iam = ask(
        calm,
        User(name="a", name_in_report="z", created=old, path="/p/", keys=keys),
        report_age=timedelta(hours=2),
    )
    renamed, _ = iam.list_users()["Users"]
    report = iam.get_credential_report()["Content"].decode()
    assert renamed["UserName"] == "a"
    assert renamed["Arn"].endswith(":user/p/a")
    assert [row.split(",")[0] for row in report.split("\n")[2:]] == ["m", "z"]
    assert f"arn:aws:iam::{MEMBER}:user/p/z," in report
    before = ask(calm, User(name="z", created=old, path="/p/", keys=keys))
    named = before.list_users()["Users"][1]
    assert (named["UserId"], named["CreateDate"]) == (renamed["UserId"], renamed["CreateDate"])
    kept = before.list_access_keys(UserName="z")["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in kept] == ids(iam)


def test_the_summary_may_contradict_the_account(ask: Callable[..., Any]) -> None:
    root = Root(mfa=Mfa.VIRTUAL)
    summary: dict[str, int | None] = {"AccountMFAEnabled": 0, "Users": None}
    told = ask(root=root, summary=summary).get_account_summary()["SummaryMap"]
    assert told["AccountMFAEnabled"] == 0
    assert "Users" not in told
    assert told["AccountPasswordPresent"] == 0
    told = ask(root=root).get_account_summary()["SummaryMap"]
    assert (told["AccountMFAEnabled"], told["Users"]) == (1, 0)
