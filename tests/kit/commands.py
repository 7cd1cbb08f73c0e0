"""The real ``orgscan`` in processes of its own, which may be killed, stopped or starved.

Starting Python and importing pandas takes two seconds, and these tests start a hundred
processes: so one process imports everything and forks a child for each command; it outlives the
test and serves the next one. A child is an ordinary process with the command line's ``main`` in
it. It can be told to lose its life or its
disk at its nth step in the run directory, a step being a file opened for writing, renamed or
removed there, or a database connected.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from orgscan.simulator import AUDIT_ROLE
from orgscan.simulator.faults import Effect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from orgscan.simulator import Simulator
    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud
    from orgscan.simulator.wire import Answer

ROOT = Path(__file__).parents[2]
_PATIENCE = 10.0

_PARENT = r"""
import errno, json, os, resource, signal, sys, warnings
import aioboto3, openpyxl, pandas, pyarrow.parquet
import orgscan.cli, orgscan.cli.running, orgscan.cli.summary
import orgscan.pipeline.check, orgscan.pipeline.demo, orgscan.pipeline.run_plan
import orgscan.pipeline.scan, orgscan.pipeline.verify
import orgscan.cli.progress, orgscan.models, orgscan.settings, orgscan.simulator
try:
    import uvloop
except ImportError:
    pass


steps = 0


def watch(directory, at, what):
    def hook(event, arguments):
        global steps
        if event == "open":
            path, mode, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in {"os.rename", "os.remove", "sqlite3.connect"}:
            path = arguments[0]
        else:
            return
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        if not os.path.abspath(os.fsdecode(path)).startswith(directory):
            return
        steps += 1
        if what == "kill" and steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "full" and steps >= at and event != "os.remove":
            raise OSError(errno.ENOSPC, "No space left on device")

    sys.addaudithook(hook)


def hurry():
    # Waiting takes no time, yet time has passed afterwards.
    clock, ahead = orgscan.models.Clock, 0.0
    monotonic = clock.monotonic

    async def sleep(self, seconds):
        nonlocal ahead
        ahead += max(seconds, 0.0)

    clock.sleep, clock.monotonic = sleep, lambda self: monotonic(self) + ahead


def child(job):
    if job["hurried"]:
        hurry()
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("error")
    if job["limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], resource.RLIM_INFINITY))
    watch(job["directory"], job["at"], job["what"])
    orgscan.cli.main(job["arguments"])


for line in sys.stdin:
    counted, report = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(json.loads(line))
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 99
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        os.write(report, f"{steps} ".encode())
        os._exit(code)
    os.close(report)
    print(pid, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(code, os.read(counted, 16).decode() or "0", flush=True)
    os.close(counted)
"""


class _Parent:
    """The process that imports everything, and the home of its children.

    The SDK asks where home is when it is imported, so all children of one parent share it; each
    test finds it empty.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="orgscan-home-")
        self.home = Path(self._folder.name, "home")
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            cwd=ROOT,
            env=kept | {"PYTHONPATH": str(ROOT), "HOME": str(self.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate()
        self._folder.cleanup()


_IDLE: list[_Parent] = []
"""Parents that wait for their next test."""


@atexit.register
def _dismiss() -> None:
    for parent in _IDLE:
        parent.end()


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    returncode: int
    steps: int
    """Steps taken in the run directory; 0 where the process was killed."""
    stdout: str
    stderr: str

    @property
    def line(self) -> str:
        """The single line a user is told, and nothing that looks like a traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("orgscan: "), self.stderr
        return lines[0]


@dataclass
class Orgscan:
    """Runs commands one after another, each in a process of its own. A context manager."""

    work: Path
    """The directory the commands run in."""
    name: str = "orgscan"
    """Tells the outputs of two programs in one directory apart."""
    pid: int = 0
    """The command under way."""
    environment: dict[str, str] = field(default_factory=dict)
    _parent: Any = None
    _process: Any = None
    _under_way: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.work.mkdir(exist_ok=True)
        self._parent = _IDLE.pop() if _IDLE else _Parent()
        self._process = self._parent.process
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = kept | {
            "HOME": str(self._parent.home),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": str(ROOT),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._under_way.is_set():  # the test failed, or has seen enough
            self.send(signal.SIGKILL)
            self.wait()
        shutil.rmtree(self._parent.home, ignore_errors=True)
        _IDLE.append(self._parent)

    def start(
        self,
        *arguments: object,
        simulator: Simulator | None = None,
        limit: int | None = None,
        kill_at: int | None = None,
        full_at: int | None = None,
        directory: str = "run",
        env: Mapping[str, str] | None = None,
        hurried: bool = False,
    ) -> int:
        """Begin a command; the process id.

        ``limit`` is the largest file it may write. At the nth step in ``directory`` it is
        killed, or the disk is full from then on. ``env`` goes over the environment. ``hurried``
        programs wait for nothing.
        """
        credentials = {}
        if simulator is not None:
            key, secret, _ = simulator.credentials
            credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        job = {
            "arguments": [*map(str, arguments)],
            "cwd": str(self.work),
            "environment": self.environment | credentials | dict(env or {}),
            "stdout": str(self._told("stdout")),
            "stderr": str(self._told("stderr")),
            "limit": limit,
            "at": kill_at if full_at is None else full_at,
            "what": "kill" if full_at is None else "full",
            "directory": str(self.work / directory),
            "hurried": hurried,
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self.pid = int(self._process.stdout.readline())
        self._under_way.set()
        return self.pid

    def wait(self) -> Finished:
        """The end of the command under way."""
        code, steps = map(int, self._process.stdout.readline().split())
        self.pid = 0
        self._under_way.clear()
        return Finished(
            code, steps, self._told("stdout").read_text(), self._told("stderr").read_text()
        )

    def run(self, *arguments: object, **options: Any) -> Finished:
        """A command from its beginning to its end, which does not wait unless told to."""
        self.start(*arguments, **{"hurried": True, **options})
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command under way; to nobody where there is none."""
        if self._under_way.wait(_PATIENCE) and self.pid > 0:  # 0 would be everybody
            os.kill(self.pid, number)

    def stderr_so_far(self) -> str:
        """What the command under way has said so far."""
        return self._told("stderr").read_text()

    def _told(self, stream: str) -> Path:
        return self.work.with_name(f"{self.work.name}.{self.name}.{stream}")


@dataclass(frozen=True)
class Kill(Effect):
    """The program that calls is killed."""

    program: Orgscan

    def before(self, _cloud: Cloud, _call: Call, /) -> str | Answer | None:
        self.program.send(signal.SIGKILL)
        return None


def scan_of(simulator: Simulator, *more: object, output: str = "run") -> tuple[object, ...]:
    """The arguments of a scan of a simulated organization."""
    return (
        "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
        "--output", output, "--quiet", *more,
    )  # fmt: skip


def resume_of(simulator: Simulator, *more: object, output: str = "run") -> tuple[object, ...]:
    """The arguments that go on with it."""
    return (
        "scan", "--resume", output, "--endpoint-url", simulator.endpoint_url, "--quiet", *more,
    )  # fmt: skip
