"""Progress on standard error: a bar on a terminal, a line every five seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orgscan.log import RunLog, json_line
from orgscan.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

    from orgscan.models import Outcome

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def choose(*, quiet: bool, as_json: bool, verbose: bool) -> Iterator[RunLog]:
    """The observer for this process; whatever it shows is cleared away at the end."""
    if quiet:
        yield RunLog()
    elif as_json or verbose or not sys.stderr.isatty():
        lines = Lines(as_json=as_json)
        with lines.ticking():
            yield lines
    else:
        bar = Bar()
        with bar.progress:
            yield bar


class Lines(RunLog):
    """A line every five seconds; what ends sooner, or goes wrong, needs none.

    Also while nothing happens: a large account takes minutes, and silence looks like a hang.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        seconds: float = _SECONDS_BETWEEN_LINES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``as_json`` writes objects for a log collector instead of text."""
        super().__init__()
        self._as_json = as_json
        self._pause = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._began = self._last = monotonic()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Look at the clock from a thread of its own as long as the context lasts."""
        over = threading.Event()
        thread = threading.Thread(target=self._tick, args=(over,), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _tick(self, over: threading.Event) -> None:
        while not over.wait(self._pause / 5):
            self._maybe()

    def enumerated(self, accounts: int, *, complete: bool) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().enumerated(accounts, complete=complete)
        self._maybe()

    def settled(self, outcome: Outcome) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().settled(outcome)
        self._maybe()

    def phase(self, text: str) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().phase(text)
        self._maybe()

    def _maybe(self) -> None:
        with self._lock:
            if self._monotonic() - self._last >= self._pause:
                self._write()

    def _write(self) -> None:
        self._last = self._monotonic()
        line = json_line("INFO", "progress", self.state) if self._as_json else self._text()
        print(printable(line), file=sys.stderr, flush=True)

    def _text(self) -> str:
        if not self._known:
            return self._phase
        known = f"{self._known}" if self._complete else f"at least {self._known}"
        text = f"{self._phase}: {self._settled} of {known} accounts, {self._gaps} with gaps"
        left = self._known - self._settled
        if self._complete and self._settled and left:
            seconds = (self._last - self._began) / self._settled * left
            text += f", about {seconds:.0f} s left"
        return text


class Bar(RunLog):
    """A progress bar with the time left."""

    def __init__(self) -> None:
        """Drawn on standard error, so that standard output stays the result alone."""
        super().__init__()
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[gaps]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self.progress.add_task("", total=None, gaps="")

    def enumerated(self, accounts: int, *, complete: bool) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().enumerated(accounts, complete=complete)
        # A total that still grows would promise too early an end.
        self.progress.update(self._task, total=accounts if complete else None)

    def settled(self, outcome: Outcome) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().settled(outcome)
        gaps = f"{self._gaps} with gaps" if self._gaps else ""
        self.progress.update(self._task, advance=1, gaps=gaps)

    def phase(self, text: str) -> None:
        """See :class:`orgscan.models.Observer`."""
        super().phase(text)
        self.progress.update(self._task, description=printable(text))
