"""The permissions a run needs, generated from what the rooms declare."""

from __future__ import annotations

from typing import Any

from orgscan.collect import collectors, organization, sessions
from orgscan.runs import signing as signatures


def audit_role_policy() -> dict[str, Any]:
    """The policy of the audit role in every account: reading IAM, nothing else."""
    return _policy(("ReadCredentialEvidence", collectors.ACTIONS, "*"))


def caller_policy(
    role_name: str, *, role_path: str = "/", partition: str = "aws"
) -> dict[str, Any]:
    """The policy of whoever runs orgscan: list the organization, assume the audit role."""
    return _policy(
        ("ReadOrganization", organization.ACTIONS, "*"),
        (
            "BecomeAuditRole",
            ("sts:AssumeRole",),
            f"arn:{partition}:iam::*:role{role_path}{role_name}",
        ),
        # The caller's own account is read without a role.
        ("ReadOwnAccount", collectors.ACTIONS, "*"),
    )


def declared_actions(*, signing: bool = False) -> frozenset[str]:
    """Every AWS action an audit ever calls; with ``signing`` also those of ``--sign-with-kms``."""
    audit = frozenset((*organization.ACTIONS, *sessions.ACTIONS, *collectors.ACTIONS))
    return audit | frozenset(signatures.ACTIONS) if signing else audit


def _policy(*statements: tuple[str, tuple[str, ...], str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resource}
            for sid, actions, resource in statements
        ],
    }
