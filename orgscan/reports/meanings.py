"""The words in the tables explained, for readers who do not know AWS's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.models import Coverage, RequirementStatus, Status

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

REQUIREMENT_MEANINGS: Mapping[RequirementStatus, str] = {
    RequirementStatus.NOT_MET: "At least one result of its controls is FAIL.",
    RequirementStatus.FAILURE_FOUND: "At least one result is FAIL, of a control that contributes "
    "to the requirement: look whether it is thereby not met.",
    RequirementStatus.NOT_KNOWN: "No FAIL, but a result is UNKNOWN or an account was not read "
    "in full. Never counted as met.",
    RequirementStatus.MET_BUT_WAIVED: "No FAIL but those that a valid waiver accepts.",
    RequirementStatus.NO_FAILURE: "No FAIL; the requirement asks for more than the controls "
    "judge, so it is not thereby met.",
    RequirementStatus.MET: "Every account in scope was read and no result is FAIL or UNKNOWN.",
    RequirementStatus.NOTHING_TO_JUDGE: "Every account in scope was read, and there is nothing "
    "the requirement asks about.",
    RequirementStatus.NOT_JUDGED: "No control of orgscan answers it: judge it by other means.",
}
