"""Controls over tables: one finding per control and resource."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan import frames, schema
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.control import Control, Unit
from orgscan.controls.identity import SEPARATOR, control_digits, resource_digits
from orgscan.controls.judging import STATUSES, Texts, decide
from orgscan.controls.limits import Limits, possibilities
from orgscan.controls.masks import truth
from orgscan.controls.units import Units, prepare
from orgscan.models import ROOT_USER, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pandas as pd
    from numpy.typing import NDArray

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.controls.limits import Possibility
    from orgscan.thresholds import ThresholdOverride, Thresholds

_OF_ACCOUNT = ("account_id", "account_name", "ou_path", "evidence_sha256")
_OF_RESOURCE = {
    **dict.fromkeys(("user", "arn", "access_key_id"), frames.ARROW[schema.Type.STRING]),
    "slot": frames.ARROW[schema.Type.INTEGER],
    "report_generated_at": frames.ARROW[schema.Type.TIMESTAMP],
}
_FAVOURABLE = [STATUSES.index(Status.PASS), STATUSES.index(Status.NOT_APPLICABLE)]
_UNCONFIRMED = "no listing confirms the report's user, who may have been created again since"


def evaluate(
    accounts: pd.DataFrame,
    credentials: pd.DataFrame,
    access_keys: pd.DataFrame,
    service_credentials: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    organization_id: str,
    as_of: datetime,
    thresholds: Thresholds,
    overrides: Sequence[ThresholdOverride] = (),
    framework: Framework | None = None,
    binding: bool = False,
    controls: Sequence[Control] = CATALOGUE,
) -> pd.DataFrame:
    """Judge every control for every resource of the accounts in scope.

    Takes the five frames of :class:`orgscan.tables.Tables`, of all accounts or of some: the
    findings of an account do not depend on the others. Limits are ``overrides`` over what
    ``thresholds`` sets over ``framework`` over the defaults; with ``binding`` what ``framework``
    states comes first. Returns the columns of :data:`orgscan.schema.FINDINGS`, sorted by account,
    user, key id, slot and control id, nulls first.

    ``finding_id`` is as :mod:`orgscan.controls.identity` says: one hash per resource and one per
    control rather than one for every pair of them.
    """
    units = prepare(accounts, credentials, access_keys, service_credentials, facts)
    resources, place = _resources(units, organization_id)
    as_of = as_of.astimezone(UTC)
    moment = np.datetime64(as_of.replace(tzinfo=None), "us").astype(np.int64)
    given: dict[str, Any] = {
        "framework": framework,
        "overrides": overrides,
        "accounts": units.accounts,
        "binding": binding,
    }
    limits, maybe = Limits(thresholds, **given), possibilities(thresholds, **given)
    reasons, limit_texts = Texts(), Texts()
    controls = sorted(controls, key=lambda control: control.id)
    blocks: list[tuple[Any, ...]] = []
    for number, control in enumerate(controls):
        frame = units.of(control.unit)
        status, reason = _judged(
            control, frame, limits=limits, maybe=maybe, moment=moment, reasons=reasons
        )
        limit: Any = -1
        if control.threshold_text is not None and len(frame):
            limit = limit_texts.number(control.threshold_text(frame, limits), np.arange(len(frame)))
        blocks.append(
            np.broadcast_arrays(place[control.unit], number, status, reason, limit)  # a row each
        )
    rows = np.concatenate(blocks, axis=1) if blocks else np.empty((5, 0), dtype=np.int64)
    # The controls are in order already.
    resource, control_number, status, reason, limit = rows[:, np.argsort(rows[0], kind="stable")]
    about = resources.take(pa.array(resource))
    halves = [control_digits(organization_id, control.id) for control in controls]
    columns = {name: about.column(name) for name in about.column_names} | {
        "finding_id": frames.joined([_texts(control_number, halves), about.column("digits")]),
        "control_id": _texts(control_number, [control.id for control in controls]),
        "severity": _texts(control_number, [str(control.severity) for control in controls]),
        "status": _texts(status, list(map(str, STATUSES))),
        "reason": _texts(reason, reasons.texts),
        "threshold": _texts(limit, limit_texts.texts),
        "as_of": pa.repeat(pa.scalar(as_of, frames.ARROW[schema.Type.TIMESTAMP]), len(status)),
        "waiver_id": pa.nulls(len(status), pa.large_string()),
    }
    columns["first_seen_at"] = columns["as_of"]
    return frames.from_arrow(
        schema.FINDINGS.columns,
        pa.table({name: columns[name] for name in schema.FINDINGS.column_names}),
    )


def _texts(numbers: NDArray[np.int64], texts: list[str]) -> pa.Array:
    """The texts of these numbers; null where negative."""
    index = pa.array(numbers, pa.int64(), mask=numbers < 0)
    return pa.array(texts, pa.large_string()).take(index)


def _judged(
    control: Control,
    frame: pd.DataFrame,
    *,
    limits: Limits,
    maybe: Sequence[Possibility],
    moment: np.int64,
    reasons: Texts,
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Status codes and sentence numbers of one control."""
    size = len(frame)
    status, reason = decide(control.judge(frame, limits, moment), size, reasons)
    decided = status.copy()
    if control.unit is Unit.USER:
        # The report may be four hours old: it proves a failure, but no longer a pass.
        doubtful = ~truth(frame["listed"]) & np.isin(status, _FAVOURABLE)
        status[doubtful] = STATUSES.index(Status.UNKNOWN)
        reason[doubtful] = reasons.code(_UNCONFIRMED)
    for possible in maybe:
        if possible.touches(control.thresholds):
            cases = control.judge(frame, possible.limits, moment)
            differs = np.flatnonzero(decide(cases, size, Texts())[0] != decided)
            status[differs] = STATUSES.index(Status.UNKNOWN)
            reason[differs] = reasons.number(possible.reason(frame), differs)
    return status, reason


