"""A job for a cluster, and the workers that do it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)

_PACKAGES = ("cryptography", "distributed")
"""What the extra brings; looked for without importing it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which workers to use: ``workers`` new processes here, or those of a ``scheduler``."""

    workers: int = 0
    scheduler: str = ""

    def __post_init__(self) -> None:
        """Raises :class:`orgscan.errors.UsageError` for both, neither, or without Dask."""
        if bool(self.scheduler) == bool(self.workers):
            raise UsageError(
                "--workers starts a cluster and --scheduler joins one: give one of the two"
            )
        if "@" in self.scheduler:
            raise UsageError(
                "--scheduler: an address must not hold credentials, which are the workers' own"
            )
        if not all(find_spec(name) for name in _PACKAGES):
            raise UsageError("--workers and --scheduler need Dask: pip install 'orgscan[dask]'")


class Job(Protocol[_Item_contra, _Result_co]):
    """What a worker process needs to do its work; a value that can be pickled.

    Its repr may be logged, and must hold no secret.
    """

    def bare(self) -> Self:
        """The same job without what must not pass through a scheduler."""
        ...

    def open(
        self,
    ) -> AbstractAsyncContextManager[Callable[[_Item_contra, int], Awaitable[_Result_co]]]:
        """Make ready, once in each worker process; yields the work itself.

        The work is given an item and between how many workers the caller's rates are shared.
        Raises :class:`orgscan.errors.OrgscanError` where this worker cannot be used.
        """
        ...

    def lost(self, item: _Item_contra) -> _Result_co:
        """What becomes of an item that took several workers down with it."""
        ...
