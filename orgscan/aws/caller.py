"""The caller's own credentials, for what speaks to AWS without the SDK's clients."""

from __future__ import annotations

import botocore.session
from botocore.exceptions import BotoCoreError, ProfileNotFound

from orgscan.aws.client import _hush
from orgscan.errors import UsageError
from orgscan.models import Credentials


def caller_credentials(profile: str | None = None) -> Credentials:
    """Where the AWS command line finds them: profile, environment, SSO, instance.

    Raises :class:`orgscan.errors.UsageError` where there are none that work.
    """
    _hush()
    try:
        session = botocore.session.Session(profile=profile)
        session.set_config_variable("ignore_configured_endpoint_urls", True)  # noqa: FBT003
        found = session.get_credentials()
        frozen = found and found.get_frozen_credentials()
    except ProfileNotFound as error:
        message = f"AWS profile {error.kwargs['profile']!r} does not exist; see `aws configure`"
        raise UsageError(message) from None
    except (BotoCoreError, ValueError) as error:
        message = f"AWS settings do not work: {' '.join(str(error).split())}"
        raise UsageError(message) from None
    if not frozen:
        message = "no AWS credentials found; sign in (`aws sso login`, AWS_PROFILE or --profile)"
        raise UsageError(message)
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")