def _resources(
    units: Units, organization_id: str
) -> tuple[pa.Table, Mapping[Unit, NDArray[np.int64]]]:
    """What findings repeat from the resources, in their order, and the places of each unit's."""
    accounts = units.accounts
    roots = accounts[["report_generated_at"]].assign(user=ROOT_USER, arn=accounts["root_arn"])
    parts = {
        Unit.ACCOUNT: accounts[["report_generated_at"]],
        Unit.ROOT: roots,
        Unit.USER: units.users,
        Unit.ACCESS_KEY: units.access_keys,
        Unit.SERVICE_CREDENTIAL: units.service_credentials,
    }
    columns = {
        name: pa.concat_arrays(
            [
                frames.arrow(frame[name]).cast(arrow_type)
                if name in frame
                else pa.nulls(len(frame), arrow_type)
                for frame in parts.values()
            ]
        )
        for name, arrow_type in _OF_RESOURCE.items()
    }
    account = np.concatenate(
        [
            frame["account"].to_numpy() if "account" in frame else np.arange(len(frame))
            for frame in parts.values()
        ]
    )
    columns |= {name: frames.arrow(accounts[name]).take(pa.array(account)) for name in _OF_ACCOUNT}
    key = {
        "account_id": columns["account_id"],
        "user": pc.fill_null(columns["user"], ""),
        "access_key_id": pc.fill_null(columns["access_key_id"], ""),
        "slot": pc.fill_null(columns["slot"], 0),
    }
    order = pc.sort_indices(pa.table(key), sort_keys=[(name, "ascending") for name in key])
    table = pa.table(columns).take(order)
    slot = frames.joined(["slot-", columns["slot"].cast(pa.large_string())])
    slot = pc.if_else(columns["slot"].is_valid(), slot, None)
    name = pc.coalesce(columns["access_key_id"], slot)
    parts_of_name = [organization_id, columns["account_id"], columns["user"], name]
    names = frames.joined([part for one in parts_of_name for part in (one, SEPARATOR)][:-1])
    digits = [resource_digits(name.encode()) for name in names.take(order).to_pylist()]
    place = np.empty(len(account), dtype=np.int64)
    place[np.asarray(order)] = np.arange(len(account))
    ends = np.cumsum([len(frame) for frame in parts.values()])
    return (
        table.append_column("digits", pa.array(digits, pa.large_string())),
        dict(zip(parts, np.split(place, ends[:-1]), strict=True)),
    )
