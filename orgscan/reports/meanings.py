"""What the words in the tables mean, for readers who never saw AWS's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.models import Change, Coverage, RequirementStatus, Status

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

CHANGE_MEANINGS: Mapping[Change, str] = {
    Change.NEW: "Open now, and was not: the earlier run judged it, or it did not exist.",
    Change.FIRST_COMPARED: "Open now; the earlier run could not judge it. It may be older.",
    Change.REOPENED: "Open again: an earlier run saw it resolved, or its key inactive.",
    Change.WAIVER_ENDED: "FAIL now: the waiver that covered it no longer does.",
    Change.WAIVED: "A waiver accepts the risk now. Still open, not resolved.",
    Change.STILL_OPEN: "Open in both runs.",
    Change.NOT_COMPARED: "Open when last seen, not judged this time. Not resolved.",
    Change.KEY_REACTIVATED: "Was open because the key was inactive: it is active again.",
    Change.ROTATED: "Resolved: the key is gone or inactive, and there is a newer active one.",
    Change.KEY_DELETED: "Resolved: the key was deleted.",
    Change.KEY_DEACTIVATED: "Resolved: the key was deactivated. It can be switched on again.",
    Change.USER_DELETED: "Resolved: the user was deleted.",
    Change.ACCOUNT_LEFT: "Resolved: the account left the organization, perhaps with its keys.",
    Change.ACCOUNT_NOT_ACTIVE: "Resolved: the account is suspended or closed.",
    Change.OUT_OF_SCOPE: "Not judged any more: left out by the settings. Nobody settled it.",
    Change.FIXED: "Resolved: judged again, and it passes or does not apply any more.",
    Change.RESOLVED_EARLIER: "Resolved by an earlier run and not open again.",
}

COVERAGE_CHANGE_MEANINGS: Mapping[str, str] = {
    "better": "more evidence than before",
    "worse": "less evidence than before",
    "joined": "new in the organization",
    "left": "no longer in the organization",
    "scope": "began or ceased to be judged",
}
