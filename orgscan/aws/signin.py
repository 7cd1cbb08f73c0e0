"""The caller's own credentials: found within a deadline, renewed in time, and never prompted for.

The SDK finds credentials in a dozen places, and each place fails in its own way: with a prompt, a
traceback in a log, a wait without an end, or the output of somebody's program. Here every failure
becomes one :class:`SignInError` whose text names the source and the remedy. It quotes no output of
a helper program and no answer of a metadata service: both may hold secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import logging
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioCredentialResolver,
    AioProcessProvider,
    AioProfileProviderBuilder,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
    ProfileNotFound,
    ProxyConnectionError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as ConnectionFailedError
from botocore.utils import parse_timestamp

from orgscan.aws.wire import Keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiobotocore.session import AioSession

_MAX_OUTPUT_BYTES = 1_000_000
"""The most a helper program may print; credentials have about 2,000 bytes."""
_MAX_TOKEN_BYTES = 100_000
_PAUSE_SECONDS = 30.0
"""How long keys that are still valid are used before the source is asked for newer ones again."""

_LOGGERS = (
    "aiobotocore.credentials",
    "aiobotocore.tokens",
    "botocore.credentials",
    "botocore.tokens",
)
"""They log a traceback for each failure, with what a helper program printed."""

_SOURCES = {
    "env": "environment variables",
    "assume-role": "role_arn of the AWS profile",
    "assume-role-with-web-identity": "web_identity_token_file",
    "sso": "the AWS SSO session",
    "shared-credentials-file": "the AWS credentials file",
    "custom-process": "credential_process",
    "config-file": "the AWS config file",
    "ec2-credentials-file": "AWS_CREDENTIAL_FILE",
    "boto-config": "the boto config file",
    "container-role": "the container's credentials endpoint",
    "iam-role": "the instance metadata service",
}
"""How a user knows the SDK's sources, by the SDK's name."""


class SignInError(Exception):
    """The caller's credentials cannot be had; the text is one line with the remedy."""

    def __init__(self, message: str, *, code: str = "NoCredentials") -> None:
        """``code`` groups reasons, as :class:`orgscan.errors.CallError` has it."""
        super().__init__(message)
        self.code = code


class CallerKeys:
    """The caller's keys, from wherever the SDK finds them.

    They are used until they expire. A source that fails before that is asked again later, so
    that a passing fault does not end a run whose keys are still good.
    """

    def __init__(self, core: AioSession, timeout: float, *, given: bool = False) -> None:
        """``timeout`` bounds each attempt, in seconds; ``core`` is configured by this.

        ``given`` says that ``core`` has its credentials already and must look nowhere.
        """
        self._core = core
        self._given = given
        self._timeout = timeout
        self._chain: _Chain | None = None
        self._caller: Any = None
        self._keys: Keys | None = None
        self._ask_again = 0.0
        self._asking: asyncio.Task[Keys] | None = None

    async def find(self) -> bool:
        """Look for credentials and fetch the first keys; False where no source has any.

        Raises :class:`SignInError`.
        """
        quiet()
        return await self._asked(self._find) is not None

    async def current(self) -> Keys:
        """Keys that have not expired. Tasks that ask at the same time share one attempt.

        Raises :class:`SignInError`, and :class:`orgscan.aws.wire.UnsignableError`.
        """
        if self._keys is not None and time.monotonic() < self._ask_again and not self._expired():
            return self._keys
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew())
            # A caller whose own deadline passes first must not leave an error unseen.
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """End an attempt that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _renew(self) -> Keys:
        try:
            keys: Keys = await self._asked(self._fetch)
        except SignInError:
            if self._keys is None or self._expired():
                raise
            keys = self._keys
        self._ask_again = time.monotonic() + _PAUSE_SECONDS
        return keys

    def _expired(self) -> bool:
        needed = getattr(self._caller, "refresh_needed", None)
        return bool(needed and needed(refresh_in=0))

    async def _find(self) -> Keys | None:
        if not self._given:
            self._guard()
        self._caller = await self._core.get_credentials()
        if self._caller is None:
            return None
        self._ask_again = time.monotonic() + _PAUSE_SECONDS
        return await self._fetch()

    def _guard(self) -> None:
        # The SDK's own clients ask STS and SSO: once more is enough where one call is at stake.
        self._core.set_default_client_config(
            AioConfig(
                connect_timeout=min(10.0, self._timeout),
                read_timeout=self._timeout,
                retries={"mode": "standard", "total_max_attempts": 2},
            )
        )
        resolver = self._core.get_component("credential_provider")
        self._chain = _Chain(_guarded(self._core, resolver, self._prompt))
        self._core.register_component("credential_provider", self._chain)

    async def _fetch(self) -> Keys:
        frozen = await self._caller.get_frozen_credentials()
        if not all(isinstance(part, str) for part in (frozen.access_key, frozen.secret_key)):
            raise TypeError("neither an access key nor a secret key")
        self._keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
        self._keys.must_fit_a_header()
        return self._keys

    async def _asked(self, work: Callable[[], Any]) -> Any:
        """What ``work`` brings within the deadline, every failure of a source translated."""
        try:
            async with asyncio.timeout(self._timeout) as self._deadline:
                return await work()
        except TimeoutError:
            raise SignInError(
                f"{self._source} did not bring credentials within {self._timeout:g} seconds; "
                "check the network, the proxy and any credential_process",
                code="SignInTimeout",
            ) from None
        except (BotoCoreError, ClientError, OSError) as error:
            raise _told(error, self._source, self._profile) from None
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # The SDK reads what sources answer without checking it first.
            raise _odd(error, self._source) from None

    @property
    def _source(self) -> str:
        return _SOURCES.get(self._chain.source if self._chain else "", "the AWS settings")

    @property
    def _profile(self) -> str:
        name = self._core.instance_variables().get("profile") or os.environ.get("AWS_PROFILE")
        return f" --profile {shlex.quote(name)}" if name else ""

    def _prompt(self, text: str) -> str:
        """Ask a person at the terminal for an MFA code; the time they take is theirs."""
        if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
            raise SignInError(
                "the AWS profile asks for an MFA code, and there is no terminal to enter it; "
                "get a session first (`aws sts get-session-token` or `assume-role`) and use its "
                "credentials",
                code="MfaWithoutTerminal",
            )
        try:
            code = getpass.getpass(text)
        except EOFError:
            raise SignInError(
                "no MFA code was entered; try again", code="MfaWithoutTerminal"
            ) from None
        self._deadline.reschedule(asyncio.get_running_loop().time() + self._timeout)
        return code


def quiet() -> None:
    """Silence the SDK's loggers of failing credentials; what fails is reported once, by us."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class _Chain(AioCredentialResolver):  # type: ignore[misc]
    """The SDK's chain, which remembers the source it asks."""

    source = ""

    async def load_credentials(self) -> Any:
        for provider in self.providers:
            self.source = provider.METHOD
            loaded = await provider.load()
            if loaded is not None:
                return loaded
        return None


