"""(b) Evidence to findings and files: the store read, tables built, controls judged, rendered.

Each size in a process of its own, which also gives its peak of memory. What counts is CPU time:
the work is done on one core, and others may be using the machine.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import synthetic
from tests.benchmarks.measure import Figure, Stopwatch, alone, now_mb, peak_mb

_SECONDS = {100_000: 5.0, 1_000_000: 60.0}
_PEAK_MB = 3_000
_LINEAR = 12.0
"""Ten times the principals may take so many times as long."""
_PARQUET_SECONDS, _WORKBOOK_MB = 15.0, 200


def run(*, quick: bool) -> list[Figure]:
    figures, before = [], 0.0
    for size in (200, 2_000) if quick else (10_000, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as directory:
            path = str(Path(directory) / "evidence.sqlite")
            real = alone("judging:fill", here=quick, path=path, principals=size)["principals"]
            # The large one once: it takes minutes, and its noise averages out.
            times = 1 if quick or size > 100_000 else 3
            runs = [alone("judging:judge", here=quick, path=path, render=size >= 100_000)
                    for _ in range(times)]  # fmt: skip
        best = min(runs, key=lambda run: run["cpu"])
        figures += _figures(size, real, best, best["cpu"] / before if before else None)
        before = best["cpu"]
    return figures


def _figures(size: int, real: int, best: dict[str, float], growth: float | None) -> list[Figure]:
    name, limit = f"{size:,} principals", _SECONDS.get(size)
    seconds = (
        f"{best['cpu']:.1f} s (tables {best['build']:.1f}, controls {best['judge']:.1f}; "
        f"wall {best['wall']:.1f}; {real / best['cpu']:,.0f} a second)"
    )
    figures = [
        Figure(
            f"{name}: evidence to {best['findings']:,.0f} findings",
            seconds,
            f"< {limit:.0f} s" if limit else "",
            best["cpu"] < limit if limit else None,
        )
    ]
    large = size == max(_SECONDS)
    figures.append(
        Figure(
            f"{name}: peak memory",
            f"{best['peak']:,.0f} MB",
            f"< {_PEAK_MB:,} MB" if large else "",
            best["peak"] < _PEAK_MB if large else None,
        )
    )
    if growth:
        slow = size in _SECONDS
        figures.append(
            Figure(
                f"{name}: time to ten times fewer",
                f"{growth:.1f} x",
                f"linear (<= {_LINEAR:.0f} x)" if slow else "",
                growth <= _LINEAR if slow else None,
            )
        )
    if "parquet" in best:
        figures += _rendering(name, best, large=large)
    return figures


def _rendering(name: str, best: dict[str, float], *, large: bool) -> list[Figure]:
    parquet, grown = best["parquet"], best["workbook_mb"]
    text = f"{best['workbook']:.0f} s, {best['sheets']:.0f} sheets, {grown:+,.0f} MB of memory"
    return [
        Figure(
            f"{name}: Parquet",
            f"{parquet:.1f} s",
            f"< {_PARQUET_SECONDS:.0f} s" if large else "",
            parquet < _PARQUET_SECONDS if large else None,
        ),
        Figure(f"{name}: workbook", text, f"< {_WORKBOOK_MB} MB", grown < _WORKBOOK_MB),
    ]


def fill(path: str, principals: int) -> dict[str, Any]:
    return {"principals": synthetic.fill(Path(path), principals)}


def judge(path: str, *, render: bool) -> dict[str, Any]:
    from orgscan import tables  # noqa: PLC0415 - imports are not counted
    from orgscan.controls.evaluate import evaluate  # noqa: PLC0415
    from orgscan.runs.evidence import EvidenceStore  # noqa: PLC0415
    from orgscan.thresholds import Thresholds  # noqa: PLC0415

    watch = Stopwatch()
    with EvidenceStore.read(Path(path)) as store:
        built = tables.build(store, as_of=synthetic.NOW)
    build = watch.read()["cpu"]
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
    told = watch.read() | {"findings": len(findings), "peak": peak_mb(), "build": build}
    told["judge"] = told["cpu"] - build
    if render:
        told |= _render(built, findings, Path(path).parent)
    return told


def _render(built: Any, findings: Any, directory: Path) -> dict[str, float]:
    from openpyxl import load_workbook  # noqa: PLC0415

    from orgscan import reports, schema  # noqa: PLC0415
    from orgscan.runs import parquet  # noqa: PLC0415

    frames = {
        "accounts": built.accounts,
        "credentials": built.credentials,
        "access_keys": built.access_keys,
        "service_credentials": built.service_credentials,
        "findings": findings,
    }
    watch = Stopwatch()
    for table in schema.TABLES:
        target = directory / f"{table.name}.parquet"
        parquet.write(frames[table.name], table, target, metadata={})
    parquet = watch.read()["cpu"]
    before, watch = now_mb(), Stopwatch()
    workbook = directory / "workbook.xlsx"
    reports.write_workbook(
        workbook,
        reports.WorkbookContent(
            run=synthetic.info(), rendered_at=synthetic.NOW, controls=(), **frames
        ),
    )
    told = {"parquet": parquet, "workbook": watch.read()["cpu"]}
    told["workbook_mb"] = max(peak_mb() - before, 0)
    book = load_workbook(workbook, read_only=True)
    told["sheets"] = len(book.sheetnames)
    book.close()
    return told
