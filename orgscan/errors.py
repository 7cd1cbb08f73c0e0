"""Everything orgscan raises, in one tree.

OrgscanError
├── UsageError              exit 2: the user can put it right before anything was read
│   └── SettingsError       a settings file, an environment variable or an option
├── RunError                exit 1: the run as a whole failed
├── RunInterrupted          exit 130 or 143: told to stop; evidence is kept
├── IntegrityError          exit 5: evidence is not what it claims to be
└── CallError               one AWS call failed; becomes a value, never reaches a user as such
    ├── Denied              the caller may not do this
    ├── Absent              the thing asked for does not exist
    ├── Transient           worth another try; raised once the tries are used up
    │   ├── Throttled       AWS asked us to slow down
    │   └── Unreachable     no answer: connection, name resolution, timeout
    ├── Malformed           an answer that cannot be trusted: cut, foreign, looping, too large
    ├── CredentialsExpired  the session the request was signed with has ended
    ├── CallerBroken        our own credentials, clock or certificates: no call can succeed
    └── Refused             any other error AWS names

Foreign exceptions are translated once, in ``orgscan.aws``. What is expected of one account is
turned into a :class:`orgscan.models.Gap`; what is not expected stops the run loudly.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; the numbers are a contract."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    FINDINGS = 3
    COVERAGE_GAPS = 4
    INTEGRITY = 5
    INTERRUPTED = 130
    TERMINATED = 143


class OrgscanError(Exception):
    """Base of everything orgscan raises on purpose; the text is one line fit for a user."""

    exit_code: ExitCode = ExitCode.RUN_FAILED


class UsageError(OrgscanError):
    """Something the user asked for or set up cannot work; the text says what to do."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """A settings file, environment variable or option is wrong."""


class RunError(OrgscanError):
    """The run as a whole failed, for example because the account list could not be read."""


class RunInterrupted(OrgscanError):
    """The run was told to stop before every account was read; the evidence is kept."""

    exit_code = ExitCode.INTERRUPTED


class IntegrityError(OrgscanError):
    """Evidence is not what it claims to be: another account's, altered or cut."""

    exit_code = ExitCode.INTEGRITY


class CallError(OrgscanError):
    """One AWS call failed for good.

    ``code`` is the error code AWS gave, or a word of ours (``Timeout``, ``MalformedAnswer``)
    where AWS gave none; ``request_id`` is empty where no answer arrived.
    """

    def __init__(self, message: str, *, code: str, action: str, request_id: str = "") -> None:
        """Keep the parts apart so that reasons can be grouped by code."""
        super().__init__(message)
        self.code = code
        self.action = action
        self.request_id = request_id


class Denied(CallError):
    """The caller may not perform the action."""


class Absent(CallError):
    """The user, policy or report asked for does not exist."""


class Transient(CallError):
    """Worth another try; raised to callers only once the tries are used up."""


class Throttled(Transient):
    """AWS asked for a slower pace."""


class Unreachable(Transient):
    """No answer arrived: connection refused or reset, name not resolved, deadline passed."""


class Malformed(CallError):
    """An answer that cannot be trusted: truncated, not AWS's, looping or too large."""


class CredentialsExpired(CallError):
    """The session the request was signed with has ended."""


class CallerBroken(CallError):
    """The caller's own credentials, clock or certificates are bad: no call can succeed."""


class Refused(CallError):
    """Any other error AWS names."""
