"""The caller's own credentials, for what speaks to AWS without the SDK's clients."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiobotocore.session import AioSession

from orgscan.aws.client import FALLBACK_REGION, hush, no_credentials, usable_sign_in
from orgscan.aws.signin import CallerKeys
from orgscan.models import Credentials

if TYPE_CHECKING:
    from orgscan.aws.wire import Keys

_TIMEOUT_SECONDS = 20.0
"""The default of ``call_timeout_seconds``, for commands without settings."""


def caller_credentials(profile: str | None = None, *, timeout: float | None = None) -> Credentials:
    """Where the AWS command line finds them: profile, environment, SSO, instance.

    Raises :class:`orgscan.errors.UsageError` where there are none that work, or none within
    ``timeout`` seconds.
    """
    hush()
    # In a thread: a notebook that asks has an event loop running in this one.
    with ThreadPoolExecutor(1, thread_name_prefix="sign-in") as thread:
        keys = thread.submit(asyncio.run, _keys(profile, timeout or _TIMEOUT_SECONDS)).result()
    return Credentials(keys.access_key, keys.secret_key, keys.token or "")


async def _keys(profile: str | None, timeout: float) -> Keys:  # noqa: ASYNC109 - it is handed on
    with usable_sign_in():
        core = AioSession(profile=profile)
        core.set_config_variable("ignore_configured_endpoint_urls", True)  # noqa: FBT003
        region = core.get_config_variable("region")
        core.set_config_variable("region", region or FALLBACK_REGION)
        caller = CallerKeys(core, timeout)
        if not await caller.find():
            raise no_credentials()
        return await caller.current()
