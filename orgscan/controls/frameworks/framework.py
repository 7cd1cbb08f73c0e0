"""One version of a framework, as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RUN = re.compile(r"\d+|\D+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One version of a framework, or an internal standard.

    ``controls`` maps our control ids to the framework's requirement ids, in the order of the
    catalogue; a control it does not hold is not part of this version and not counted for it.
    """

    key: str
    title: str
    version: str
    controls: Mapping[str, tuple[str, ...]]
    kind: Literal["direct", "related"] = "direct"
    """``related``: a control contributes to the requirement without being all it asks for."""
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    """The thresholds this version states, by name; where it is silent the defaults hold."""
    not_judged: tuple[str, ...] = ()
    """Requirements on long-lived credentials that no control answers."""

    @property
    def label(self) -> str:
        """Title and version, as a reader knows it: ``CIS AWS Foundations Benchmark 7.0.0``."""
        return f"{self.title} {self.version}".strip()

    @property
    def requirements(self) -> dict[str, tuple[str, ...]]:
        """Requirement ids in their natural order, each with its controls; none: not judged."""
        controls: dict[str, tuple[str, ...]] = dict.fromkeys(self.not_judged, ())
        for control, ids in self.controls.items():
            for requirement in ids:
                controls[requirement] = (*controls.get(requirement, ()), control)
        return {name: controls[name] for name in sorted(controls, key=_natural)}

    def definition(self) -> dict[str, Any]:
        """The framework as JSON values; :func:`from_definition` makes it again."""
        return {
            "title": self.title,
            "version": self.version,
            "kind": self.kind,
            "not_judged": list(self.not_judged),
            "controls": {control: list(ids) for control, ids in self.controls.items()},
            "thresholds": dict(self.thresholds),
        }


def ids_by_framework(control_id: str, frameworks: Iterable[Framework]) -> dict[str, str]:
    """The ids of a control in the frameworks it is part of, by label: ``{"CIS ... 5.0": "1.9"}``.

    If two frameworks have the same label, the label of the second includes its key.
    """
    labels: dict[str, Framework] = {}
    for framework in frameworks:
        label = framework.label
        labels[f"{label} ({framework.key})" if label in labels else label] = framework
    return {
        label: ", ".join(framework.controls[control_id])
        for label, framework in labels.items()
        if control_id in framework.controls
    }


def _natural(requirement: str) -> list[tuple[bool, int, str]]:
    """``1.9`` before ``1.10``."""
    return [
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in _RUN.findall(requirement)
    ]
