"""The results in formats for other programs, beside Parquet and the workbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import reports
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.criteria import must_be_known
from orgscan.controls.limits import general, overridden
from orgscan.schema import FINDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orgscan.controls.control import Control
    from orgscan.controls.criteria import Criteria
    from orgscan.controls.frameworks.framework import Framework
    from orgscan.models import RunInfo
    from orgscan.reports.rows import Rows
    from orgscan.runs.publication import Publication

OCSF_FILE = "findings.ocsf.jsonl"


@dataclass(frozen=True, slots=True)
class Results:
    """What a rendering found."""

    info: RunInfo
    criteria: Criteria
    accounts: pd.DataFrame
    tables: Mapping[str, Rows]
    """By name, in the order of :data:`orgscan.schema.TABLES`; changes are the last, where an
    earlier run was compared."""


def check_formats(names: Sequence[str]) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a format that is not known."""
    for name in names:
        must_be_known(name, list(FORMATS), "format")


def write_formats(names: Sequence[str], results: Results, publication: Publication) -> None:
    """Add the files of each format to ``publication``, once however often it is named.

    Raises :class:`orgscan.errors.RunError` where they cannot be written.
    """
    for name in dict.fromkeys(names):
        FORMATS[name](results, publication)


def _csv(results: Results, publication: Publication) -> None:
    for name, rows in results.tables.items():
        with publication.file(f"{name}.csv") as path:
            reports.write_csv(path, rows)


def _ocsf(results: Results, publication: Publication) -> None:
    with publication.file(OCSF_FILE) as path:
        reports.write_ocsf(
            path,
            results.tables[FINDINGS.name],
            results.accounts,
            run=results.info,
            controls=CATALOGUE,
            obligations=_obligations(results.criteria),
        )


def _obligations(criteria: Criteria) -> dict[str, reports.Obligations]:
    return {control.id: _obligation(control, criteria) for control in CATALOGUE}


def _obligation(control: Control, criteria: Criteria) -> reports.Obligations:
    """What the control answers, as far as its findings speak for the framework.

    Findings are judged by the organization's limits; what a framework judges by limits of its
    own is counted in the manifest and not claimed here.
    """
    direct: list[tuple[str, Sequence[str]]] = []
    related: list[tuple[str, Sequence[str]]] = []
    for one in criteria.frameworks:
        judged = one.controls.get(control.id)
        if judged and _same_limits(control, one, criteria):
            (related if one.kind == "related" else direct).append((one.label, judged))
    return reports.Obligations(
        standards=[label for label, _ids in direct],
        requirements=[f"{label} {name}" for label, ids in direct for name in ids],
        related=[f"{label} {name}" for label, ids in related for name in ids],
    )


def _same_limits(control: Control, one: Framework, criteria: Criteria) -> bool:
    ours = general(criteria.thresholds, criteria.frameworks[0])
    theirs = general(criteria.thresholds, one, binding=True)
    elsewhere = overridden(one, criteria.overrides)
    return all(
        ours[name].value == theirs[name].value and name not in elsewhere
        for name in control.thresholds
    )


FORMATS = {"csv": _csv, "ocsf": _ocsf}
"""What writes each format, by name."""
