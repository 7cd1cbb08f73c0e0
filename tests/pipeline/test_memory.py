"""Freed memory goes back to the system."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

import pytest

from orgscan.pipeline.memory import give_back

STATM = Path("/proc/self/statm")


def held() -> int:
    """Bytes of memory this process holds."""
    return int(STATM.read_text("ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing")
def test_what_lies_below_something_still_held_is_given_back() -> None:
    pieces = [os.urandom(2_000) for _ in range(40_000)]
    last = pieces[-1]
    before = held()
    del pieces
    give_back()
    assert before - held() > 40_000_000
    give_back()  # and where there is nothing to give back
    assert len(last) == 2_000
