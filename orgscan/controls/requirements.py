"""From findings to the requirements of a framework."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.limits import general, overridden
from orgscan.models import Assessment, Requirement, RequirementStatus, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework
    from orgscan.settings import ThresholdOverride, Thresholds

    Counts = Mapping[Status, int]

_LIMITS_SHOWN = 5
_AT_A_TIME = 100_000


def affected(
    framework: Framework,
    judged_by: Framework,
    thresholds: Thresholds,
    overrides: Sequence[ThresholdOverride] = (),
) -> tuple[Control, ...]:
    """The controls that ``framework`` judges by other limits than findings under ``judged_by``.

    A requirement is met only at the threshold its framework states: neither ``thresholds`` nor
    ``overrides`` change it. Where the framework states none, they hold.
    """
    ours = general(thresholds, framework, binding=True)
    theirs = general(thresholds, judged_by)
    elsewhere = overridden(framework, overrides)
    return tuple(
        control
        for control in CATALOGUE
        if control.id in framework.controls
        and any(ours[name] != theirs[name] or name in elsewhere for name in control.thresholds)
    )


def assess(
    framework: Framework,
    findings: pd.DataFrame,
    again: pd.DataFrame | None = None,
    *,
    whole: bool,
    scope: str = "",
    organization_sets: Collection[str] = (),
) -> Assessment:
    """Count findings by requirement and say where each requirement stands.

    Args:
        framework: What to hold the findings against.
        findings: The columns control_id, status and threshold, each a category.
        again: Findings of controls judged by the framework's own limits, in place of those in
            ``findings``.
        whole: Whether every account in scope was read in full; nothing is met where not.
        scope: How much of the organization was judged, where the settings left some out.
        organization_sets: The thresholds the organization set, by name. Where ``again`` is
            judged by others, they are shown beside.
    """
    counts, limits = count(findings), _limits(findings)
    others: dict[str, str] = {}
    if again is not None:
        counts |= count(again)
        own = _limits(again)
        others = {
            control.id: limits[control.id].text
            for control in CATALOGUE
            if control.id in own.keys() & limits.keys()
            and limits[control.id] != own[control.id]
            and not set(control.thresholds).isdisjoint(organization_sets)
        }
        limits |= own
    requirements = []
    for name, controls in framework.requirements.items():
        mine = {control: counts.get(control, _none()) for control in controls}
        status = _standing(mine, whole=whole, related=framework.kind == "related")
        requirements.append(
            Requirement(
                id=name,
                status=status,
                counts=mine,
                limits={control: limits[control].text for control in controls if control in limits},
                organization_limits={
                    control: others[control] for control in controls if control in others
                },
            )
        )
    return Assessment(
        key=framework.key,
        title=framework.title,
        version=framework.version,
        related=framework.kind == "related",
        requirements=tuple(requirements),
        scope=scope,
    )


def _none() -> dict[Status, int]:
    return dict.fromkeys(Status, 0)


def _standing(counts: Mapping[str, Counts], *, whole: bool, related: bool) -> RequirementStatus:
    def found(status: Status) -> bool:
        return any(of[status] for of in counts.values())

    cases = (
        (not counts, RequirementStatus.NOT_JUDGED),
        (related and found(Status.FAIL), RequirementStatus.FAILURE_FOUND),
        (found(Status.FAIL), RequirementStatus.NOT_MET),
        (found(Status.UNKNOWN) or not whole, RequirementStatus.NOT_KNOWN),
        (found(Status.WAIVED), RequirementStatus.MET_BUT_WAIVED),
        (not found(Status.PASS), RequirementStatus.NOTHING_TO_JUDGE),
        (related, RequirementStatus.NO_FAILURE),
    )
    return next((status for holds, status in cases if holds), RequirementStatus.MET)


def _pairs(findings: pd.DataFrame, column: str) -> dict[tuple[str, str], int]:
    """How often each control occurs with each value of a category; nulls are left out."""
    control, other = findings["control_id"].cat, findings[column].cat
    wide = len(other.categories) + 1  # code -1, a null, becomes 0
    sizes = np.zeros(len(control.categories) * wide, dtype=np.int64)
    for start in range(0, len(findings), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        codes = control.codes.to_numpy()[part].astype(np.int64) * wide
        sizes += np.bincount(codes + other.codes.to_numpy()[part] + 1, minlength=len(sizes))
    return {
        (control.categories[code // wide], other.categories[code % wide - 1]): int(sizes[code])
        for code in np.flatnonzero(sizes).tolist()
        if code % wide
    }


def count(findings: pd.DataFrame) -> dict[str, dict[Status, int]]:
    """Findings by control and status, both categories; every status is there, 0 or not."""
    counts = {name: _none() for name in findings["control_id"].cat.categories}
    for (control, status), size in _pairs(findings, "status").items():
        counts[control][Status(status)] = size
    return counts


@dataclass(frozen=True, slots=True)
class _LimitsTold:
    """The limits a control judged by; equal where the values are, whatever their sources."""

    values: frozenset[str]
    text: str = field(compare=False)


def unknown_causes(findings: pd.DataFrame) -> dict[str, int]:
    """UNKNOWN findings by cause, most frequent first.

    The cause is the reason without the details that follow a colon, such as values and times.
    """
    codes = findings["status"].cat.codes.to_numpy()
    unknown = codes == findings["status"].cat.categories.get_loc(Status.UNKNOWN.value)
    reasons = findings["reason"].cat
    sizes = np.bincount(reasons.codes.to_numpy()[unknown], minlength=len(reasons.categories))
    causes: Counter[str] = Counter()
    for place in np.flatnonzero(sizes).tolist():
        causes[str(reasons.categories[place]).partition(":")[0]] += int(sizes[place])
    return dict(sorted(causes.items(), key=lambda item: (-item[1], item[0])))


def _limits(findings: pd.DataFrame) -> dict[str, _LimitsTold]:
    """The limits each control judged by, the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for (control, text), size in _pairs(findings, "threshold").items():
        found.setdefault(control, {})[text] = size
    told = {}
    for control, sizes in found.items():
        ranked = sorted(sizes, key=lambda text: (-sizes[text], text))
        more = len(ranked) - _LIMITS_SHOWN
        shown = "; ".join(ranked[:_LIMITS_SHOWN])
        text = f"{shown}; and {more} more" if more > 0 else shown
        told[control] = _LimitsTold(frozenset(one.split(" (", 1)[0] for one in ranked), text)
    return told
