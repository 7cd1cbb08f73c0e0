"""(g) Findings as OCSF lines and as CSV: rows per second of CPU time, and the memory it takes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import synthetic
from tests.benchmarks.measure import Figure, Stopwatch, alone, now_mb, peak_mb

_ROWS_PER_SECOND = {"ocsf": 20_000, "csv": 100_000}
_MB = 200


def run(*, quick: bool) -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "evidence.sqlite")
        alone("judging:fill", here=quick, path=path, principals=200 if quick else 100_000)
        for name, wanted in _ROWS_PER_SECOND.items():
            found = alone("formats:write", here=quick, path=path, name=name)
            rows, rate = found["rows"], found["rows"] / found["cpu"]
            text = f"{found['cpu']:.1f} s, {rate:,.0f} a second, {found['size']:,.0f} MB"
            figures += [
                Figure(f"{rows:,.0f} findings as {name}", text, f">= {wanted:,}", rate >= wanted),
                Figure(f"{name}: more memory", f"{found['mb']:,.0f} MB", f"< {_MB} MB",
                       found["mb"] < _MB),
            ]  # fmt: skip
    return figures


def write(path: str, name: str) -> dict[str, Any]:
    from orgscan import reports, tables  # noqa: PLC0415 - imports are not counted
    from orgscan.controls.catalogue import CATALOGUE  # noqa: PLC0415
    from orgscan.controls.evaluate import evaluate  # noqa: PLC0415
    from orgscan.runs.evidence import EvidenceStore  # noqa: PLC0415
    from orgscan.thresholds import Thresholds  # noqa: PLC0415

    with EvidenceStore.read(Path(path)) as store:
        info, built = store.info, tables.build(store, as_of=synthetic.NOW)
    findings = evaluate(
        built.accounts,
        built.credentials,
        built.access_keys,
        built.service_credentials,
        built.facts,
        organization_id="o-benchmark0",
        as_of=synthetic.NOW,
        thresholds=Thresholds(),
    )
    told = findings["status"] != "NOT_APPLICABLE"
    target = Path(path).with_name(name)
    before, watch = now_mb(), Stopwatch()
    if name == "csv":
        reports.write_csv(target, findings)
    else:
        reports.write_ocsf(
            target, findings, built.accounts, run=info, controls=CATALOGUE, obligations={}
        )
    return watch.read() | {
        "mb": max(peak_mb() - before, 0.0),
        "rows": len(findings) if name == "csv" else int(told.sum()),
        "size": target.stat().st_size / 1e6,
    }
