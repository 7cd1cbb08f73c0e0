"""What evidence is evaluated by: thresholds and frameworks, of settings or of the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan.controls.frameworks.reading import from_definition, read_files, shipped
from orgscan.controls.limits import general
from orgscan.controls.requirements import affected, assess
from orgscan.errors import UsageError
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.settings import DEFAULT_FRAMEWORK
from orgscan.text import suggestion
from orgscan.thresholds import ThresholdOverride, Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework
    from orgscan.controls.tally import Tally
    from orgscan.models import Assessment, RunInfo
    from orgscan.settings import Settings

_OVERRIDES_SHOWN = 25
"""On the cover; the manifest's settings hold them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Thresholds, and the frameworks whose requirements are assessed.

    The first framework gives the thresholds that the settings leave out.
    """

    thresholds: Thresholds
    overrides: tuple[ThresholdOverride, ...]
    frameworks: tuple[Framework, ...]

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

        Raises as :meth:`of_settings` does, and :class:`orgscan.errors.UsageError` where thresholds
        are set for tags and the run has none.
        """
        own = {key: from_definition(key, definition) for key, definition in info.frameworks.items()}
        stored = info.settings
        files = (*(settings.framework_files if settings else ()), *framework_files)
        # The run's own stays what it was, even where a newer orgscan knows one of that key.
        known = {**known_frameworks(()), **own, **read_files(map(Path, files))}
        keys = frameworks or (settings.frameworks if settings else stored.get("frameworks"))
        overrides = (
            settings.threshold_overrides
            if settings
            else tuple(ThresholdOverride(**item) for item in stored.get("threshold_overrides", ()))
        )
        if not stored.get("account_tags") and any(item.tag is not None for item in overrides):
            raise UsageError(
                "threshold_overrides: the run was made without account tags; leave out the tag, "
                "or scan anew with account_tags = true"
            )
        return cls(
            thresholds=settings.thresholds if settings else Thresholds(**info.thresholds),
            overrides=overrides,
            frameworks=select(keys or (DEFAULT_FRAMEWORK,), known),
        )

    @property
    def definitions(self) -> dict[str, Any]:
        """The user's own among the frameworks, for the run to keep."""
        return {
            framework.key: framework.definition()
            for framework in self.frameworks
            if framework.key not in shipped()
        }

    @property
    def effective(self) -> Thresholds:
        """The thresholds of accounts that no override touches, every one of them set."""
        thresholds = general(self.thresholds, self.frameworks[0])
        return Thresholds(**{name: threshold.value for name, threshold in thresholds.items()})

    def for_reading(self) -> dict[str, str]:
        """The thresholds for the cover: name to value and source, overrides below."""
        thresholds = general(self.thresholds, self.frameworks[0])
        lines = {
            name.replace("_", " "): f"{value_text(threshold.value)} ({threshold.source})"
            for name, threshold in thresholds.items()
        }
        for item in self.overrides[:_OVERRIDES_SHOWN]:
            for name, value in item.given.items():
                lines[f"{name.replace('_', ' ')}, {item.label}"] = value_text(value)
        if (more := len(self.overrides) - _OVERRIDES_SHOWN) > 0:
            lines[f"and {more} more overrides"] = "each finding names the limit it was judged by"
        return lines

    def judged_again(self) -> dict[str, tuple[Control, ...]]:
        """By framework key, the controls that the framework evaluates at its own thresholds."""
        again = {
            one.key: affected(one, self.frameworks[0], self.thresholds, self.overrides)
            for one in self.frameworks
        }
        return {key: concerned for key, concerned in again.items() if concerned}

    def assess(
        self,
        tally: Tally,
        again: Mapping[str, Tally],
        *,
        whole: bool,
        scope: str,
    ) -> tuple[Assessment, ...]:
        """Assess the requirements of each framework.

        ``tally`` counts those of the organization's thresholds, ``again`` by framework those of the
        controls in :meth:`judged_again`, evaluated by the framework's own thresholds.
        """
        names = {*self.thresholds.given, *(name for item in self.overrides for name in item.given)}
        return tuple(
            assess(
                framework,
                tally,
                again.get(framework.key),
                whole=whole,
                scope=scope,
                organization_sets=names,
            )
            for framework in self.frameworks
        )


def check_criteria(
    run: Path, *, frameworks: Sequence[str], framework_files: Sequence[str | Path]
) -> None:
    """Raise what :func:`orgscan.pipeline.render.render` would raise for them, before the work."""
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        Criteria.of_run(store.info, frameworks=frameworks, framework_files=framework_files)


def known_frameworks(files: Sequence[str | Path]) -> Mapping[str, Framework]:
    """The frameworks that come with orgscan and those of ``files``, by key.

    Raises :class:`orgscan.errors.SettingsError` naming the file, the entry and the remedy.
    """
    return {**shipped(), **read_files(map(Path, files))}


def select(keys: Sequence[str], known: Mapping[str, Framework]) -> tuple[Framework, ...]:
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
    raise UsageError(f"unknown {noun} {name!r}; {suggestion(name, known)}")


def value_text(value: Any) -> str:
    """A threshold's value for a reader: ``90``, ``never-used``."""
    return f"{value:g}" if isinstance(value, float) else str(value)
