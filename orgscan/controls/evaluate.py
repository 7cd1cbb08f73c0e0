"""Controls over tables: one finding per control and resource.

A million principals give thirteen million findings, nearly all of them alike. So a finding is a
row of small numbers into lists of texts: every string column but ``finding_id`` is a pandas
``category`` of ``str``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orgscan import schema
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.control import Control, Unit
from orgscan.controls.identity import (
    CONTROL_DIGITS,
    ID_DIGITS,
    RESOURCE_DIGITS,
    SEPARATOR,
    control_digits,
    resource_digits,
)
from orgscan.controls.judging import STATUSES, Texts, decide
from orgscan.controls.limits import Limits, possibilities
from orgscan.controls.masks import micros, truth
from orgscan.controls.units import Units, arrow, prepare, text, times
from orgscan.models import ROOT_USER, Severity, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.controls.limits import Possibility
    from orgscan.settings import ThresholdOverride, Thresholds

    Codes = NDArray[np.int32]

_STR = pd.StringDtype("pyarrow", na_value=np.nan)
_SHARED = ("account_id", "account_name", "ou_path", "evidence_sha256")
_OWN = ("user", "arn", "access_key_id")
_UNTOLD = "the limit is not known: the account's {unread} could not be read"
_FAVOURABLE = [STATUSES.index(Status.PASS), STATUSES.index(Status.NOT_APPLICABLE)]
_UNCONFIRMED = "no listing confirms the report's user, who may have been created again since"
_AT_A_TIME = 10_000
"""Names hashed together: as Python objects they weigh more than all else."""


@dataclass(frozen=True, slots=True)
class _Resources:
    """What findings repeat from one unit's frame, aligned with it."""

    codes: dict[str, Codes]
    slot: NDArray[np.int64]
    generated: NDArray[np.int64]
    digests: NDArray[np.uint8]


@dataclass(slots=True)
class _Block:
    """The findings of one control."""

    control: Control
    resources: _Resources
    status: NDArray[np.int8]
    reason: Codes
    threshold: Codes


