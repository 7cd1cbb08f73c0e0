"""What evidence is judged by: limits and frameworks, from settings or from the run itself."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan import controls
from orgscan.errors import UsageError
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.settings import DEFAULT_FRAMEWORK, ThresholdOverride, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orgscan.models import Assessment, RunInfo
    from orgscan.settings import Settings

_OVERRIDES_TOLD = 25
"""On the cover; the manifest's settings hold them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Limits, and the frameworks to hold the findings against.

    The first framework gives the limits that nobody set.
    """

    thresholds: Thresholds
    overrides: tuple[ThresholdOverride, ...]
    frameworks: tuple[controls.Framework, ...]

    @classmethod
    def of_settings(cls, settings: Settings) -> Criteria:
        """What the settings ask for.

        Raises :class:`orgscan.errors.UsageError` for a framework that is not known, or a file
        that cannot be used.
        """
        known = known_frameworks(settings.framework_files)
        return cls(
            thresholds=settings.thresholds,
            overrides=settings.threshold_overrides,
            frameworks=select(settings.frameworks, known),
        )

    @classmethod
    def of_run(
        cls,
        info: RunInfo,
        *,
        settings: Settings | None = None,
        frameworks: Sequence[str] = (),
        framework_files: Sequence[str | Path] = (),
    ) -> Criteria:
        """The run's own, or those of ``settings``; ``frameworks`` are selected in place of either.

        Raises as :meth:`of_settings` does, and :class:`orgscan.errors.UsageError` where limits
        are set for tags and the run has none.
        """
        own = {
            key: controls.from_definition(key, definition)
            for key, definition in info.frameworks.items()
        }
        stored = info.settings
        files = (*(settings.framework_files if settings else ()), *framework_files)
        # The run's own stays what it was, even where a newer orgscan knows one of that key.
        known = {**known_frameworks(()), **own, **controls.read_files(map(Path, files))}
        keys = frameworks or (settings.frameworks if settings else stored.get("frameworks"))
        overrides = (
            settings.threshold_overrides
            if settings
            else tuple(ThresholdOverride(**item) for item in stored.get("threshold_overrides", ()))
        )
        if not stored.get("account_tags") and any(item.tag is not None for item in overrides):
            message = (
                "threshold_overrides: the run was made without account tags; leave out the tag, "
                "or scan anew with account_tags = true"
            )
            raise UsageError(message)
        return cls(
            thresholds=settings.thresholds if settings else Thresholds(**info.thresholds),
            overrides=overrides,
            frameworks=select(keys or (DEFAULT_FRAMEWORK,), known),
        )

    @property
    def definitions(self) -> dict[str, Any]:
        """The user's own among the frameworks, for the run to keep."""
        shipped = controls.shipped()
        return {one.key: one.definition() for one in self.frameworks if one.key not in shipped}

    @property
    def effective(self) -> Thresholds:
        """The limits of accounts that no override touches, every one of them set."""
        limits = controls.general(self.thresholds, self.frameworks[0])
        return Thresholds(**{name: limit.value for name, limit in limits.items()})

    def told(self) -> dict[str, str]:
        """The limits for a reader: name to value and source, overrides below."""
        limits = controls.general(self.thresholds, self.frameworks[0])
        told = {
            _words(name): f"{plain(limit.value)} ({limit.source})" for name, limit in limits.items()
        }
        for item in self.overrides[:_OVERRIDES_TOLD]:
            for name, value in item.given.items():
                told[f"{_words(name)}, {item.label}"] = plain(value)
        if (more := len(self.overrides) - _OVERRIDES_TOLD) > 0:
            told[f"and {more} more overrides"] = "each finding names the limit it was judged by"
        return told

    def judged_again(self) -> dict[str, tuple[controls.Control, ...]]:
        """The controls that a framework judges by other limits than the findings, by its key."""
        again = {
            one.key: controls.affected(one, self.frameworks[0], self.thresholds, self.overrides)
            for one in self.frameworks
        }
        return {key: concerned for key, concerned in again.items() if concerned}

    def assess(
        self,
        tally: controls.Tally,
        again: Mapping[str, controls.Tally],
        *,
        whole: bool,
        scope: str,
    ) -> tuple[Assessment, ...]:
        """Hold the findings against each framework.

        ``tally`` counts those of the organization's limits, ``again`` by framework those of the
        controls in :meth:`judged_again`, judged by the framework's own limits.
        """
        names = {*self.thresholds.given, *(name for item in self.overrides for name in item.given)}
        return tuple(
            controls.assess(
                one,
                tally,
                again.get(one.key),
                whole=whole,
                scope=scope,
                organization_sets=names,
            )
            for one in self.frameworks
        )


def check_criteria(
    run: Path, *, frameworks: Sequence[str], framework_files: Sequence[str | Path]
) -> None:
    """Raise what :func:`orgscan.pipeline.render.render` would raise for them, before the work."""
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        Criteria.of_run(store.info, frameworks=frameworks, framework_files=framework_files)


def known_frameworks(files: Sequence[str | Path]) -> Mapping[str, controls.Framework]:
    """Those that come with orgscan and those of ``files``, by key.

    Raises :class:`orgscan.errors.SettingsError` naming file, place and remedy.
    """
    return {**controls.shipped(), **controls.read_files(map(Path, files))}


def select(
    keys: Sequence[str], known: Mapping[str, controls.Framework]
) -> tuple[controls.Framework, ...]:
    """The frameworks of those keys, each once.

    Raises :class:`orgscan.errors.UsageError` for one that is not known.
    """
    for key in keys:
        must_be_known(key, list(known), "framework")
    return tuple(known[key] for key in dict.fromkeys(keys))


def must_be_known(name: str, known: list[str], noun: str) -> None:
    """Raise :class:`orgscan.errors.UsageError` with the nearest of the known names."""
    if name in known:
        return
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    message = f"unknown {noun} {name!r}; {hint}"
    raise UsageError(message)


def _words(name: str) -> str:
    return name.replace("_", " ")


def plain(value: Any) -> str:
    """A limit's value for a reader: ``90``, ``never-used``."""
    return f"{value:g}" if isinstance(value, float) else str(value)
