"""Organizations that several tests scan, and the program as a user starts it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orgscan.simulator import Simulator
from tests.kit.commands import Orgscan
from tests.kit.scans import NOW, collect
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orgscan.simulator import World


@pytest.fixture(scope="session")
def fleet() -> World:
    """Forty accounts of three users."""
    return WORLDS["uniform"](accounts=40, users=3, now=NOW)


@pytest.fixture(scope="session")
def undisturbed(fleet: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the fleet in which nothing went wrong."""

    async def run() -> None:
        async with Simulator(fleet) as simulator:
            await collect(simulator, directory)

    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    asyncio.run(run())
    return directory


@pytest.fixture
def orgscan(tmp_path: Path) -> Iterator[Orgscan]:
    """The program, in an empty directory."""
    with Orgscan(tmp_path / "work") as program:
        yield program


@pytest.fixture
def small() -> World:
    """Four tidy accounts, the same in every test."""
    return WORLDS["small"](now=NOW)
