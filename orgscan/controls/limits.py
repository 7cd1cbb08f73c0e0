"""Which limit holds for which account, and where it comes from.

The nearest wins: account, account tag, deepest organizational unit, organization (the
``[thresholds]`` of the settings), framework, default. A framework's requirements are another
matter: whatever the organization sets, they are judged by the framework's own thresholds
(``binding``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from orgscan.controls.masks import DAY
from orgscan.controls.sentences import Figures
from orgscan.models import is_in_unit
from orgscan.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.thresholds import ThresholdOverride

    Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Limit:
    """A value and where it comes from, in the words of the threshold column."""

    value: Any
    source: str


class Limits:
    """The one way predicates read thresholds: by name and for a frame.

    Where no override touches a threshold, all rows have the same: :meth:`of` answers with a
    scalar. Elsewhere with an array aligned with the frame; every predicate takes either.
    """

    def __init__(
        self,
        thresholds: Thresholds,
        *,
        framework: Framework | None = None,
        overrides: Sequence[ThresholdOverride] = (),
        accounts: pd.DataFrame | None = None,
        assumed: Collection[ThresholdOverride] = (),
        binding: bool = False,
    ) -> None:
        """Settle every threshold for every account.

        Args:
            thresholds: The organization's; what is not set there is the framework's, or the
                default.
            framework: The framework to judge by.
            overrides: For accounts, tags and OUs; of two tags of one account the first holds.
            accounts: The accounts in scope in the order that ``account`` columns count by:
                account_id, ou_path, tags. Needed only with ``overrides``.
            assumed: Overrides taken to hold also where nobody can tell whether they do.
            binding: Whether the thresholds the framework states hold whatever is set.
        """
        limits = general(thresholds, framework, binding=binding)
        self._choices = {name: [limit] for name, limit in limits.items()}
        self._bound = frozenset(framework.thresholds if framework and binding else ())
        self._chosen: dict[str, NDArray[np.int32]] = {}
        if overrides and accounts is not None:
            self._apply(overrides, Places(accounts), assumed)

    def _apply(
        self,
        overrides: Sequence[ThresholdOverride],
        places: Places,
        assumed: Collection[ThresholdOverride],
    ) -> None:
        for item in sorted(overrides, key=_distance):
            rows = places.rows(item)
            if item in assumed:
                rows = np.concatenate([rows, places.untold(item)])
            if not len(rows):
                continue
            for name, value in item.given.items():
                if name in self._bound:
                    continue
                chosen = self._chosen.setdefault(name, np.zeros(places.size, dtype=np.int32))
                chosen[rows[chosen[rows] == 0]] = len(self._choices[name])
                self._choices[name].append(Limit(value, item.label))

    def of(self, name: str, frame: pd.DataFrame) -> Any:
        """The threshold ``name`` for the rows of ``frame``: a scalar or an aligned array."""
        choices = self._choices[name]
        if name not in self._chosen:
            return choices[0].value
        return np.array([limit.value for limit in choices])[self.numbers(name, frame)]

    def numbers(self, name: str, frame: pd.DataFrame) -> Any:
        """Numbers of the rows' limits for :meth:`source`: 0, or an array aligned with ``frame``.

        ``frame`` is that of the accounts in scope, or has its positions in ``account``.
        """
        chosen = self._chosen.get(name)
        if chosen is None:
            return 0
        return chosen[frame["account"].to_numpy()] if "account" in frame else chosen

    def source(self, name: str, number: int) -> str:
        """Where the limit of that number comes from: ``default``, ``OU Root/Sandbox``."""
        return self._choices[name][number].source

    def micros(self, name: str, frame: pd.DataFrame, unit: int = DAY) -> Any:
        """The threshold as whole microseconds, given its ``unit`` in microseconds."""
        return np.rint(np.asarray(self.of(name, frame), dtype=np.float64) * unit).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Possibility:
    """Limits as they would be if overrides held of which nobody can tell whether they do."""

    limits: Limits
    overrides: tuple[ThresholdOverride, ...]
    accounts: pd.DataFrame

    def touches(self, names: Iterable[str]) -> bool:
        """Whether it sets any of these thresholds."""
        return any(name in item.given for item in self.overrides for name in names)

    def reason(self, frame: pd.DataFrame) -> Figures:
        """Why the limit of each row is not known: what of its account could not be read."""
        scopes = {item.scope[0] for item in self.overrides}
        columns = (("ou", "ou_path", "organizational unit"), ("tag", "tags", "tags"))
        asked = [(column, word) for scope, column, word in columns if scope in scopes]

        def text(*unread: bool) -> str:
            words = [word for (_, word), missing in zip(asked, unread, strict=True) if missing]
            return f"the limit is not known: the account's {' or '.join(words)} could not be read"

        missing = (_unread(self.accounts[column]) for column, _ in asked)
        if "account" in frame:
            missing = (flags[frame["account"].to_numpy()] for flags in missing)
        return Figures(text, *missing)


def _unread(column: pd.Series) -> NDArray[np.bool_]:
    return np.asarray(column.fillna("") == "", dtype=np.bool_)


def possibilities(
    thresholds: Thresholds,
    *,
    framework: Framework | None,
    overrides: Sequence[ThresholdOverride],
    accounts: pd.DataFrame,
    binding: bool = False,
) -> list[Possibility]:
    """What else the limits may be, where the OU or the tags of accounts could not be read.

    Empty where all was read. Takes what :class:`Limits` takes. Each override that may hold is
    taken to hold alone, and all of them together; of those that set the same, one is enough.
    """
    places = Places(accounts)
    may_hold = {
        (item.scope[0], json.dumps(item.given, sort_keys=True)): item
        for item in overrides
        if len(places.untold(item))
    }
    items = tuple(may_hold.values())
    sets = [(item,) for item in items] + ([items] if len(items) > 1 else [])
    return [
        Possibility(
            Limits(
                thresholds,
                framework=framework,
                overrides=overrides,
                accounts=accounts,
                assumed=assumed,
                binding=binding,
            ),
            assumed,
            accounts,
        )
        for assumed in sets
    ]


def general(
    thresholds: Thresholds, framework: Framework | None = None, *, binding: bool = False
) -> dict[str, Limit]:
    """The limits of all accounts no override touches: the settings', framework's or default.

    With ``binding``, those the framework states come before the settings'.
    """
    default = {
        name: Limit(field.default, "default") for name, field in Thresholds.model_fields.items()
    }
    given = {name: Limit(value, "settings") for name, value in thresholds.given.items()}
    stated = (
        {name: Limit(value, framework.key) for name, value in framework.thresholds.items()}
        if framework is not None
        else {}
    )
    return default | (given | stated if binding else stated | given)


def overridden(framework: Framework, overrides: Iterable[ThresholdOverride]) -> set[str]:
    """The thresholds the framework states that the organization overrides somewhere."""
    return {name for item in overrides for name in item.given if name in framework.thresholds}


def _distance(item: ThresholdOverride) -> tuple[int, int]:
    """Rising from the nearest to the furthest; tags stay in the order they are named in."""
    scope, value = item.scope
    return ("account", "tag", "ou").index(scope), -value.count("/") if scope == "ou" else 0


class Places:
    """Where accounts are: found by id, organizational unit and tag."""

    def __init__(self, accounts: pd.DataFrame) -> None:
        """Take a frame with account_id, ou_path and tags (JSON objects)."""
        self._accounts = accounts
        self.size = len(accounts)

    def rows(self, item: ThresholdOverride) -> Rows:
        """The positions of the accounts that an override is for."""
        scope, value = item.scope
        if scope == "account":
            return self._rows(self._ids.get(value))
        if scope == "tag":
            return self._rows(self._tags.get(value))
        inside = [rows for path, rows in self._paths.items() if is_in_unit(path, value)]
        return np.concatenate(inside) if inside else self._rows(None)

    def untold(self, item: ThresholdOverride) -> Rows:
        """The positions of the accounts of which nobody can tell whether it is for them."""
        scope, _ = item.scope
        if scope == "tag":
            return self._rows(np.flatnonzero(_unread(self._accounts["tags"])))
        return self._rows(self._paths.get("") if scope == "ou" else None)

    @staticmethod
    def _rows(found: Any) -> Rows:
        return np.asarray([] if found is None else found, dtype=np.int64)

    @cached_property
    def _ids(self) -> dict[str, list[int]]:
        return {name: [row] for row, name in enumerate(self._accounts["account_id"])}

    @cached_property
    def _paths(self) -> dict[str, Rows]:
        paths = self._accounts["ou_path"].fillna("").astype("object").reset_index(drop=True)
        return {str(path): np.asarray(rows) for path, rows in paths.groupby(paths).indices.items()}

    @cached_property
    def _tags(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, tags in enumerate(self._accounts["tags"]):
            for name, value in (json.loads(tags) if isinstance(tags, str) else {}).items():
                found.setdefault(f"{name}={value}", []).append(row)
        return found


def limits_unread(overrides: Sequence[ThresholdOverride], accounts: pd.DataFrame) -> int:
    """How many of the accounts have limits nobody can tell: their OU or tags were not read."""
    places = Places(accounts)
    return len({row for item in overrides for row in places.untold(item).tolist()})


def override_notes(overrides: Sequence[ThresholdOverride], accounts: pd.DataFrame) -> Iterator[str]:
    """Sentences on overrides that do nothing, or that contradict each other.

    ``accounts`` is the accounts table, with those not judged.
    """
    if not overrides:
        return
    places = Places(accounts)
    untold: dict[str, int] = {}
    for item in overrides:
        if unread := len(places.untold(item)):
            untold[item.scope[0]] = unread
        elif not len(places.rows(item)):
            yield f"The limits set for {item.label} apply to no account of the organization."
    for scope, what, limits in (
        ("ou", "organizational unit", "limits set for organizational units"),
        ("tag", "tags", "limits set for tags"),
    ):
        if scope in untold:
            yield (
                f"The {what} of {untold[scope]} accounts could not be read: there, verdicts that "
                f"would be others with {limits} are UNKNOWN."
            )
    yield from _contradictions([item for item in overrides if item.tag is not None], places)


def _contradictions(tagged: Sequence[ThresholdOverride], places: Places) -> Iterator[str]:
    """Each pair of tags that some account has both of, and that set a limit differently."""
    holding: dict[str, NDArray[np.int64]] = {}
    for place, item in enumerate(tagged):
        rows = places.rows(item)
        for name, value in item.given.items():
            holder = holding.setdefault(name, np.full(places.size, -1, dtype=np.int64))
            earlier, sizes = np.unique(holder[rows], return_counts=True)
            for number, shared in zip(earlier.tolist(), sizes.tolist(), strict=True):
                first = tagged[number]
                if number >= 0 and first.given[name] != value:
                    yield (
                        f"{shared} accounts have both {first.label} and {item.label}, which "
                        f"set {name} differently: {first.label} holds, being named first."
                    )
            holder[rows[holder[rows] < 0]] = place
