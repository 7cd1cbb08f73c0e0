"""Reading accounts in another process: what is sent there, and what comes back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from orgscan import settings as settings_module
from orgscan.aws import Aws
from orgscan.collect import sessions
from orgscan.collect.account import AccountReader
from orgscan.errors import CallerBroken, CallError, UsageError
from orgscan.models import Clock, Coverage, Gap, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from orgscan.models import Account, Caller, Credentials
    from orgscan.settings import Settings

_WORKER_LOST = "WorkerLost"
"""The error code of an account whose reading ended several worker processes."""


@dataclass(frozen=True, slots=True)
class Broken:
    """:class:`orgscan.errors.CallerBroken` as a value, so that it survives pickling."""

    message: str
    code: str
    action: str

    def error(self) -> CallerBroken:
        """The error again."""
        return CallerBroken(self.message, code=self.code, action=self.action)


@dataclass(frozen=True, slots=True)
class ReadingJob:
    """What a worker process needs to read accounts.

    Whole, it goes to processes started here, through multiprocessing's pipe: in memory, and
    past the scheduler. What goes through a scheduler is :meth:`bare`: those workers sign in by
    their own means (environment, profile, role) and know the external id from their own
    environment.
    """

    settings: Settings = field(repr=False)
    caller: Caller
    credentials: Credentials | None = field(default=None, repr=False)
    external_id_used: bool = False
    kinds: tuple[Kind, ...] = tuple(Kind)
    """The evidence the run requires of every account."""

    def bare(self) -> Self:
        """The job without credentials, external id, and the name of a profile of this machine."""
        unshared = {"external_id": None, "profile": None}
        return replace(self, settings=self.settings.model_copy(update=unshared), credentials=None)

    def lost(self, account: Account) -> Outcome:
        """How an account ends that several worker processes did not survive."""
        reason = "the worker processes that read the account died, one after another"
        return Outcome(
            account_id=account.account_id,
            coverage=Coverage.FAILED,
            error_code=_WORKER_LOST,
            reason=reason,
            attempts=1,
            gaps=tuple(Gap(kind=kind, code=_WORKER_LOST, reason=reason) for kind in self.kinds),
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Callable[[Account, int], Awaitable[Outcome | Broken]]]:
        """One set of clients for this process, whatever it reads.

        Raises :class:`orgscan.errors.UsageError` where the worker lacks what it must bring, or
        is somebody else than the caller: it would file its own account under another number.
        """
        settings, clock = self._settings(), Clock()
        async with Aws(settings, clock, self.credentials) as aws:
            try:
                worker = await sessions.identify(aws.sts)
            except CallError as error:
                raise UsageError(f"cannot sign in to AWS: {error}") from None
            if worker.account_id != self.caller.account_id:
                raise UsageError(
                    f"uses account {worker.account_id}, but this command uses "
                    f"{self.caller.account_id}; use credentials of the same account for both"
                )
            reader = AccountReader.of(settings, aws, self.caller, clock, self.kinds)

            async def read(account: Account, workers: int) -> Outcome | Broken:
                aws.share(workers)
                try:
                    return replace(await reader.read(account), calls=aws.counted())
                except CallerBroken as error:
                    return Broken(str(error), error.code, error.action)

            yield read

    def _settings(self) -> Settings:
        if not self.external_id_used or self.settings.external_id is not None:
            return self.settings
        external_id = settings_module.load().external_id
        if external_id is None:
            raise UsageError("has no external ID; set ORGSCAN_EXTERNAL_ID on the workers")
        return self.settings.model_copy(update={"external_id": external_id})
