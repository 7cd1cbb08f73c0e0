"""The SDK, set up once: one client per service for the whole process.

Why one client: building one blocks the event loop for up to 100 ms, and a client per account
costs twelve times the CPU and five times the memory of a shared one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from contextlib import AsyncExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ProfileNotFound

from orgscan.aws.calls import JSON_PAGING, QUERY_PAGING, Operation, ServiceCalls, Traffic
from orgscan.aws.pacing import BucketPace, Pace
from orgscan.aws.signin import CallerKeys, SignInError, quiet
from orgscan.aws.translate import unsignable
from orgscan.aws.transport import BodyBudget, Transport
from orgscan.aws.wire import Keys, UnsignableError, Wire
from orgscan.errors import RunError, UsageError
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from orgscan.models import Clock, Credentials
    from orgscan.settings import Settings

    _Signer = Callable[[], Awaitable[Keys]]

_ORGANIZATIONS_BUCKETS = {
    "DescribeOrganization": (1, 2),
    "ListRoots": (1, 2),
    "ListAccounts": (8, 12),
    "ListAccountsForParent": (5, 8),
    "ListOrganizationalUnitsForParent": (5, 8),
    "ListTagsForResource": (10, 15),
}
"""AWS's published token buckets: starts per second, burst."""
_STS_PER_SECOND = 600
_KMS_PER_SECOND = 10
CLOCK_TOLERANCE_SECONDS = 300
"""How far AWS lets a signed request's time be off; AWS's "Elements of a request signature"."""
AUDIT_SERVICES = ("organizations", "sts", "iam")
_CONNECTIONS = {"organizations": 10, "sts": 50, "iam": 200, "kms": 2}
FALLBACK_REGION = "us-east-1"
"""Where no region is set: the global services have their endpoints there."""
_TALKATIVE = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "urllib3")

_ISOLATED = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "region": (None, None, FALLBACK_REGION, None),
}
"""SDK settings cut off from files and environment: name, variable, default, conversion."""

_signer: ContextVar[_Signer | None] = ContextVar("signer", default=None)
"""Who signs the IAM requests of the current task."""


