"""What the words in the tables mean, for readers who never saw AWS's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.models import Coverage, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

COVERAGE_MEANINGS: Mapping[Coverage, str] = {
    Coverage.COMPLETE: "All required evidence was collected.",
    Coverage.PARTIAL: "GAP: some evidence was collected, some is missing.",
    Coverage.DENIED: "GAP: the audit role could not be assumed.",
    Coverage.FAILED: "GAP: an error or the deadline ended the reading.",
    Coverage.NOT_ATTEMPTED: "GAP: the run was interrupted before this account.",
    Coverage.NOT_ACTIVE: "Not judged: the account is not active.",
    Coverage.EXCLUDED: "Not judged: left out by the settings of the run.",
}

WAIVER_MEANINGS: Mapping[str, str] = {
    "in force": "Start and not expiry has come: FAIL results in its scope are WAIVED.",
    "expired": "The expiry has come: FAIL results in its scope are open again.",
    "not yet valid": "The start has not come: FAIL results in its scope are open.",
}

STATUS_MEANINGS: Mapping[Status, str] = {
    Status.PASS: "The evidence was read and meets the control.",
    Status.FAIL: "The evidence was read and does not meet the control.",
    Status.NOT_APPLICABLE: "The question does not arise, such as MFA without a password.",
    Status.UNKNOWN: "The evidence was not collected or is unreadable. Never counted as a pass.",
    Status.WAIVED: "A FAIL that a valid waiver accepts. Not counted as a pass.",
}
