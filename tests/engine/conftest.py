"""Dask clusters for the engine: somebody else's, and worker processes of our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Jobs that worker processes can import: they are given this process's path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import engine_jobs  # noqa: PLC0415 - only now it can be found

    module: Any = engine_jobs
    return module
