"""Our signature is botocore's signature."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlencode

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from orgscan.aws.wire import Keys, form_encoded, sign

NOW = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
HOSTS = (
    "https://iam.amazonaws.com/",
    "https://iam.cn-north-1.amazonaws.com.cn",
    "http://127.0.0.1:4566/",
    "http://localhost:80/",
    "https://localhost:443",
    "http://[::1]:8080/",
)


@given(
    url=st.sampled_from(HOSTS),
    key=TEXT,
    secret=TEXT,
    token=st.none() | TEXT,
    body=st.binary(max_size=200),
    target=st.none() | st.just("AWSOrganizationsV20161128.ListAccounts"),
    agent=TEXT,
    region=st.sampled_from(["us-east-1", "us-gov-west-1", "cn-north-1"]),
    service=st.sampled_from(["iam", "sts", "organizations"]),
)
def test_it_signs_as_botocore_signs(
    *, url: str, key: str, secret: str, token: str | None, body: bytes, target: str | None,
    agent: str, region: str, service: str,
) -> None:  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    headers |= {"User-Agent": agent} | ({"X-Amz-Target": target} if target else {})
    ours = sign(
        Keys(key, secret, token), method="POST", url=url, headers=headers, body=body,
        region=region, service=service, now=NOW,
    )  # fmt: skip

    theirs = AWSRequest(method="POST", url=url, headers=dict(headers), data=body)
    with pytest.MonkeyPatch.context() as patch:
        # botocore reads the clock itself; hand it ours.
        patch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOW.replace(tzinfo=None))
        botocore.auth.SigV4Auth(Credentials(key, secret, token), service, region).add_auth(theirs)
    assert ours.headers["Authorization"] == theirs.headers["Authorization"]
    assert ours.headers["X-Amz-Date"] == theirs.headers["X-Amz-Date"]
    assert ours.headers.get("X-Amz-Security-Token") == theirs.headers.get("X-Amz-Security-Token")


def test_header_values_are_signed_as_they_are_sent() -> None:
    spaced = SimpleNamespace(value="  two   words ")
    signed = sign(
        Keys("AKIA", "secret", None), method="POST", url=HOSTS[0],
        headers={"X-Amz-Target": spaced.value}, body=b"", region="us-east-1", service="iam",
        now=NOW,
    )  # fmt: skip
    assert signed.headers["X-Amz-Target"] == "two words"


@given(fields=st.dictionaries(st.text(min_size=1), st.text() | st.integers()))
def test_bodies_are_encoded_as_the_sdk_encodes_them(fields: dict[str, str]) -> None:
    assert form_encoded(fields) == urlencode(fields, doseq=True)
