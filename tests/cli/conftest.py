"""The command in a process of its own, against a simulated organization."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.models import Clock, Observer
from tests.kit.clocks import HurriedClock
from tests.kit.commands import Orgscan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orgscan.simulator import Simulator
    from tests.kit.commands import Finished


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without AWS, home or settings."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ
    }
    return kept | {
        "HOME": str(tmp_path / "nobody"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def orgscan(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Run ``orgscan ARGUMENTS`` in an empty directory."""
    work = tmp_path / "work"
    with Orgscan(work) as program:

        def run(*arguments: object, **options: Any) -> Finished:
            return program.run(*arguments, **options)

        run.work = work  # type: ignore[attr-defined]
        yield run


@pytest.fixture
def credentials() -> Callable[[Simulator], dict[str, str]]:
    """The simulated caller's credentials as environment variables."""

    def variables(simulator: Simulator) -> dict[str, str]:
        keys = simulator.credentials
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        } | ({"AWS_SESSION_TOKEN": keys.session_token} if keys.session_token else {})

    return variables


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo, to copy."""
    from orgscan.pipeline.demo import collect_demo  # noqa: PLC0415
    from orgscan.pipeline.render import render  # noqa: PLC0415

    run = tmp_path_factory.mktemp("demo") / "run"
    asyncio.run(collect_demo(run, clock=HurriedClock(), observer=Observer()))
    return render(run, clock=Clock(), observer=Observer())
