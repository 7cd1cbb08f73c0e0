"""Short cuts from small dicts to verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.evaluate import evaluate
from orgscan.tables import build
from orgscan.thresholds import Thresholds
from tests.kit.readings import AS_OF, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.models import Reading
    from orgscan.thresholds import ThresholdOverride

ORGANIZATION = "o-example1234"


def findings(
    readings: Iterable[Reading],
    *ids: str,
    overrides: Sequence[ThresholdOverride] = (),
    framework: Framework | None = None,
    **limits: Any,
) -> pd.DataFrame:
    """Findings of the readings; all controls unless ids are given."""
    tables = build(list(readings), as_of=AS_OF)
    return evaluate(
        tables.accounts,
        tables.credentials,
        tables.access_keys,
        tables.service_credentials,
        tables.facts,
        organization_id=ORGANIZATION,
        as_of=AS_OF,
        thresholds=Thresholds(**limits),
        overrides=overrides,
        framework=framework,
        controls=[control for control in CATALOGUE if not ids or control.id in ids],
    )


def verdict(control: str, *, limits: dict[str, Any] | None = None, **kinds: Any) -> str:
    """The status of a control in a one-account world where it has exactly one row."""
    return finding(control, limits=limits, **kinds)["status"]


def finding(control: str, *, limits: dict[str, Any] | None = None, **kinds: Any) -> Any:
    """The single row of a control in a one-account world."""
    rows = findings([reading(**kinds)], control, **(limits or {}))
    assert len(rows) == 1, rows[["control_id", "user", "access_key_id", "status"]]
    return rows.iloc[0]
