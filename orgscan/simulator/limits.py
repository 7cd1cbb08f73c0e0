"""AWS's rate limits as token buckets, for measuring what a polite client can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orgscan.simulator.cloud import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orgscan.simulator.cloud import Call


class Limit(NamedTuple):
    """A bucket: so many calls a second, so many at once."""

    rate: float
    burst: float


PUBLISHED: Mapping[str, Limit] = {
    "organizations:ListAccounts": Limit(8, 12),
    "organizations:ListAccountsForParent": Limit(5, 8),
    "organizations:ListOrganizationalUnitsForParent": Limit(5, 8),
    "organizations:ListTagsForResource": Limit(10, 15),
    "organizations:ListRoots": Limit(1, 2),
    "organizations:DescribeOrganization": Limit(1, 2),
    "sts:AssumeRole": Limit(600, 600),
}
"""What AWS documents, each per calling account. IAM's are unpublished: add ``iam`` to taste."""


class Limits:
    """The buckets of one simulator, by account and action, or by service for a bare name."""

    def __init__(self, limits: Mapping[str, Limit], clock: Callable[[], float]) -> None:
        """Every bucket is full at first."""
        self._limits = limits
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, call: Call) -> None:
        """Take a token for the call, or raise what AWS answers where none is left."""
        name = call.name if call.name in self._limits else call.service
        limit = self._limits.get(name)
        if limit is None:
            return
        now = self._clock()
        tokens, filled = self._buckets.get((call.account, name), (limit.burst, now))
        tokens = min(limit.burst, tokens + (now - filled) * limit.rate)
        if tokens >= 1.0:
            self._buckets[call.account, name] = (tokens - 1.0, now)
            return
        self._buckets[call.account, name] = (tokens, now)
        if call.service == "organizations":
            raise ServiceError(400, "TooManyRequestsException", "Too many requests")
        raise ServiceError(400, "Throttling", "Rate exceeded")
