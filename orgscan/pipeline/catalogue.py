"""The controls as the command line and the workbook show them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import controls
from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One control and the ids frameworks give it, by framework label."""

    id: str
    title: str
    severity: str
    unit: str
    description: str
    remediation: str
    framework_ids: Mapping[str, str]


def catalogue(framework: str | None = None) -> list[CatalogueEntry]:
    """All controls, or those that apply in ``framework``.

    Raises :class:`orgscan.errors.UsageError` for a framework that is not known.
    """
    known = tuple(controls.frameworks().values())
    if framework is not None:
        _must_be_known(framework, [item.key for item in known], "framework")
        known = tuple(item for item in known if item.key == framework)
    entries = [
        CatalogueEntry(
            id=control.id,
            title=control.title,
            severity=control.severity,
            unit=control.unit,
            description=control.description,
            remediation=control.remediation,
            framework_ids={
                f"{item.title} {item.version}".strip(): ", ".join(item.controls[control.id])
                for item in known
                if control.id in item.controls
            },
        )
        for control in controls.CATALOGUE
    ]
    return [entry for entry in entries if framework is None or entry.framework_ids]


def catalogue_entry(control_id: str, framework: str | None = None) -> CatalogueEntry:
    """One control.

    Raises :class:`orgscan.errors.UsageError` where there is no such control in ``framework``.
    """
    _must_be_known(control_id, [control.id for control in controls.CATALOGUE], "control")
    for entry in catalogue(framework):
        if entry.id == control_id:
            return entry
    message = f"control {control_id} does not apply in {framework}"
    raise UsageError(message)


def _must_be_known(name: str, known: list[str], noun: str) -> None:
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    message = f"unknown {noun} {name!r}; {hint}"
    raise UsageError(message)
