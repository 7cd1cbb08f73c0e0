"""The Frameworks sheet: each requirement of the frameworks audited against, and its standing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan.models import Status
from orgscan.reports.columns import SheetColumn, plain
from orgscan.reports.datasheet import DataSheet
from orgscan.reports.rows import FrameRows
from orgscan.schema import Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orgscan.models import Assessment

_STATUSES = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
NOT_JUDGED = "(not judged by orgscan)"
_TEXTS = (
    plain(
        "Framework",
        "The framework and its version. Only its requirements on long-lived credentials are "
        "listed: it asks for more than this workbook can show.",
        42,
    ),
    plain("Requirement", "The requirement's id in the framework."),
    replace(
        plain(
            "Requirement status",
            "Where the requirement stands, over all controls that answer it and all accounts.",
        ),
        badge=True,
    ),
    plain("Control", "A control that answers the requirement."),
    plain("Control title", "What the control asks, in a few words.", 34),
)
_LIMIT = plain(
    "Limit",
    "What the results in this row were judged by, and where the limit comes from. A requirement "
    "is judged at the threshold its framework states, whatever the organization sets.",
    30,
)
_ORGANIZATION_LIMIT = plain(
    "Organization limit",
    "The organization's own limit, where it is another. The Findings sheet is judged by it, so "
    "its counts differ from those of this row.",
    30,
)


def sheet(assessments: Sequence[Assessment], titles: Mapping[str, str]) -> DataSheet:
    """One row per framework, requirement and control; a requirement without one has a row too."""
    counts = tuple(
        SheetColumn(
            heading=status.value,
            source=status.value,
            type=Type.INTEGER,
            description=f"Results of the control that are {status.value}.",
            unit="results",
        )
        for status in _STATUSES
    )
    columns = (*_TEXTS, *counts, _LIMIT, _ORGANIZATION_LIMIT)
    frame = pd.DataFrame(
        [row for assessment in assessments for row in _rows(assessment, titles)],
        columns=[column.source for column in columns],
    )
    types: dict[str, Any] = dict.fromkeys((status.value for status in _STATUSES), "Int64")
    return DataSheet("Frameworks", columns, FrameRows(frame.astype(types)))


def _rows(assessment: Assessment, titles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for requirement in assessment.requirements:
        start = {
            "Framework": assessment.label,
            "Requirement": requirement.id,
            "Requirement status": requirement.status.value,
        }
        if not requirement.counts:
            yield {**start, "Control title": NOT_JUDGED}
        for control, counts in requirement.counts.items():
            yield {
                **start,
                "Control": control,
                "Control title": titles.get(control),
                **{status.value: counts.get(status, 0) for status in _STATUSES},
                "Limit": requirement.limits.get(control),
                "Organization limit": requirement.organization_limits.get(control),
            }
