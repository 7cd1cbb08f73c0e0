"""The controls as the command line and the workbook show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import controls
from orgscan.controls.criteria import known_frameworks, must_be_known, plain, select
from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


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


@dataclass(frozen=True, slots=True)
class FrameworkEntry:
    """One framework as ``orgscan controls list`` shows it."""

    key: str
    label: str
    related: bool
    entries: Sequence[CatalogueEntry]
    """The controls that apply, with their ids."""
    thresholds: Mapping[str, str]
    """The limits of its own, by name."""
    not_judged: Sequence[str]


def catalogue(*more: controls.Framework) -> list[CatalogueEntry]:
    """All controls, with their ids in all frameworks that come with orgscan, and ``more``."""
    known = {**controls.shipped(), **{one.key: one for one in more}}
    return _entries(tuple(known.values()))


def framework_keys() -> list[str]:
    """The keys of the frameworks that come with orgscan."""
    return list(controls.shipped())


def framework_entries(framework: str | None, files: Sequence[Path] = ()) -> list[FrameworkEntry]:
    """One framework, of those that come with orgscan or of ``files``; without, all of ``files``.

    Raises :class:`orgscan.errors.UsageError` for a framework that is not known, or a file that
    cannot be used.
    """
    known = known_frameworks(files)
    keys = [key for key in known if key not in controls.shipped()]
    return [_entry(one) for one in select(keys if framework is None else [framework], known)]


def _entry(one: controls.Framework) -> FrameworkEntry:
    return FrameworkEntry(
        key=one.key,
        label=one.label,
        related=one.kind == "related",
        entries=[entry for entry in _entries((one,)) if entry.framework_ids],
        thresholds={name: plain(value) for name, value in one.thresholds.items()},
        not_judged=[name for name, ids in one.requirements.items() if not ids],
    )


def catalogue_entry(
    control_id: str, framework: str | None = None, files: Sequence[Path] = ()
) -> CatalogueEntry:
    """One control, with its ids in ``framework`` or in all.

    Raises :class:`orgscan.errors.UsageError` where there is no such control in ``framework``.
    """
    must_be_known(control_id, [control.id for control in controls.CATALOGUE], "control")
    entries = (
        _entries(tuple(known_frameworks(files).values()))
        if framework is None
        else framework_entries(framework, files)[0].entries
    )
    for entry in entries:
        if entry.id == control_id:
            return entry
    message = f"control {control_id} does not apply in {framework}"
    raise UsageError(message)


def _entries(known: Sequence[controls.Framework]) -> list[CatalogueEntry]:
    labelled: dict[str, controls.Framework] = {}
    for item in known:
        taken = item.label in labelled
        labelled[f"{item.label} ({item.key})" if taken else item.label] = item
    return [
        CatalogueEntry(
            id=control.id,
            title=control.title,
            severity=control.severity,
            unit=control.unit,
            description=control.description,
            remediation=control.remediation,
            framework_ids={
                label: ", ".join(item.controls[control.id])
                for label, item in labelled.items()
                if control.id in item.controls
            },
        )
        for control in controls.CATALOGUE
    ]
