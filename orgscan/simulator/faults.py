"""What goes wrong, as data: a fault is which calls it strikes and what becomes of them.

A fault is chosen by service, action, account and user, then by the place of the call in the
row (``nth``), by how often it may strike (``times``) and by chance. Chance is drawn from the
seed, the call and how often that very call was made, so that the same calls fail whatever the
order in which they arrive.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from orgscan.simulator.call import ServiceError
from orgscan.simulator.draw import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orgscan.simulator.call import Call
    from orgscan.simulator.wire import Answer


class State(Protocol):
    """What an effect may change of the simulated AWS."""

    states: dict[str, str]
    """The state of accounts that differs from the world's, by id."""

    def delete_user(self, account_id: str, name: str) -> None:
        """Delete a user of an account."""

    def forget_report(self, account_id: str) -> None:
        """Drop the stored credential report of an account."""

    def expire_sessions(self, account_id: str) -> None:
        """End every session of an account."""

    def expire_callers(self) -> None:
        """End the callers' own credentials."""


class Effect:
    """What becomes of a call. The base lets it pass."""

    def before(self, _cloud: State, _call: Call, /) -> str | Answer | None:
        """Answer in the service's stead: a result, an answer or a :class:`ServiceError`.

        ``call.parameters`` may be replaced; what was recorded stays.
        """
        return None

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Alter the service's answer."""
        return answer


@dataclass(frozen=True)
class Error(Effect):
    """An error in the form of the service's protocol."""

    code: str
    status: int
    message: str = "Simulated."

    def before(self, _cloud: State, _call: Call, /) -> str | Answer | None:
        """Raise it."""
        raise ServiceError(self.status, self.code, self.message)


class Per(Enum):
    """What ``nth`` and ``times`` of a fault count."""

    ALL = "all"
    """The calls the fault matches, of all accounts together."""
    ACCOUNT = "account"
    """Those of each account by itself."""
    USER = "user"
    """Those that name one user of one account, whatever the action."""
    CALL = "call"
    """Repetitions of one call: same account, action and user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which calls are struck, and by what. Empty strings match everything."""

    effect: Effect
    service: str = ""
    action: str = ""
    account: str = ""
    """The account the call is about: for AssumeRole, the role's."""
    user: str = ""
    nth: int | range | None = None
    """Only this call, counted from 1, or those in the range."""
    times: int | None = None
    """Strike at most so often."""
    seconds: float | None = None
    """Strike only so long after the first call that matched."""
    probability: float = 1.0
    seed: int = 0
    per: Per = Per.ALL

    def matches(self, call: Call) -> bool:
        """Whether the call is of the kind the fault strikes."""
        return (
            self.service in {"", call.service}
            and self.action in {"", call.action}
            and self.account in {"", call.target}
            and self.user in {"", call.parameters.get("UserName")}
        )


class Faults:
    """The faults of one simulator, with their counts."""

    def __init__(self, faults: Iterable[Fault], clock: Callable[[], float] = time.time) -> None:
        """Index them by account: a large world may have a fault for every hundredth one."""
        self._clock = clock
        self._began: dict[tuple[object, ...], float] = {}
        self._general: list[tuple[int, Fault]] = []
        self._by_account: dict[str, list[tuple[int, Fault]]] = {}
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._struck: Counter[tuple[object, ...]] = Counter()
        for number, fault in enumerate(faults):
            by_account = self._by_account
            home = by_account.setdefault(fault.account, []) if fault.account else self._general
            home.append((number, fault))

    def striking(self, call: Call) -> list[Effect]:
        """The effects on this call, in the order the faults were given."""
        candidates = self._by_account.get(call.target)
        candidates = sorted(candidates + self._general, key=_place) if candidates else self._general
        return [fault.effect for number, fault in candidates if self._strikes(number, fault, call)]

    def _strikes(self, number: int, fault: Fault, call: Call) -> bool:
        if not fault.matches(call):
            return False
        scope = _scope(fault.per, number, call)
        self._seen[scope] += 1
        count = self._seen[scope]
        if fault.nth is not None:
            nth = range(fault.nth, fault.nth + 1) if isinstance(fault.nth, int) else fault.nth
            if count not in nth:
                return False
        if fault.seconds is not None:
            now = self._clock()
            if now - self._began.setdefault(scope, now) > fault.seconds:
                return False
        if fault.probability < 1.0 and not self._unlucky(number, fault, call):
            return False
        if fault.times is not None and self._struck[scope] >= fault.times:
            return False
        self._struck[scope] += 1
        return True

    def _unlucky(self, number: int, fault: Fault, call: Call) -> bool:
        parts = ("chance", *_scope(Per.CALL, number, call))
        self._seen[parts] += 1
        draw = digest(fault.seed, *parts, self._seen[parts])
        return draw < fault.probability * 2.0**128


def _place(candidate: tuple[int, Fault]) -> int:
    return candidate[0]


def _scope(per: Per, number: int, call: Call) -> tuple[object, ...]:
    if per is Per.ALL:
        return (number,)
    if per is Per.ACCOUNT:
        return (number, call.target)
    if per is Per.USER:
        return (number, call.target, call.parameters.get("UserName"))
    return (number, call.target, call.action, call.parameters.get("UserName"))


REGION_DISABLED = Error(
    "RegionDisabledException", 403, "STS is not activated in the requested region for this account."
)
