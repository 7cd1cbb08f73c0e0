"""Frameworks as data: which controls a framework version asks for, under which ids."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orgscan.controls.catalogue import CATALOGUE
from orgscan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Framework:
    """One version of a framework.

    ``controls`` maps our control ids to the framework's, in the order of the catalogue;
    a control it does not hold is not part of this version.
    """

    key: str
    title: str
    version: str
    controls: Mapping[str, tuple[str, ...]]


@cache
def frameworks() -> Mapping[str, Framework]:
    """The frameworks that come with orgscan, by key (``cis-5.0``, ``security-hub``)."""
    text = resources.files("orgscan.controls").joinpath("frameworks.toml").read_text("utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, Framework]:
    """Read frameworks from TOML.

    Raises :class:`orgscan.errors.SettingsError` naming a control that does not exist.
    """
    return {key: _framework(key, values) for key, values in tomllib.loads(text).items()}


def _framework(key: str, values: dict[str, Any]) -> Framework:
    ids = [control.id for control in CATALOGUE]
    given = values["controls"]
    unknown = sorted(given.keys() - set(ids))
    if unknown:
        message = f"framework {key}: unknown control {unknown[0]!r}"
        raise SettingsError(message)
    controls = {name: tuple(given[name]) for name in ids if name in given}
    return Framework(key, values["title"], values["version"], MappingProxyType(controls))
