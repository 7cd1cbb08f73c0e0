"""Whether an account's record can be true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.models import DEPARTED, FIRST_KINDS, Coverage, is_read

if TYPE_CHECKING:
    from orgscan.models import Reading, RunInfo


def contradiction(reading: Reading, info: RunInfo | None) -> str:
    """Why an account's record cannot be true; empty where it fits together.

    ``info`` is the run's head, None where it cannot be read. ``reading`` has all its evidence.
    """
    account, outcome = reading.account, reading.outcome
    coverage, state = outcome.coverage, account.state
    kinds = {item.kind for item in outcome.evidence}
    required = FIRST_KINDS if info is None else info.evidence_kinds
    explained = kinds | {gap.kind for gap in outcome.gaps}
    missing = ", ".join(kind for kind in required if kind not in explained)
    with_evidence = coverage in {Coverage.COMPLETE, Coverage.PARTIAL}
    departed = outcome.reason == DEPARTED
    scoped = info is None or any(info.scope.values())
    cases = (
        (account.account_id != outcome.account_id, "is listed with another account ID"),
        (coverage is Coverage.COMPLETE and outcome.gaps, "is COMPLETE but has gaps"),
        (coverage is Coverage.PARTIAL and not outcome.gaps, "is PARTIAL but has no gap"),
        (with_evidence and missing, f"is {coverage} but has neither evidence nor gap: {missing}"),
        (kinds and not with_evidence, f"is {coverage} although it has evidence"),
        (
            coverage is Coverage.NOT_ACTIVE and is_read(state) and not departed,
            f"is NOT_ACTIVE although its state is {state}",
        ),
        (
            coverage is Coverage.EXCLUDED and not scoped,
            "is EXCLUDED although the run's settings exclude no account",
        ),
    )
    return next((text for wrong, text in cases if wrong), "")
