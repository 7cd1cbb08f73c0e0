from __future__ import annotations

import asyncio
import sys

import pytest

from orgscan.collect.engines import new_event_loop


def work_done_on(loop: asyncio.AbstractEventLoop) -> int:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(asyncio.sleep(0, 7))


def test_collection_runs_on_uvloop_where_there_is_one() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    assert work_done_on(loop) == 7


def test_collection_runs_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    assert type(loop).__module__.startswith("asyncio")
    assert work_done_on(loop) == 7