@dataclass(frozen=True, slots=True)
class _Bench:
    """What is the same for all controls of a run, and the texts they share."""

    limits: Limits
    as_of: np.int64
    possibilities: Sequence[Possibility] = ()
    """What else the limits may be."""
    reasons: Texts = field(default_factory=Texts)
    thresholds: Texts = field(default_factory=Texts)

    def judge(self, control: Control, units: Units, resources: _Resources) -> _Block:
        frame = units.of(control.unit)
        size = len(frame)
        cases = control.judge(frame, self.limits, self.as_of)
        status, reason = decide(cases, size, self.reasons)
        decided = status.copy()
        if control.unit is Unit.USER:
            # The report may be four hours old: it proves a failure, but no longer a pass.
            doubtful = ~truth(frame["listed"]) & np.isin(status, _FAVOURABLE)
            status[doubtful] = STATUSES.index(Status.UNKNOWN)
            reason[doubtful] = self.reasons.code(_UNCONFIRMED)
        for possible in self.possibilities:
            if possible.touches(control.thresholds):
                cases = control.judge(frame, possible.limits, self.as_of)
                differs = decide(cases, size, Texts())[0] != decided
                status[differs] = STATUSES.index(Status.UNKNOWN)
                reason[differs] = self.reasons.code(_UNTOLD.format(unread=possible.unread))
        threshold = np.full(size, -1, dtype=np.int32)
        if control.threshold_text is not None and size:
            text = control.threshold_text(frame, self.limits)
            threshold[:] = self.thresholds.number(text, np.arange(size))
        return _Block(control, resources, status, reason, threshold)


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

    Takes the five frames of :class:`orgscan.tables.Tables`. Limits are ``overrides`` over what
    ``thresholds`` sets over ``framework`` over the defaults; with ``binding`` what ``framework``
    states comes first. Returns the columns of :data:`orgscan.schema.FINDINGS`, sorted by control
    (as given), account, user and key. String columns are categories but for ``finding_id``;
    ``status`` and ``severity`` have all their values as categories, so that a later step may set
    WAIVED.

    ``finding_id`` is as :mod:`orgscan.controls.identity` says: one hash per resource and one per
    control rather than one for every pair of them.
    """
    units = prepare(accounts, credentials, access_keys, service_credentials, facts)
    categories: dict[str, pa.Array] = {}
    resources = _resources(units, organization_id, categories)
    moment = np.datetime64(as_of.astimezone(UTC).replace(tzinfo=None), "us").astype(np.int64)
    given: dict[str, Any] = {
        "framework": framework,
        "overrides": overrides,
        "accounts": units.accounts,
        "binding": binding,
    }
    bench = _Bench(Limits(thresholds, **given), moment, possibilities(thresholds, **given))
    blocks = [bench.judge(control, units, resources[control.unit]) for control in controls]
    del units  # as large as the tables, and all that is left of it are codes
    categories |= {"reason": bench.reasons.array(), "threshold": bench.thresholds.array()}
    pool = pa.default_memory_pool()
    pool.release_unused()  # Arrow keeps what it once had, and every step needs room
    findings = _assemble(blocks, organization_id, moment, categories)
    pool.release_unused()
    return findings


def _resources(
    units: Units, organization_id: str, categories: dict[str, pa.Array]
) -> dict[Unit, _Resources]:
    shared = {name: _encode(units.accounts[name], categories, name) for name in _SHARED}
    roots = units.accounts[["account_id", "report_generated_at"]].assign(
        user=ROOT_USER, arn=units.accounts["root_arn"]
    )
    frames = {
        Unit.ROOT: roots,
        Unit.ACCOUNT: units.accounts[["account_id", "report_generated_at"]],
        Unit.USER: units.users,
        Unit.ACCESS_KEY: units.access_keys,
        Unit.SERVICE_CREDENTIAL: units.service_credentials,
    }
    own = _encode_together(list(frames.values()), categories)
    return {
        unit: _Resources(
            codes={name: codes[_account(frame)] for name, codes in shared.items()} | own[place],
            slot=_slots(frame),
            generated=micros(frame["report_generated_at"]),
            digests=_digests(organization_id, frame),
        )
        for place, (unit, frame) in enumerate(frames.items())
    }


def _account(frame: pd.DataFrame) -> Any:
    return frame["account"].to_numpy() if "account" in frame else slice(None)


def _encode(column: pd.Series, categories: dict[str, pa.Array], name: str) -> Codes:
    encoded = arrow(column).dictionary_encode()
    categories[name] = encoded.dictionary
    return _codes(encoded.indices)


def _encode_together(
    frames: list[pd.DataFrame], categories: dict[str, pa.Array]
) -> list[dict[str, Codes]]:
    """Codes of the columns that only some units have, into one list of texts per column."""
    codes: list[dict[str, Codes]] = [{} for _ in frames]
    for name in _OWN:
        parts = [
            arrow(frame[name].astype(_STR))
            if name in frame
            else pa.nulls(len(frame), pa.large_string())
            for frame in frames
        ]
        encoded = pa.concat_arrays(
            [part.cast(pa.large_string()) for part in parts]
        ).dictionary_encode()
        categories[name] = encoded.dictionary
        bounds = np.cumsum([0, *map(len, parts)])
        everything = _codes(encoded.indices)
        for place in range(len(frames)):
            codes[place][name] = everything[bounds[place] : bounds[place + 1]]
    return codes


def _codes(indices: pa.Array) -> Codes:
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int32)


def _slots(frame: pd.DataFrame) -> NDArray[np.int64]:
    if "slot" not in frame:
        return np.zeros(len(frame), dtype=np.int64)
    return np.asarray(frame["slot"].fillna(0), dtype=np.int64)


def _digests(organization_id: str, frame: pd.DataFrame) -> NDArray[np.uint8]:
    """The resource half of each finding's id, as ASCII hex; shape (rows, 24)."""
    names = _names(organization_id, frame)
    digits = np.empty((len(frame), RESOURCE_DIGITS), dtype=np.uint8)
    for start in range(0, len(frame), _AT_A_TIME):
        some = names[start : start + _AT_A_TIME].to_pylist()
        hexes = b"".join([resource_digits(name).encode() for name in some])
        digits[start : start + len(some)].reshape(-1)[:] = np.frombuffer(hexes, dtype=np.uint8)
    return digits


