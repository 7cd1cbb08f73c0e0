"""The caller's own credentials, for what speaks to AWS without the SDK's clients."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ProfileNotFound

from orgscan.aws.client import FALLBACK_REGION, hush, no_credentials, usage_text
from orgscan.aws.signin import CallerKeys, SignInError
from orgscan.aws.wire import Keys, UnsignableError
from orgscan.errors import UsageError
from orgscan.models import Credentials

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
    try:
        core = AioSession(profile=profile)
        core.set_config_variable("ignore_configured_endpoint_urls", True)  # noqa: FBT003
        region = core.get_config_variable("region")
        core.set_config_variable("region", region or FALLBACK_REGION)
        caller = CallerKeys(core, timeout)
        if not await caller.find():
            raise no_credentials()
        return await caller.current()
    except (SignInError, UnsignableError) as error:
        raise UsageError(usage_text(error)) from None
    except ProfileNotFound as error:
        message = f"AWS profile {error.kwargs['profile']!r} does not exist; see `aws configure`"
        raise UsageError(message) from None
    except (BotoCoreError, ValueError) as error:
        message = f"AWS settings do not work: {' '.join(str(error).split())}"
        raise UsageError(message) from None
