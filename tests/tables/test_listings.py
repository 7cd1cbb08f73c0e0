"""A listing of another account is never judged as if it were this one's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orgscan.collect.listings import refuse_foreign
from orgscan.errors import IntegrityError

OWN, OTHER = "111111111111", "222222222222"


@pytest.mark.parametrize(
    "item",
    [
        {"Arn": f"arn:aws:iam::{OWN}:user/ops/dev", "UserName": "dev"},
        {"SerialNumber": f"arn:aws:iam::{OWN}:mfa/root-account-mfa-device"},
        {"SerialNumber": f"arn:aws:iam::{OWN}:mfa/x", "User": {"Arn": f"arn:aws:iam::{OWN}:root"}},
        {"UserName": "without an ARN"},
        {"Arn": None, "User": None},
        {"SerialNumber": "GAHT12345678"},
    ],
)
def test_what_is_the_accounts_own_or_says_nothing_is_taken(item: dict[str, Any]) -> None:
    refuse_foreign(json.dumps([item]).encode(), OWN, "aws")


@pytest.mark.parametrize(
    "item",
    [
        {"Arn": f"arn:aws:iam::{OTHER}:user/dev"},
        {"Arn": f"arn:aws-cn:iam::{OWN}:user/dev"},
        {"Arn": f"arn:aws:iam::{OTHER}:user/line\nbreak"},
        {"SerialNumber": f"arn:aws:iam::{OTHER}:mfa/someone"},
        {
            "SerialNumber": f"arn:aws:iam::{OWN}:mfa/x",
            "User": {"Arn": f"arn:aws:iam::{OTHER}:root"},
        },
    ],
)
def test_what_is_another_accounts_is_an_integrity_failure(item: dict[str, Any]) -> None:
    own = {"Arn": f"arn:aws:iam::{OWN}:user/first"}
    with pytest.raises(IntegrityError, match=f"a listing of account {OWN} holds arn:"):
        refuse_foreign(json.dumps([own, item]).encode(), OWN, "aws")
