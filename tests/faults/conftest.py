"""Makes ``scanning`` and ``commands`` importable; the folders of tests are no packages."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands import Orgscan

    from orgscan.simulator import World


@pytest.fixture(scope="session")
def fleet() -> World:
    """Forty accounts of three users."""
    from scanning import NOW  # noqa: PLC0415 - the path is set above

    from tests.kit.worlds import WORLDS  # noqa: PLC0415 - most tests need none

    return WORLDS["uniform"](accounts=40, users=3, now=NOW)


@pytest.fixture(scope="session")
def undisturbed(fleet: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the fleet in which nothing went wrong."""
    from scanning import collect  # noqa: PLC0415 - the path is set above

    from orgscan.simulator import Simulator  # noqa: PLC0415 - most tests need none

    async def run() -> None:
        async with Simulator(fleet) as simulator:
            await collect(simulator, directory)

    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    asyncio.run(run())
    return directory


@pytest.fixture
def orgscan(tmp_path: Path) -> Iterator[Orgscan]:
    """The program, in an empty directory."""
    from commands import Orgscan  # noqa: PLC0415 - the path is set above

    with Orgscan(tmp_path / "work") as program:
        yield program


@pytest.fixture
def small() -> World:
    """Four tidy accounts, the same in every test."""
    from scanning import NOW  # noqa: PLC0415 - the path is set above

    from tests.kit.worlds import WORLDS  # noqa: PLC0415 - most tests need none

    return WORLDS["small"](now=NOW)