class Aws:
    """Every way orgscan has to AWS. An async context manager.

    Raises :class:`orgscan.errors.UsageError` on entry where there are no usable credentials.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        credentials: Credentials | None = None,
        *,
        services: tuple[str, ...] = AUDIT_SERVICES,
        region: str | None = None,
    ) -> None:
        """Nothing is read or connected before the context is entered.

        With ``credentials`` given, no AWS profile, file or variable of the machine is looked at.
        Only ``services`` are opened; ``region`` goes before the settings'.
        """
        self._services = services
        self._region = region
        self._settings = settings
        self._given = credentials
        self._clock = clock
        self._stack = AsyncExitStack()
        self._bodies = BodyBudget()
        self._clients: dict[str, Any] = {}
        self._transports: dict[str, Transport] = {}
        self._slots = {name: asyncio.Semaphore(count) for name, count in _CONNECTIONS.items()}
        self._traffic = {name: Traffic() for name in services}
        self._caller: CallerKeys | None = None
        self._sts_pace = Pace(_STS_PER_SECOND, 1.0, clock)

    async def __aenter__(self) -> Self:
        hush()
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        with usable_sign_in():
            core = self._core()
            core.get_component("response_parser_factory").set_parser_defaults(
                timestamp_parser=_parse_time
            )
            # Endpoint variables and profile entries could lead anywhere; also for the clients
            # that credential providers build for themselves.
            core.set_config_variable("ignore_configured_endpoint_urls", True)  # noqa: FBT003
            region = self._chosen_region(core)
            # The SDK needs one to sign in through STS.
            core.set_config_variable("region", region or FALLBACK_REGION)
            self._caller = CallerKeys(
                core, self._settings.call_timeout_seconds, given=self._given is not None
            )
            self._stack.push_async_callback(self._caller.close)
            if not await self._caller.find():
                raise no_credentials()
            for name in self._services:
                self._clients[name] = await self._client(core, name, region)
        self._check_models()

    def _check_models(self) -> None:
        if "organizations" not in self._clients:
            return
        account = self._clients["organizations"].meta.service_model.shape_for("Account")
        if "State" not in account.members:
            raise RunError("the installed botocore does not know Account.State; upgrade aioboto3")

    def _core(self) -> AioSession:
        if self._given is None:
            return AioSession(profile=self._settings.profile)
        core = AioSession(session_vars=_ISOLATED)
        given = self._given
        core.set_credentials(given.access_key, given.secret_key, given.token or None)
        return core

    def _chosen_region(self, core: AioSession) -> str | None:
        region = self._region or self._settings.region or core.get_config_variable("region")
        if region and region != region.strip():  # the SDK lets a line break pass
            raise ValueError(f"{region!r} is not a region")
        return str(region) if region else None

    async def _client(self, core: AioSession, name: str, region: str | None) -> Any:
        transport = self._transports[name] = await self._stack.enter_async_context(
            Transport(
                connections=_CONNECTIONS[name],
                connect_timeout=min(10.0, self._settings.call_timeout_seconds),
                ca_bundle=core.get_config_variable("ca_bundle"),
                budget=self._bodies,
            )
        )
        client = await self._stack.enter_async_context(
            aioboto3.Session(botocore_session=core).client(
                name,
                region_name=region or FALLBACK_REGION,
                endpoint_url=self._settings.endpoint_url,
                config=AioConfig(
                    # Retries are ours: the SDK's quota would be shared by all accounts.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    parameter_validation=False,
                    # The SDK would build its own anew for every request, at a tenth of the cost.
                    user_agent=f"orgscan/{__version__}",
                    ignore_configured_endpoint_urls=True,
                ),
            )
        )
        protocol = client.meta.service_model.resolved_protocol
        wire = Wire(
            transport,
            core.get_component("response_parser_factory").create_parser(protocol),
            _keys_of_task if name == "iam" else self._own_keys,
        )
        client.meta.events.register("before-call", wire.answer)
        return client

    async def _own_keys(self) -> Keys:
        """The caller's keys, renewed before they expire."""
        if self._caller is None:
            raise RuntimeError("an AWS client was used outside its context manager")
        return await self._caller.current()

    @cached_property
    def organizations(self) -> ServiceCalls:
        """AWS Organizations as the caller, paced by AWS's published buckets."""
        paces = {
            action: BucketPace(rate, burst, self._clock)
            for action, (rate, burst) in _ORGANIZATIONS_BUCKETS.items()
        }
        return self._door("organizations", paces.__getitem__)

    @cached_property
    def sts(self) -> ServiceCalls:
        """AWS STS as the caller."""
        return self._door("sts", lambda _action: self._sts_pace)

    @property
    def seconds_ahead(self) -> float | None:
        """How far AWS's clock was ahead of this machine's at the latest answer of STS.

        Negative where it was behind. Whole seconds are all an answer's Date tells. None where no
        answer came, or none with a readable Date.
        """
        dated = self._transports["sts"].dated
        if dated is None:
            return None
        text, here = dated
        try:
            there = parsedate_to_datetime(text)
        except ValueError:
            return None
        there = there if there.tzinfo else there.replace(tzinfo=UTC)
        # A Date is cut to the second: half a second more is the best guess.
        return (there - here).total_seconds() + 0.5

    def counted(self) -> dict[str, dict[str, int]]:
        """By service, what was sent since this was last asked."""
        counts = {name: asdict(traffic) for name, traffic in self._traffic.items() if traffic.calls}
        for traffic in self._traffic.values():
            traffic.calls = traffic.retries = traffic.throttles = 0
        return counts

    def share(self, processes: int) -> None:
        """Be content with one of so many equal parts of what AWS grants the caller on STS."""
        self._sts_pace.cap(max(1, _STS_PER_SECOND // processes))

    @property
    def kms(self) -> ServiceCalls:
        """AWS KMS as the caller; only where it is among the services opened."""
        pace = Pace(_KMS_PER_SECOND, 1.0, self._clock)
        return self._door("kms", lambda _action: pace)

    def own_account(self) -> ServiceCalls:
        """IAM of the caller's own account, signed with the caller's credentials."""
        pace = self._iam_pace()
        return self._door("iam", lambda _action: pace, signed=lambda: _signing(self._own_keys))

    async def member_account(self, assume: Callable[[], Awaitable[Credentials]]) -> ServiceCalls:
        """IAM of a member account, signed with what ``assume`` returns.

        ``assume`` is called now, and once more if the session ends before the work does. Its
        errors are passed on.
        """
        session = _MemberSession(assume)
        await session.renew(None)
        pace = self._iam_pace()
        return self._door(
            "iam",
            lambda _action: pace,
            signed=lambda: _signing(session.signer),
            renew=session.renew,
        )

    def _iam_pace(self) -> Pace:
        return Pace(self._settings.iam_requests_per_second, 1.0, self._clock)

    def _door(self, service: str, pace: Callable[[str], Pace], **identity: Any) -> ServiceCalls:
        client = self._clients[service]

        def operation(action: str) -> Operation:
            method: Operation = getattr(client, xform_name(action))
            return method

        return ServiceCalls(
            service=service,
            operation=operation,
            pace=pace,
            paging=JSON_PAGING if service == "organizations" else QUERY_PAGING,
            slots=self._slots[service],
            timeout=self._settings.call_timeout_seconds,
            clock=self._clock,
            traffic=self._traffic[service],
            **{"signed": nullcontext, **identity},
        )


class _MemberSession:
    """The current credentials of one member account, renewed at most by one task at a time."""

    def __init__(self, assume: Callable[[], Awaitable[Credentials]]) -> None:
        self._assume = assume
        self._lock = asyncio.Lock()
        self.signer: _Signer | None = None

    async def renew(self, expired: object) -> None:
        async with self._lock:
            # Many tasks see the same expiry, some of them long after the first; the first
            # one's new session serves them all.
            if self.signer is expired:
                credentials = await self._assume()
                self.signer = _always(
                    Keys(credentials.access_key, credentials.secret_key, credentials.token)
                )


def _always(keys: Keys) -> _Signer:
    async def signer() -> Keys:
        return keys

    return signer


@contextmanager
def _signing(signer: _Signer | None) -> Iterator[object]:
    token = _signer.set(signer)
    try:
        yield signer
    finally:
        _signer.reset(token)


async def _keys_of_task() -> Keys:
    """The keys of the account the current task works on."""
    signer = _signer.get()
    if signer is None:
        # Without this the client would sign with the caller's credentials, and the caller's
        # own users would be reported under another account's number.
        raise RuntimeError("an IAM request without an account to sign for")
    return await signer()


_is_iso_time = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
).fullmatch
_is_compact_time = re.compile(r"\d{8}T\d{6}Z", re.ASCII).fullmatch
_is_epoch_time = re.compile(r"\d{10}(\.\d+)?", re.ASCII).fullmatch
"""From 2001 to 2286: fewer digits are a year, a day, or half of a time."""
_is_http_time = re.compile(
    r"[A-Z][a-z]{2}, \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (GMT|UTC|[+-]\d{4})", re.ASCII
).fullmatch


def _parse_time(value: Any) -> datetime:
    """Parse a timestamp in one of the forms of AWS's protocols: ISO 8601, HTTP date or epoch.

    The SDK's own parser completes whatever it is given: it reads "2026-11" as some day of that
    month, and a key would be judged by it. Raises ValueError for anything but a date with a time
    to the second, which makes the answer malformed; a time without an offset is UTC.
    """
    if not isinstance(value, str):
        return _of_epoch(value)
    if _is_iso_time(value) or _is_compact_time(value):
        parsed = datetime.fromisoformat(value.upper())
    elif _is_http_time(value):
        parsed = parsedate_to_datetime(value)
    elif _is_epoch_time(value):
        return _of_epoch(float(value))
    else:
        raise ValueError(f"{value!r:.40} is not a full timestamp")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _of_epoch(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError):
        raise ValueError(f"{seconds!r:.40} is not a time") from None


@contextmanager
def usable_sign_in() -> Iterator[None]:
    """Turn what the SDK raises over credentials and settings into one line with a remedy.

    Raises :class:`orgscan.errors.UsageError`.
    """
    try:
        yield
    except SignInError as error:
        raise UsageError(str(error)) from None
    except UnsignableError as error:
        raise UsageError(
            f"the caller's {unsignable(error)}; copy them again and try again"
        ) from None
    except ProfileNotFound as error:
        # It may come from AWS_PROFILE as well as from the settings.
        raise UsageError(
            f"AWS profile {error.kwargs['profile']!r} does not exist; see `aws configure`"
        ) from None
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"AWS settings do not work: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UsageError(
            f"the file of trusted authorities cannot be read ({error.strerror}); "
            "check AWS_CA_BUNDLE and ca_bundle of the AWS profile"
        ) from None


def no_credentials() -> UsageError:
    """The error where no source has any credentials."""
    return UsageError(
        "no AWS credentials found; sign in (`aws sso login`, AWS_PROFILE or --profile) and try "
        "again"
    )


def hush() -> None:
    """Clamp the SDK's loggers: their debug lines hold the secrets of AssumeRole answers."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    quiet()
