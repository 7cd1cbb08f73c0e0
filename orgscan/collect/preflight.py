"""The first questions of every run: who are we, and which organization do we belong to?"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orgscan.collect import organization, sessions
from orgscan.errors import CallerBroken, CallError, Denied, RunError, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.aws import Aws
    from orgscan.models import Caller, Organization
    from orgscan.settings import Settings

_REMEDIES = {
    "CertificateNotTrusted": "check the network, set AWS_CA_BUNDLE if you use a private CA,",
    "ClockOff": "set the clock",
    "BadCredentials": "copy them again",
}
"""What to do where signing in again would not help, by error code."""


class CallerUnusable(UsageError):  # noqa: N818 - as those in orgscan.errors
    """No call of the caller's gets anywhere; the text says what to do."""


def caller_refused(error: CallerBroken, settings: Settings) -> CallerUnusable:
    """What to tell a user whose credentials, clock or certificates are bad."""
    where = settings.endpoint_url or "AWS"
    remedy = _REMEDIES.get(error.code, "sign in again")
    return CallerUnusable(f"{where} rejects the caller: {error}; {remedy} and try again")


def require_role(settings: Settings) -> None:
    """Raise :class:`orgscan.errors.UsageError` where the settings name no audit role."""
    if settings.role_name is None:
        raise UsageError(
            "no audit role is set; use --role-name NAME, or role_name in the settings file"
        )


async def ask(aws: Aws, settings: Settings) -> tuple[Caller, Organization]:
    """The first calls; what fails here is the user's to put right, and nothing is lost.

    Raises :class:`orgscan.errors.UsageError` and :class:`orgscan.errors.RunError`.
    """
    return await identify(aws, settings), await describe(aws, settings)


async def identify(aws: Aws, settings: Settings) -> Caller:
    """Who signs the requests. Raises as :func:`ask` does."""
    with explained(settings):
        return await sessions.identify(aws.sts)


async def describe(aws: Aws, settings: Settings) -> Organization:
    """The caller's organization. Raises as :func:`ask` does."""
    with explained(settings):
        return await organization.describe(aws.organizations)


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Say of a call without which no run can begin why it failed, and what to do.

    Raises as :func:`ask` does.
    """
    where = settings.endpoint_url or "AWS"
    try:
        yield
    except Unreachable as error:
        raise CallerUnusable(
            f"cannot reach {where}: {error}; check the network and --endpoint-url"
        ) from None
    except CallerBroken as error:
        raise caller_refused(error, settings) from None
    except Denied as error:
        raise RunError(
            f"the organization cannot be read: {error}; run as the management account or a "
            "delegated administrator of AWS Organizations"
        ) from None
    except CallError as error:
        raise RunError(f"{where} returned an invalid response: {error}") from None
