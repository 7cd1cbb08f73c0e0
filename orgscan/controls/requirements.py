"""From findings to the requirements of a framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.limits import general, overridden
from orgscan.models import Assessment, Requirement, RequirementStatus, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework
    from orgscan.controls.tally import Tally
    from orgscan.thresholds import ThresholdOverride, Thresholds

    Counts = Mapping[Status, int]

_LIMITS_SHOWN = 5


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
    tally: Tally,
    again: Tally | None = None,
    *,
    whole: bool,
    scope: str = "",
    organization_sets: Collection[str] = (),
) -> Assessment:
    """Count findings by requirement and say where each requirement stands.

    Args:
        framework: What to hold the findings against.
        tally: All findings.
        again: Those of controls judged by the framework's own limits, in place of the others.
        whole: Whether every account in scope was read in full; nothing is met where not.
        scope: How much of the organization was judged, where the settings left some out.
        organization_sets: The thresholds the organization set, by name. Where ``again`` is
            judged by others, they are shown beside.
    """
    counts, limits = tally.counts, _limits(tally)
    others: dict[str, str] = {}
    if again is not None:
        counts |= again.counts
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
        mine = {control: counts.get(control, dict.fromkeys(Status, 0)) for control in controls}
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


@dataclass(frozen=True, slots=True)
class _LimitsTold:
    """The limits a control judged by; equal where the values are, whatever their sources."""

    values: frozenset[str]
    text: str = field(compare=False)


def _limits(tally: Tally) -> dict[str, _LimitsTold]:
    """The limits each control judged by, the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for (control, text), size in tally.limits.items():
        found.setdefault(control, {})[text] = size
    told = {}
    for control, sizes in found.items():
        ranked = sorted(sizes, key=lambda text: (-sizes[text], text))
        more = len(ranked) - _LIMITS_SHOWN
        shown = "; ".join(ranked[:_LIMITS_SHOWN])
        text = f"{shown}; and {more} more" if more > 0 else shown
        told[control] = _LimitsTold(frozenset(one.split(" (", 1)[0] for one in ranked), text)
    return told
