"""From TOML to frameworks; an error is one line that names the file, the entry and the remedy."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.frameworks.framework import Framework
from orgscan.errors import SettingsError
from orgscan.settings import read_toml
from orgscan.text import suggestion
from orgscan.thresholds import read_thresholds, refuse_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_SHIPPED = ("cis.toml", "aws.toml", "related.toml")
_KEYS = ("title", "version", "kind", "same_as", "not_judged", "controls", "thresholds")
_KINDS: dict[str, Literal["direct", "related"]] = {"direct": "direct", "related": "related"}
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_LONGEST_TITLE, _LONGEST_ID = 120, 64
_FORM = (
    '[my-standard] with title = "...", version = "..." and a section [my-standard.controls]; see '
    "config/framework.toml"
)


@cache
def shipped() -> Mapping[str, Framework]:
    """The frameworks that come with orgscan, by key (``cis-7.0``, ``fsbp``)."""
    folder = resources.files("orgscan.controls.frameworks")
    frameworks: dict[str, Framework] = {}
    for name in _SHIPPED:
        values = tomllib.loads(folder.joinpath(name).read_text("utf-8"))
        frameworks |= _parse(values, name, frameworks)
    return MappingProxyType(frameworks)


def read_files(files: Iterable[Path]) -> dict[str, Framework]:
    """A user's own frameworks, by key, in the order of the files.

    Raises :class:`orgscan.errors.SettingsError`, one line that names the file, the entry and the
    remedy.
    """
    frameworks: dict[str, Framework] = {}
    for file in files:
        values = read_toml(file, "framework file")
        if not values:
            raise SettingsError(f"{file}: holds no framework; write {_FORM}")
        read = _parse(values, str(file), {**shipped(), **frameworks})
        _refuse_shipped_titles(read, file)
        frameworks |= read
    return frameworks


def _refuse_shipped_titles(read: Mapping[str, Framework], file: Path) -> None:
    """Nobody is to take an organization's own framework for the benchmark itself."""
    titles = {_bare(framework.title): framework.title for framework in shipped().values()}
    for key, framework in read.items():
        if (title := titles.get(_bare(framework.title))) is not None:
            raise SettingsError(
                f"{file}: [{key}], title: {title!r} is the title of a framework that comes with "
                f"orgscan; choose another, as in {title + ', ours'!r}"
            )


def _bare(title: str) -> str:
    """What a title looks like, whatever its capitals, spaces and forms of letters."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return "".join(folded.split())


def from_definition(key: str, definition: Mapping[str, Any]) -> Framework:
    """A framework from what :meth:`Framework.definition` made of it.

    Raises :class:`orgscan.errors.SettingsError` where a newer or older orgscan made it and this
    one lacks one of its controls.
    """
    return _framework(key, dict(definition), f"framework {key}", {})


def _parse(
    values: Mapping[str, Any], file: str, known: Mapping[str, Framework]
) -> dict[str, Framework]:
    frameworks: dict[str, Framework] = {}
    for key, content in values.items():
        if not isinstance(content, dict):
            raise SettingsError(f"{file}: {key!r} stands outside of a framework; write {_FORM}")
        if not _KEY.fullmatch(key):
            raise SettingsError(
                f"{file}: {key!r} is no key of a framework; use at most 64 small letters, digits, "
                "'.', '-' and '_'"
            )
        if key in known:
            raise SettingsError(
                f"{file}: [{key}]: there is already a framework of that key; choose another"
            )
        frameworks[key] = _framework(key, content, f"{file}: [{key}]", {**known, **frameworks})
    return frameworks


def _framework(
    key: str, values: dict[str, Any], where: str, known: Mapping[str, Framework]
) -> Framework:
    refuse_unknown_keys(values, _KEYS, where)
    kind = _text(values.get("kind", "direct"), f"{where}, kind")
    if kind not in _KINDS:
        raise SettingsError(f"{where}, kind: is direct or related, not {kind!r}")
    same = _same_as(values, where, known)
    thresholds = read_thresholds(values.get("thresholds", {}), f"{where}, thresholds")
    return Framework(
        key=key,
        title=_text(values.get("title"), f"{where}, title"),
        version=_text(values.get("version"), f"{where}, version"),
        kind=_KINDS[kind],
        controls=MappingProxyType(same.controls if same else _controls(values, where)),
        thresholds=MappingProxyType({**(same.thresholds if same else {}), **thresholds}),
        not_judged=same.not_judged if same else _not_judged(values, where),
    )


def _same_as(
    values: Mapping[str, Any], where: str, known: Mapping[str, Framework]
) -> Framework | None:
    """The framework whose requirements this one takes over."""
    if "same_as" not in values:
        return None
    for name in ("controls", "not_judged"):
        if name in values:
            raise SettingsError(f"{where}: has both same_as and {name}; keep one of them")
    name = _text(values["same_as"], f"{where}, same_as")
    if name not in known:
        raise SettingsError(
            f"{where}, same_as: unknown framework {name!r}; {suggestion(name, known)}"
        )
    return known[name]


def _controls(values: Mapping[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    given = values.get("controls")
    if not isinstance(given, dict) or not given:
        raise SettingsError(f"{where}: names no controls; add them in a section [....controls]")
    ids = [control.id for control in CATALOGUE]
    for name in given:
        if name not in ids:
            raise SettingsError(
                f"{where}, controls: unknown control {name!r}; {suggestion(name, ids)}"
            )
    return {
        name: _requirements(given[name], f"{where}, controls, {name}")
        for name in ids
        if name in given
    }


def _not_judged(values: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = values.get("not_judged", [])
    if not given and isinstance(given, list):
        return ()
    requirements = _requirements(given, f"{where}, not_judged")
    answered = {
        requirement
        for ids in values.get("controls", {}).values()
        if isinstance(ids, list)
        for requirement in ids
        if isinstance(requirement, str)
    }
    if both := [requirement for requirement in requirements if requirement in answered]:
        raise SettingsError(f"{where}, not_judged: {both[0]!r} has a control; keep one of them")
    return requirements


def _requirements(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise SettingsError(
            f'{where}: must be a list of requirement ids, as in ["1.4"] (got {value!r:.60})'
        )
    for item in value:
        if not _is_text(item, _LONGEST_ID):
            raise SettingsError(
                f"{where}: {item!r:.60} is no requirement id; it is a text of 1 to {_LONGEST_ID} "
                "characters in quotes"
            )
    return tuple(dict.fromkeys(value))


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not _is_text(value, _LONGEST_TITLE):
        got = "is missing" if value is None else f"not {value!r:.60}"
        raise SettingsError(f"{where}: must be a text of 1 to {_LONGEST_TITLE} characters ({got})")
    return value


def _is_text(value: object, longest: int) -> bool:
    return (
        isinstance(value, str)
        and value == value.strip()
        and 0 < len(value) <= longest
        and value.isprintable()
    )