def _guarded(core: AioSession, resolver: Any, prompt: Callable[[str], str]) -> list[Any]:
    """The SDK's sources, with ours in place of those that prompt, leak or hang."""
    builder = _Builder(core, cache={}, region_name=None)
    profile = core.get_config_variable("profile") or "default"
    for provider in resolver.providers:
        if provider.METHOD == "assume-role":
            provider._prompter = prompt  # noqa: SLF001 - the SDK offers no other way
            provider._profile_provider_builder = builder  # noqa: SLF001
        elif provider.METHOD == "assume-role-with-web-identity":
            provider._token_loader_cls = _TokenFile  # noqa: SLF001
    return [
        builder.process_provider(profile) if provider.METHOD == "custom-process" else provider
        for provider in resolver.providers
    ]


class _Builder(AioProfileProviderBuilder):  # type: ignore[misc]
    """The sources of one profile, for profiles that others build upon."""

    def process_provider(self, profile: str) -> Any:
        return self._create_process_provider(profile)

    def _create_process_provider(self, profile_name: str) -> Any:
        return _ProcessProvider(profile_name, load_config=lambda: self._session.full_config)

    def _create_web_identity_provider(self, profile_name: str, disable_env_vars: bool) -> Any:  # noqa: FBT001 - the SDK's signature
        provider = super()._create_web_identity_provider(profile_name, disable_env_vars)
        provider._token_loader_cls = _TokenFile  # noqa: SLF001
        return provider


class _TokenFile:
    """Reads a web identity token; called anew for each session, as the file is replaced."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> str:
        source = f"web identity token file {self._path}"
        try:
            # Opening a pipe would wait for somebody to write to it.
            if not stat.S_ISREG(Path(self._path).stat().st_mode):
                raise SignInError(
                    f"{source}: is not a file; check AWS_WEB_IDENTITY_TOKEN_FILE",
                    code="WebIdentityToken",
                )
            with Path(self._path).open("rb") as file:
                token = file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
        except OSError as error:
            raise SignInError(
                f"{source}: cannot be read ({error.strerror}); check the path",
                code="WebIdentityToken",
            ) from None
        except UnicodeDecodeError:
            token = ""
        if not token:
            raise SignInError(
                f"{source}: holds no token; have it written again", code="WebIdentityToken"
            )
        return token


class _ProcessProvider(AioProcessProvider):  # type: ignore[misc]
    """``credential_process``: a helper program that is killed if it does not end."""

    async def _retrieve_credentials_using(self, credential_process: str) -> dict[str, Any]:
        try:
            command = shlex.split(credential_process)
        except ValueError as error:
            raise SignInError(
                f"credential_process is not a command ({error}); check the AWS profile",
                code="CredentialProcess",
            ) from None
        if not command:
            raise SignInError(
                "credential_process is empty; check the AWS profile", code="CredentialProcess"
            )
        return _printed(await _output(command))


async def _output(command: list[str]) -> bytes:
    """What a helper program prints; nothing of it is shown, and it can ask nobody anything.

    Raises :class:`SignInError` where it cannot be started, fails or prints too much.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise SignInError(
            f"credential_process could not be started ({error.strerror}): {command[0]}; check "
            "the AWS profile",
            code="CredentialProcess",
        ) from None
    try:
        printed = await _bounded(process.stdout)
        await process.wait()
    except BaseException:
        # With all it has started: a child of its own may be what hangs.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A child in a session of its own may still hold the pipe: do not wait for its end.
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
        await process.wait()
        raise
    if process.returncode:
        raise SignInError(
            f"credential_process failed (exit code {process.returncode}); run its command to see "
            "why",
            code="CredentialProcess",
        )
    return printed