def _names(organization_id: str, frame: pd.DataFrame) -> pa.Array:
    blank = pa.array([""], pa.large_string()).take(pa.array(np.zeros(len(frame), dtype=np.int64)))
    user = arrow(frame["user"].astype(_STR)) if "user" in frame else blank
    key = blank
    if "access_key_id" in frame:
        slots = pc.binary_join_element_wise(
            text("slot-"), pa.array(_slots(frame)).cast(pa.large_string()), text("")
        )
        key = pc.coalesce(arrow(frame["access_key_id"]), slots)
    parts = (arrow(frame["account_id"]), user.cast(pa.large_string()), key)
    joined = pc.binary_join_element_wise(text(organization_id), *parts, text(SEPARATOR))
    return joined.cast(pa.large_binary())


def _assemble(
    blocks: list[_Block], organization_id: str, moment: np.int64, categories: dict[str, pa.Array]
) -> pd.DataFrame:
    sizes = [len(block.status) for block in blocks]
    total = sum(sizes)
    now = times(np.full(total, moment, dtype=np.int64))
    slot = _joined([block.resources.slot for block in blocks], np.int64)
    columns: dict[str, Any] = {
        "finding_id": _finding_ids(blocks, organization_id, total),
        "control_id": _repeat([b.control.id for b in blocks], sizes),
        "severity": _repeat([b.control.severity for b in blocks], sizes, list(Severity)),
        "status": _category(
            _joined([b.status for b in blocks], np.int8), pa.array(list(map(str, STATUSES)))
        ),
        "slot": pd.arrays.IntegerArray(slot, slot == 0),
        "report_generated_at": times(_joined([b.resources.generated for b in blocks], np.int64)),
        "as_of": now,
        "first_seen_at": now,
        "waiver_id": _category(np.full(total, -1, dtype=np.int8), pa.nulls(0)),
        "reason": _category(_joined([b.reason for b in blocks], np.int32), categories["reason"]),
        "threshold": _category(
            _joined([b.threshold for b in blocks], np.int32), categories["threshold"]
        ),
    }
    for name in (*_SHARED, *_OWN):
        codes = _joined([block.resources.codes[name] for block in blocks], np.int32)
        columns[name] = _category(codes, categories[name])
    return pd.DataFrame(
        {name: columns.pop(name) for name in schema.FINDINGS.column_names}, copy=False
    )


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _category(codes: Any, texts: pa.Array) -> pd.Categorical:
    index = pd.Index(pd.array(texts.cast(pa.large_string()), dtype=_STR))
    # The texts are distinct. Were pandas to make sure of it, it would keep a hash table and a
    # Python object of each for as long as the column lives, twice the memory of the texts.
    dtype: Any = pd.CategoricalDtype()
    dtype.__setstate__({"categories": index, "ordered": False})
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _repeat(values: list[str], sizes: list[int], texts: list[str] | None = None) -> pd.Categorical:
    """Each value as often as its block has rows; categories are ``texts`` or the values."""
    among = [str(text) for text in (texts or dict.fromkeys(values))]
    codes = np.repeat(np.array([among.index(value) for value in values], dtype=np.int8), sizes)
    return _category(codes, pa.array(among, pa.large_string()))


def _finding_ids(blocks: list[_Block], organization_id: str, total: int) -> Any:
    digits = np.empty((total, ID_DIGITS), dtype=np.uint8)
    start = 0
    for block in blocks:
        rows = digits[start : start + len(block.status)]
        half = control_digits(organization_id, block.control.id).encode()
        rows[:, :CONTROL_DIGITS] = np.frombuffer(half, dtype=np.uint8)
        rows[:, CONTROL_DIGITS:] = block.resources.digests
        start += len(block.status)
    offsets = np.arange(total + 1, dtype=np.int64) * ID_DIGITS
    buffers = [pa.py_buffer(offsets), pa.py_buffer(digits)]
    ids = pa.LargeStringArray.from_buffers(total, buffers[0], buffers[1])
    return pd.array(ids, dtype=_STR)
