"""Logging: how a run goes, as records of the standard library's logger ``orgscan``.

A command writes them to standard error, as text or as one JSON object a line; a notebook that
configures logging sees them as well. No record holds a secret, at any level.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orgscan.models import Observer
from orgscan.text import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orgscan.models import Outcome, RunInfo

LOGGER = logging.getLogger("orgscan")
LOGGER.addHandler(logging.NullHandler())  # silent unless a command or a notebook asks


class RunLog(Observer):
    """Logs the start of a run, the end of every account, and the finish."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._run_id: str | None = None
        self._phase = ""
        self._known, self._complete, self._settled, self._gaps = 0, False, 0, 0
        self._coverage: Counter[str] = Counter()
        self._calls: dict[str, Counter[str]] = {}
        self._seconds: dict[str, float] = {}
        self.totals: Mapping[str, Any] = {}
        """What the finished run counts, for the last line."""

    @property
    def state(self) -> dict[str, Any]:
        """How far the run is, which every line says."""
        return {
            "run_id": self._run_id,
            "phase": self._phase,
            "accounts": self._known,
            "accounts_final": self._complete,
            "settled": self._settled,
            "gaps": self._gaps,
        }

    def started(self, info: RunInfo) -> None:
        """See :class:`orgscan.models.Observer`."""
        if self._run_id == info.run_id:
            return  # collected a moment ago
        self._run_id = info.run_id
        self._info(
            "start",
            f"run {info.run_id} of organization {info.organization.id}",
            organization_id=info.organization.id,
            as_of=info.as_of.isoformat(),
            version=info.version,
        )

    def enumerated(self, accounts: int, *, complete: bool) -> None:
        """See :class:`orgscan.models.Observer`."""
        self._known, self._complete = accounts, complete

    def settled(self, outcome: Outcome) -> None:
        """See :class:`orgscan.models.Observer`."""
        self._settled += 1
        self._gaps += outcome.coverage.is_gap
        self._coverage[outcome.coverage.value] += 1
        seconds = outcome.duration_seconds
        code = f", {outcome.error_code}" if outcome.error_code else ""
        self._info(
            "account",
            f"account {outcome.account_id}: {outcome.coverage}{code}, {seconds or 0:.1f} s",
            account_id=outcome.account_id,
            coverage=outcome.coverage.value,
            code=outcome.error_code,
            seconds=seconds,
        )

    def phase(self, text: str) -> None:
        """See :class:`orgscan.models.Observer`."""
        self._phase = text
        LOGGER.debug("%s", text, extra={"event": "phase"})

    def called(self, calls: Mapping[str, Mapping[str, int]]) -> None:
        """See :class:`orgscan.models.Observer`."""
        for service, counts in calls.items():
            self._calls.setdefault(service, Counter()).update(counts)

    def took(self, stage: str, seconds: float) -> None:
        """See :class:`orgscan.models.Observer`."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def finish(self, exit_code: int) -> None:
        """The last line: totals, calls by service, seconds by stage, and the exit code."""
        self._info(
            "finish",
            f"exit code {exit_code}; {self._settled} accounts read, {self._gaps} with gaps",
            exit_code=exit_code,
            coverage=dict(self._coverage),
            totals=dict(self.totals),
            calls={service: dict(counts) for service, counts in self._calls.items()},
            seconds={stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
        )

    @staticmethod
    def _info(event: str, message: str, **fields: Any) -> None:
        LOGGER.info("%s", message, extra={"event": event, "fields": fields})


def json_line(level: str, event: str, fields: Mapping[str, Any]) -> str:
    """One line for a log collector, safe on a terminal."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return printable(json.dumps({"time": now, "level": level, "event": event, **fields}))


class _Stderr(logging.Handler):
    """Writes to what is standard error at the time, ``orgscan: `` and the text, or JSON."""

    as_json = False
    run: RunLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        message = one_line(record.getMessage())
        line = f"orgscan: {message}"
        if self.as_json:
            state = (self.run or RunLog()).state
            fields = {**state, "message": message, **getattr(record, "fields", {})}
            line = json_line(record.levelname, getattr(record, "event", "log"), fields)
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - that is what it is for


_stderr = _Stderr()


@contextmanager
def to_stderr() -> Iterator[None]:
    """Write errors to standard error as long as the context lasts; :func:`configure` for more."""
    before = LOGGER.level
    LOGGER.addHandler(_stderr)
    configure()
    try:
        yield
    finally:
        LOGGER.removeHandler(_stderr)
        LOGGER.setLevel(before)
        _stderr.as_json, _stderr.run = False, None


def configure(
    *,
    as_json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    run: RunLog | None = None,
) -> None:
    """Choose the form of lines on standard error, and which of them there are.

    Errors always; in JSON also start, accounts and finish, and retries and phases if ``verbose``.
    Text has these only if ``verbose``, since progress is shown otherwise.
    """
    _stderr.as_json, _stderr.run = as_json, run
    LOGGER.setLevel(
        logging.ERROR
        if quiet
        else logging.DEBUG
        if verbose
        else logging.INFO
        if as_json
        else logging.ERROR
    )


def finish(exit_code: int) -> None:
    """Log the finish of the run that :func:`configure` named, or in JSON of none."""
    if _stderr.run is not None or _stderr.as_json:
        (_stderr.run or RunLog()).finish(exit_code)
