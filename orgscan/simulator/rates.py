"""AWS's rate limits as token buckets, for measuring what a polite client can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orgscan.simulator.call import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orgscan.simulator.call import Call


class Rate(NamedTuple):
    """A token bucket: calls a second, and calls at once."""

    per_second: float
    burst: float


PUBLISHED: Mapping[str, Rate] = {
    "organizations:ListAccounts": Rate(8, 12),
    "organizations:ListAccountsForParent": Rate(5, 8),
    "organizations:ListOrganizationalUnitsForParent": Rate(5, 8),
    "organizations:ListTagsForResource": Rate(10, 15),
    "organizations:ListRoots": Rate(1, 2),
    "organizations:DescribeOrganization": Rate(1, 2),
    "sts:AssumeRole": Rate(600, 600),
}
"""What AWS documents, each per calling account. IAM's are unpublished: add ``iam`` to taste."""


class Buckets:
    """The buckets of one simulator, by account and action, or by service for a bare name."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float]) -> None:
        """Every bucket is full at first."""
        self._rates = rates
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, call: Call) -> None:
        """Take a token for the call, or raise what AWS answers where none is left."""
        name = call.name if call.name in self._rates else call.service
        rate = self._rates.get(name)
        if rate is None:
            return
        now = self._clock()
        tokens, filled = self._buckets.get((call.account, name), (rate.burst, now))
        tokens = min(rate.burst, tokens + (now - filled) * rate.per_second)
        if tokens >= 1.0:
            self._buckets[call.account, name] = (tokens - 1.0, now)
            return
        self._buckets[call.account, name] = (tokens, now)
        if call.service == "organizations":
            raise ServiceError(400, "TooManyRequestsException", "Too many requests")
        raise ServiceError(400, "Throttling", "Rate exceeded")
