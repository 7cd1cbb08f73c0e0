"""Findings as OCSF 1.6 events of class Compliance Finding (2003): one JSON object per line.

Every finding is told but NOT_APPLICABLE, about which there is nothing to comply with:

========  ===================  ====================
status    compliance.status    status (lifecycle)
========  ===================  ====================
FAIL      Fail (3)             New (1)
WAIVED    Fail (3)             Suppressed (3)
UNKNOWN   Warning (2)          New (1)
PASS      Pass (1)             Resolved (4)
========  ===================  ====================

A waiver does not make a failure a pass; Warning is the schema's word for "no result, because
information is missing". ``time`` is the as-of time, so that the same evidence and settings give
the same bytes. Names are exact: what could end a line or turn its direction is a JSON escape.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan import frames
from orgscan.models import Severity, Status
from orgscan.reports import lines
from orgscan.reports.rows import as_rows
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from orgscan.controls.control import Control
    from orgscan.models import RunInfo
    from orgscan.reports.rows import Rows

OCSF_VERSION = "1.6.0"

_COMPLIANCE = {
    Status.FAIL: (3, "Fail"),
    Status.WAIVED: (3, "Fail"),
    Status.UNKNOWN: (2, "Warning"),
    Status.PASS: (1, "Pass"),
}
_LIFECYCLE = {
    Status.FAIL: (1, "New"),
    Status.WAIVED: (3, "Suppressed"),
    Status.UNKNOWN: (1, "New"),
    Status.PASS: (4, "Resolved"),
}
_SEVERITY = {
    Severity.CRITICAL: (5, "Critical"),
    Severity.HIGH: (4, "High"),
    Severity.MEDIUM: (3, "Medium"),
    Severity.LOW: (2, "Low"),
    Severity.INFORMATIONAL: (1, "Informational"),
}
_ACTIVITY = {False: (1, "Create"), True: (2, "Update")}
"""By whether an earlier run saw the finding already."""
_RESOURCE_TYPES = {
    "account": "AWS::Organizations::Account",
    "root": "AWS::IAM::RootUser",
    "user": "AWS::IAM::User",
    "access key": "AWS::IAM::AccessKey",
    "service-specific credential": "AWS::IAM::ServiceSpecificCredential",
}
_CLASS, _CATEGORY = 2003, 2
_AWS_ACCOUNT, _USER, _ROOT, _RULE = 10, 1, 2, 1
"""type_id of an account, of a user, of an administrator or root user, and of an analytic."""

_REQUIRED = ("finding_id", "account_id", "reason")
_NULLABLE = (
    "account_name",
    "ou_path",
    "user",
    "arn",
    "access_key_id",
    "threshold",
    "evidence_sha256",
    "waiver_id",
)
_TIMES = ("as_of", "first_seen_at", "report_generated_at")
_HOLE = "\ue000{}\ue000"
"""Stands in the pattern of an event for what differs from row to row."""
_HOLES = re.compile(r'"\\ue000([a-z0-9_]+)\\ue000"')
_DELICATE = r'["\\\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """What one control answers, in the frameworks the run was held against."""

    standards: Sequence[str] = ()
    """Frameworks that ask for what the control judges, by its limits."""
    requirements: Sequence[str] = ()
    """Their requirements, each with its framework."""
    related: Sequence[str] = ()
    """Requirements that ask for more than the control judges: a PASS does not meet them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What all rows of one pattern have in common."""

    control: Control
    status: Status
    severity: Severity
    seen_before: bool
    slot: int
    present: frozenset[str]
    """The columns that are not null."""


@dataclass(slots=True)
class _Patterns:
    """Events as text with holes, made once per kind of row."""

    run: RunInfo
    controls: Sequence[Control]
    obligations: Mapping[str, Obligations]
    _made: dict[int, list[str]] = field(default_factory=dict)

    def lines(self, number: int, columns: Mapping[str, pa.Array]) -> pa.Array:
        """The events of rows whose kind has this number."""
        if number not in self._made:
            kind = _decoded(number, self.controls)
            text = json.dumps(_pruned(self._event(kind)), separators=(",", ":"))
            self._made[number] = _HOLES.split(f"{text}\n")
        parts = self._made[number]
        return frames.joined(
            [columns[part] if place % 2 else part for place, part in enumerate(parts)]
        )

    def _event(self, kind: _Kind) -> dict[str, Any]:
        """The event of a row: what is None is left out."""
        hole = {name: _HOLE.format(name) for name in kind.present}
        activity, activity_name = _ACTIVITY[kind.seen_before]
        severity, severity_name = _SEVERITY[kind.severity]
        status, status_name = _LIFECYCLE[kind.status]
        account = {
            "name": hole.get("account_name"),
            "type": "AWS Account",
            "type_id": _AWS_ACCOUNT,
            "uid": hole["account_id"],
        }
        failing = kind.status is not Status.PASS
        return {
            "activity_id": activity,
            "activity_name": activity_name,
            "category_name": "Findings",
            "category_uid": _CATEGORY,
            "class_name": "Compliance Finding",
            "class_uid": _CLASS,
            "cloud": {
                "account": account,
                "cloud_partition": self.run.caller.partition,
                "org": {
                    "ou_name": hole.get("ou_path"),
                    "ou_uid": hole.get("ou_id"),
                    "uid": self.run.organization.id,
                },
                "provider": "AWS",
            },
            "compliance": self._compliance(kind, hole),
            "finding_info": _finding_info(kind, hole),
            "message": hole["reason"],
            "metadata": self._metadata(hole),
            "remediation": {"desc": kind.control.remediation} if failing else None,
            "resources": [_resource(kind, hole, self.run.caller.partition)],
            "severity": severity_name,
            "severity_id": severity,
            "status": status_name,
            "status_code": kind.status.value,
            "status_id": status,
            "time": hole["as_of"],
            "timezone_offset": 0,
            "type_name": f"Compliance Finding: {activity_name}",
            "type_uid": _CLASS * 100 + activity,
            "unmapped": {
                "evidence_sha256": hole.get("evidence_sha256"),
                "related_requirements": list(self._obligations(kind).related),
                "report_generated_time": hole.get("report_generated_at"),
                "waiver_id": hole.get("waiver_id"),
            },
        }

    def _obligations(self, kind: _Kind) -> Obligations:
        return self.obligations.get(kind.control.id, Obligations())

    def _compliance(self, kind: _Kind, hole: Mapping[str, str]) -> dict[str, Any]:
        status, name = _COMPLIANCE[kind.status]
        limit = hole.get("threshold")
        return {
            "control": kind.control.id,
            "control_parameters": [{"name": "limit", "value": limit}] if limit else None,
            "requirements": list(self._obligations(kind).requirements),
            "standards": list(self._obligations(kind).standards),
            "status": name,
            "status_code": kind.status.value,
            "status_details": [hole["reason"]],
            "status_id": status,
        }

    def _metadata(self, hole: Mapping[str, str]) -> dict[str, Any]:
        return {
            "correlation_uid": self.run.run_id,
            "log_name": "findings",
            "log_provider": "orgscan",
            "product": {
                "name": "orgscan",
                "uid": "orgscan",
                "vendor_name": "orgscan",
                "version": __version__,
            },
            "profiles": ["cloud"],
            "tenant_uid": self.run.organization.id,
            "uid": hole["event_id"],
            "version": OCSF_VERSION,
        }


def _finding_info(kind: _Kind, hole: Mapping[str, str]) -> dict[str, Any]:
    control = kind.control
    return {
        "analytic": {
            "name": control.title,
            "type": "Rule",
            "type_id": _RULE,
            "uid": control.id,
        },
        "created_time": hole.get("first_seen_at"),
        "desc": control.description,
        "first_seen_time": hole.get("first_seen_at"),
        "last_seen_time": hole["as_of"],
        "title": control.title,
        "uid": hole["finding_id"],
    }


def _resource(kind: _Kind, hole: Mapping[str, str], partition: str) -> dict[str, Any]:
    unit = kind.control.unit
    account = {"account": {"uid": hole["account_id"]}}
    principal = {"name": hole.get("user"), "uid": hole.get("arn")}
    about: dict[str, Any] = {
        "name": hole["account_id"],
        "uid": hole["account_id"],
        "owner": account,
    }
    if unit in {"access key", "service-specific credential"}:
        key = hole.get("access_key_id")
        about = {
            "name": key or f"access key in slot {kind.slot} of the credential report",
            "uid": key,
            "owner": {**principal, "type_id": _USER, **account},
        }
    elif unit != "account":
        about = {**principal, "owner": account}
    return {**about, "cloud_partition": partition, "type": _RESOURCE_TYPES[unit]}


def _pruned(value: Any) -> Any:
    """A copy without what is None or empty, at any depth."""
    if isinstance(value, dict):
        kept = {name: _pruned(one) for name, one in value.items()}
        return {name: one for name, one in kept.items() if one not in (None, {}, [])}
    return [_pruned(one) for one in value] if isinstance(value, list) else value


def write(
    path: Path,
    findings: pd.DataFrame | Rows,
    accounts: pd.DataFrame,
    *,
    run: RunInfo,
    controls: Sequence[Control],
    obligations: Mapping[str, Obligations],
) -> None:
    """Write the findings to ``path``, in their order, NOT_APPLICABLE left out.

    Args:
        path: The file to write.
        findings: The columns of :data:`orgscan.schema.FINDINGS`.
        accounts: account_id and ou_id of every account.
        run: Organization, partition, run and as-of time.
        controls: Every control that ``findings`` names.
        obligations: Standards and requirements by control id.
    """
    patterns = _Patterns(run, controls, obligations)
    account_ids, ou_ids = (lines.arrow(accounts[name]) for name in ("account_id", "ou_id"))
    wanted = [*_REQUIRED, *_NULLABLE, *_TIMES, "control_id", "severity", "status", "slot"]
    told = [status.value for status in _COMPLIANCE]
    with path.open("wb") as file:
        for rows in as_rows(findings).pieces():
            chosen = rows[frames.among(rows["status"], told)]
            piece = {name: lines.arrow(chosen[name]) for name in wanted}
            place = pc.index_in(piece["account_id"], value_set=account_ids)
            piece["ou_id"] = ou_ids.take(place)
            lines.write(file, _events(piece, patterns))


def _events(piece: dict[str, pa.Array], patterns: _Patterns) -> pa.Array:
    """The lines of some rows, each kind made at once and all put back in order."""
    numbers, members = np.unique(_numbers(piece, patterns.controls), return_inverse=True)
    columns = _columns(piece)
    order = np.argsort(members, kind="stable")
    counts = np.bincount(members, minlength=len(numbers))
    ends = np.cumsum(counts)
    made = [pa.array([], pa.large_string())]
    for number, start, end in zip(numbers, ends - counts, ends, strict=True):
        rows = pa.array(order[start:end])
        mine = {name: column.take(rows) for name, column in columns.items()}
        made.append(patterns.lines(int(number), mine))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(made).take(pa.array(back))


def _columns(piece: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """What goes into the holes, as JSON."""
    texts = {name: _json(piece[name]) for name in (*_REQUIRED, *_NULLABLE, "ou_id")}
    times = {name: _milliseconds(piece[name]) for name in _TIMES}
    event = frames.joined([piece["finding_id"], "-", times["as_of"]])
    return {**texts, **times, "event_id": _json(event)}


def _json(values: pa.Array) -> pa.Array:
    """JSON strings; only those that need escapes are looked at one by one."""
    quoted = pc.if_else(pc.is_null(values), values, frames.joined(['"', values, '"']))
    delicate = pc.fill_null(pc.match_substring_regex(values, _DELICATE), fill_value=False)
    escaped = [json.dumps(value) for value in values.filter(delicate).to_pylist()]
    if not escaped:
        return quoted
    return pc.replace_with_mask(quoted, delicate, pa.array(escaped, pa.large_string()))


def _milliseconds(values: pa.Array) -> pa.Array:
    micros = values.cast(pa.timestamp("us", tz="UTC"))
    return (
        micros.cast(pa.timestamp("ms", tz="UTC"), safe=False)
        .cast(pa.int64())
        .cast(pa.large_string())
    )


_OPTIONAL = (*_NULLABLE, "ou_id", "first_seen_at", "report_generated_at")
_STATUSES, _SEVERITIES = list(_COMPLIANCE), list(_SEVERITY)
_SLOTS = 3


def _numbers(piece: Mapping[str, pa.Array], controls: Sequence[Control]) -> Any:
    """The kind of each row as a number, which :func:`_decoded` takes apart."""

    def place(name: str, among: Sequence[str]) -> Any:
        found = pc.index_in(piece[name], value_set=pa.array(among, pa.large_string()))
        return found.to_numpy(zero_copy_only=False).astype(np.int64)

    number = place("control_id", [control.id for control in controls])
    number = number * len(_STATUSES) + place("status", [one.value for one in _STATUSES])
    number = number * len(_SEVERITIES) + place("severity", [one.value for one in _SEVERITIES])
    before = pc.fill_null(pc.less(piece["first_seen_at"], piece["as_of"]), fill_value=False)
    number = number * 2 + _whole(before)
    number = number * _SLOTS + _whole(pc.fill_null(piece["slot"].cast(pa.int64()), 0))
    for name in _OPTIONAL:
        number = number * 2 + _whole(pc.is_valid(piece[name]))
    return number


def _whole(values: pa.Array) -> Any:
    return values.to_numpy(zero_copy_only=False).astype(np.int64)


def _decoded(number: int, controls: Sequence[Control]) -> _Kind:
    present = {*_REQUIRED, "as_of", "event_id"}
    for name in reversed(_OPTIONAL):
        number, valid = divmod(number, 2)
        if valid:
            present.add(name)
    number, slot = divmod(number, _SLOTS)
    number, before = divmod(number, 2)
    number, severity = divmod(number, len(_SEVERITIES))
    control, status = divmod(number, len(_STATUSES))
    return _Kind(
        control=controls[control],
        status=_STATUSES[status],
        severity=_SEVERITIES[severity],
        seen_before=bool(before),
        slot=slot,
        present=frozenset(present),
    )
