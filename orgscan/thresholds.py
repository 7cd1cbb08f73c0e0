"""The thresholds controls are evaluated against, and the days in which findings are due."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from orgscan import text
from orgscan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def no_boolean(value: object) -> object:
    """``true`` is not a number, though Python counts it as 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number (got {str(value).lower()})")
    return value


Whole = Annotated[int, BeforeValidator(no_boolean)]
Number = Annotated[float, BeforeValidator(no_boolean)]
Days = Annotated[Number, Field(gt=0, le=36_500, allow_inf_nan=False)]
WholeDays = Annotated[Whole, Field(ge=0, le=36_500)]
Seconds = Annotated[Number, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Thresholds(BaseModel):
    """The thresholds controls are evaluated against; days are exact durations of 86,400 seconds.

    The defaults are those of the CIS AWS Foundations Benchmark where it states one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    root_usage_days: Days = 90
    password_minimum_length: Annotated[Whole, Field(ge=6, le=128)] = 14
    password_reuse_prevention: Annotated[Whole, Field(ge=1, le=24)] = 24
    unused_credential_days: Days = 45
    access_key_max_age_days: Days = 90
    setup_window_minutes: Annotated[Number, Field(ge=0, le=1_440, allow_inf_nan=False)] = 5
    setup_rule: Literal["creation-time", "never-used"] = "creation-time"
    new_key_grace_days: Annotated[Number, Field(ge=0, le=36_500, allow_inf_nan=False)] = 7

    @property
    def given(self) -> dict[str, Any]:
        """The thresholds somebody set, by name; the others are defaults."""
        return {
            name: getattr(self, name)
            for name in Thresholds.model_fields
            if name in self.model_fields_set
        }


class ThresholdOverride(Thresholds):
    """Thresholds for one account, for the accounts below an OU path, or for those with a tag.

    Exactly one of ``account``, ``ou`` and ``tag`` is set; so is at least one threshold.
    """

    account: str | None = None
    ou: str | None = None
    tag: str | None = None

    @field_validator("account", mode="before")
    @classmethod
    def _account(cls, value: object) -> object:
        return value if value is None else account_id(value)

    @field_validator("ou")
    @classmethod
    def _ou(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if re.fullmatch(r"(?:ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})", value):
            raise ValueError(f"{value!r} is an id; give the path, as in Root/Sandbox")
        if not value.isprintable() or not all(part.strip() for part in value.split("/")):
            raise ValueError(
                f"{value!r} is not an OU path; it looks like Root/Sandbox, without '/' at the ends"
            )
        return value

    @field_validator("tag")
    @classmethod
    def _tag(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.isprintable() or not value.partition("=")[0] or "=" not in value:
            raise ValueError(f"{value!r} is not a tag; it looks like environment=dev")
        return value

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        scopes = [name for name in _SCOPES if getattr(self, name) is not None]
        if len(scopes) != 1:
            raise ValueError(
                f"set exactly one of account, ou and tag (here: {' and '.join(scopes) or 'none'})"
            )
        if not self.given:
            raise ValueError(
                "sets no threshold; give at least one, as in access_key_max_age_days = 180"
            )
        return self

    @property
    def scope(self) -> tuple[str, str]:
        """Which of ``account``, ``ou`` and ``tag`` is set, and to what."""
        return next((name, value) for name in _SCOPES if (value := getattr(self, name)) is not None)

    @property
    def label(self) -> str:
        """The scope in words: ``OU Root/Sandbox``."""
        name, value = self.scope
        return f"{'OU' if name == 'ou' else name} {value}"


_SCOPES = ("account", "ou", "tag")


class DueDays(BaseModel):
    """How many days after it was first seen a FAIL is due to be resolved, by severity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    critical: WholeDays = 30
    high: WholeDays = 30
    medium: WholeDays = 90
    low: WholeDays = 180
    informational: WholeDays = 180


def read_thresholds(values: object, place: str) -> dict[str, Any]:
    """Thresholds by name, checked as those of the settings are.

    Raises :class:`orgscan.errors.SettingsError` with one line beginning with ``place``.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{place}: must be a section (got {values!r:.60})")
    refuse_unknown_keys(values, Thresholds.model_fields, place)
    try:
        return Thresholds(**values).given
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise SettingsError(f"{place}, {problem['loc'][0]}: {in_words(problem)}") from None


def refuse_unknown_keys(values: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    """Raise :class:`orgscan.errors.SettingsError` for the first key that is not known."""
    names = list(known)
    for name in values:
        if name not in names:
            raise SettingsError(f"{place}: unknown key {name!r}; {text.suggestion(name, names)}")


def account_id(value: object) -> object:
    """The value, unless it cannot be an account id."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is a number; put account IDs in quotes to keep zeros")
    if not re.fullmatch(r"\d{12}", value, re.ASCII):
        raise ValueError(f"{value!r} is not an account id; it has exactly 12 digits")
    return value


def in_words(problem: Mapping[str, Any]) -> str:
    """A problem in our words instead of pydantic's, with the value that was given."""
    words = problem["msg"].removeprefix("Value error, ")
    words = words.replace("Input should be", "must be").replace("Input is", "is")
    words = words.replace("a valid tuple", "a list")
    words = re.sub(r"a valid dictionary or instance of \w+", "a section", words)
    shown = "" if problem["type"] == "value_error" else f" (got {problem.get('input')!r:.60})"
    return f"{words}{shown}"