async def _bounded(stream: asyncio.StreamReader | None) -> bytes:
    printed = b""
    while stream is not None and (chunk := await stream.read(65_536)):
        printed += chunk
        if len(printed) > _MAX_OUTPUT_BYTES:
            raise _no_credentials()
    return printed


def _printed(output: bytes) -> dict[str, Any]:
    """The credentials a helper program printed, checked as AWS documents them."""
    try:
        content = json.loads(output)
    except (ValueError, RecursionError):
        raise _no_credentials() from None
    if not isinstance(content, dict) or content.get("Version") != 1:
        raise _no_credentials()
    texts = {
        name: content.get(name)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId")
    }
    if not all(value is None or isinstance(value, str) for value in texts.values()):
        raise _no_credentials()
    if not texts["AccessKeyId"] or not texts["SecretAccessKey"]:
        raise _no_credentials()
    if (expires := texts["Expiration"]) is not None:
        try:
            aware = parse_timestamp(expires).tzinfo is not None
        except (ValueError, OverflowError):
            aware = False
        if not aware:
            raise _no_credentials()
    return {
        "access_key": texts["AccessKeyId"],
        "secret_key": texts["SecretAccessKey"],
        "token": texts["SessionToken"],
        "expiry_time": expires,
        "account_id": texts["AccountId"],
    }


def _no_credentials() -> SignInError:
    message = (
        "credential_process printed no credentials in the format AWS documents (JSON with "
        "Version 1, AccessKeyId and SecretAccessKey); run its command to see what it prints"
    )
    return SignInError(message, code="CredentialProcess")


def _told(error: BotoCoreError | ClientError | OSError, source: str, profile: str) -> SignInError:
    """What the SDK says of a source, with the remedy; never what the source itself said."""
    if isinstance(error, ClientError):
        return _refused(error, source)
    text = f"AWS settings do not work: {' '.join(str(error).split())}"
    match error:
        case ProfileNotFound():
            name = error.kwargs["profile"]
            text = f"AWS profile {name!r} does not exist; see `aws configure`"
        case SSOError() | TokenRetrievalError():
            text = f"there is no valid AWS SSO session; run `aws sso login{profile}` and try again"
        case RefreshWithMFAUnsupportedError():
            text = "the session of the MFA profile has ended; start again and enter a new MFA code"
        case ConnectionFailedError() | HTTPClientError():
            text = _unreached(error, source)
        case CredentialRetrievalError() if error.kwargs.get("provider") != "container-role":
            pass  # the provider is a word of the profile, and the SDK's text names it
        case CredentialRetrievalError() | MetadataRetrievalError():
            text = f"{source} brought no credentials; check that it is running and permitted"
        case OSError():
            text = (
                f"the file of trusted authorities cannot be read ({error.strerror}); "
                "check AWS_CA_BUNDLE and ca_bundle of the AWS profile"
            )
        case _:
            pass  # settings: the SDK's text names the file, the profile or the setting
    return SignInError(text, code=type(error).__name__)


def _refused(error: ClientError, source: str) -> SignInError:
    answer = error.response.get("Error", {})
    code, said = str(answer.get("Code", "")), " ".join(str(answer.get("Message", "")).split())
    text = (
        f"{source}: AWS refused {error.operation_name} ({code}: {said[:300]}); check the AWS "
        "profile or sign in again"
    )
    return SignInError(text, code=code or "Refused")


def _unreached(error: BotoCoreError, source: str) -> str:
    # Never the proxy's address: it may hold a password.
    if isinstance(error, ProxyConnectionError):
        return f"{source}: the proxy cannot be reached; check HTTPS_PROXY and NO_PROXY"
    where = error.kwargs.get("endpoint_url") or "AWS"
    return f"{source}: {where} cannot be reached; check the network and the proxy"


def _odd(error: Exception, source: str) -> SignInError:
    """What the SDK trips over; its text may quote a secret, so the kind of error must do."""
    if isinstance(error, RuntimeError):
        text = f"{source} brought credentials that have expired already; sign in again"
    elif isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, LookupError)):
        text = f"{source} brought something other than credentials; sign in again"
    else:
        text = f"AWS settings, or the answer of {source}, cannot be used ({type(error).__name__})"
    return SignInError(text, code="NoCredentials")
