"""The simulator elsewhere: in a thread, or in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orgscan.simulator.call import Credentials
from orgscan.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from orgscan.simulator.world import World

_PATIENCE = 10.0
_ROOT = Path(__file__).parents[2]


@contextmanager
def serve_in_thread(world: World, **options: Any) -> Iterator[Simulator]:
    """Serve from a thread, so that a test can run a program against it and see its calls.

    ``options`` are those of :class:`~orgscan.simulator.server.Simulator`.
    """
    simulator = Simulator(world, **options)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with simulator:
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    try:
        ready.wait(_PATIENCE)
        if not simulator.endpoint_url:
            message = "the simulator did not start"
            raise RuntimeError(message)
        yield simulator
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(_PATIENCE)


class SimulatorProcess:
    """``python -m tests.kit.simulator`` as a context manager.

    ``SimulatorProcess("uniform", accounts=300, users=10)``; the options are the
    command's, ``limits=True`` for a bare ``--limits``.
    """

    def __init__(self, world: str, **options: object) -> None:
        """Nothing is started yet."""
        arguments = [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in {"world": world, **options}.items()
        ]
        self._command = [sys.executable, "-m", "tests.kit.simulator", "--json", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.endpoint_url = ""
        self.credentials = Credentials("", "")

    @property
    def pid(self) -> int:
        """The process, for measuring it."""
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        """Start it and wait until it serves."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._stop()
            message = "the simulator process did not start"
            raise RuntimeError(message)
        served = json.loads(line)
        self.endpoint_url = served["endpoint_url"]
        self.credentials = Credentials(*served["credentials"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ask it to end, and wait."""
        self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
