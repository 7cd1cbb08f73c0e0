"""Settings: options over environment (``ORGSCAN_*``) over file; unknown keys are errors.

``Settings`` is the one list of what can be set; ``config/orgscan.toml`` documents it and a test
keeps the two equal.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orgscan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

ENV_PREFIX = "ORGSCAN_"
_MAX_FILE_BYTES = 1_000_000
_MAX_ROLE_PATH = 512


def _no_boolean(value: object) -> object:
    """``true`` is no number, though Python counts it as 1."""
    if isinstance(value, bool):
        message = f"must be a number (got {str(value).lower()})"
        raise ValueError(message)  # noqa: TRY004 - pydantic wants ValueError
    return value


_Int = Annotated[int, BeforeValidator(_no_boolean)]
_Float = Annotated[float, BeforeValidator(_no_boolean)]
_Days = Annotated[_Float, Field(gt=0, le=36_500, allow_inf_nan=False)]
_WholeDays = Annotated[_Int, Field(ge=0, le=36_500)]
_Seconds = Annotated[_Float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Thresholds(BaseModel):
    """The limits controls judge by; days are exact durations of 86,400 seconds.

    The defaults are those of the CIS AWS Foundations Benchmark where it states one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    root_usage_days: _Days = 90
    password_minimum_length: Annotated[_Int, Field(ge=6, le=128)] = 14
    password_reuse_prevention: Annotated[_Int, Field(ge=1, le=24)] = 24
    unused_credential_days: _Days = 45
    access_key_max_age_days: _Days = 90
    setup_window_minutes: Annotated[_Float, Field(ge=0, le=1_440, allow_inf_nan=False)] = 5
    setup_rule: Literal["creation-time", "never-used"] = "creation-time"
    new_key_grace_days: Annotated[_Float, Field(ge=0, le=36_500, allow_inf_nan=False)] = 7

    @property
    def given(self) -> dict[str, Any]:
        """The limits somebody set, by name; the others are defaults."""
        return {
            name: getattr(self, name)
            for name in Thresholds.model_fields
            if name in self.model_fields_set
        }


class ThresholdOverride(Thresholds):
    """Limits for one account, for the accounts below an OU path, or for those with a tag.

    Exactly one of ``account``, ``ou`` and ``tag`` is set; so is at least one limit.
    """

    account: str | None = None
    ou: str | None = None
    tag: str | None = None

    @field_validator("account", mode="before")
    @classmethod
    def _account(cls, value: object) -> object:
        return value if value is None else _account_id(value)

    @field_validator("ou")
    @classmethod
    def _ou(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if re.fullmatch(r"(?:ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})", value):
            message = f"{value!r} is an id; give the path, as in Root/Sandbox"
            raise ValueError(message)
        if not value.isprintable() or not all(part.strip() for part in value.split("/")):
            message = (
                f"{value!r} is not an OU path; it looks like Root/Sandbox, without '/' at the ends"
            )
            raise ValueError(message)
        return value

    @field_validator("tag")
    @classmethod
    def _tag(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.isprintable() or not value.partition("=")[0] or "=" not in value:
            message = f"{value!r} is not a tag; it looks like environment=dev"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        scopes = [name for name in _SCOPES if getattr(self, name) is not None]
        if len(scopes) != 1:
            told = " and ".join(scopes) or "none"
            message = f"name exactly one of account, ou and tag (here: {told})"
            raise ValueError(message)
        if not self.given:
            message = "sets no threshold; give at least one, as in access_key_max_age_days = 180"
            raise ValueError(message)
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
DEFAULT_FRAMEWORK = "cis-7.0"
"""The newest CIS AWS Foundations Benchmark."""


class DueDays(BaseModel):
    """How many days after it was first seen a FAIL is to be settled, by severity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    critical: _WholeDays = 30
    high: _WholeDays = 30
    medium: _WholeDays = 90
    low: _WholeDays = 180
    informational: _WholeDays = 180


class Settings(BaseSettings):
    """Everything a run can be told. Immutable; build it with :func:`load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    role_name: str | None = None
    role_path: str = "/"
    external_id: str | None = Field(default=None, repr=False)
    session_duration_seconds: Annotated[_Int, Field(ge=900, le=43_200)] = 3_600
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    include_ous: Annotated[tuple[str, ...], NoDecode] = ()
    accounts: Annotated[tuple[str, ...], NoDecode] = ()
    exclude_accounts: Annotated[tuple[str, ...], NoDecode] = ()
    account_tags: bool = False
    concurrency: Annotated[_Int, Field(ge=1, le=1_000)] = 64
    iam_requests_per_second: Annotated[_Int, Field(ge=1, le=1_000)] = 20
    call_timeout_seconds: _Seconds = 20
    report_timeout_seconds: _Seconds = 300
    account_timeout_seconds: _Seconds = 900
    frameworks: Annotated[tuple[str, ...], NoDecode] = (DEFAULT_FRAMEWORK,)
    framework_files: Annotated[tuple[str, ...], NoDecode] = ()
    thresholds: Thresholds = Thresholds()
    threshold_overrides: Annotated[tuple[ThresholdOverride, ...], NoDecode] = ()
    waiver_max_days: Annotated[_Int, Field(ge=1, le=36_500)] = 366
    due_days: DueDays = DueDays()

    @property
    def stored(self) -> dict[str, Any]:
        """What a run keeps of its settings, as JSON values.

        Never the external id. Of the limits only those somebody set, so that a default is still
        known as one; framework files are kept by content, not by path.
        """
        values = self.model_dump(
            mode="json",
            exclude={"external_id", "framework_files", "thresholds", "threshold_overrides"},
        )
        overrides = [
            item.model_dump(mode="json", exclude_unset=True) for item in self.threshold_overrides
        ]
        return values | {"thresholds": self.thresholds.given, "threshold_overrides": overrides}

    @field_validator("role_name")
    @classmethod
    def _role_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w+=,.@-]{1,64}", value, re.ASCII):
            message = (
                f"{value!r} is not a role name; give the bare name, as in OrgScanAudit "
                "(no ARN; a path goes into role_path)"
            )
            raise ValueError(message)
        return value

    @field_validator("role_path")
    @classmethod
    def _role_path(cls, value: str) -> str:
        if not re.fullmatch(r"/(?:[!-~]+/)?", value) or len(value) > _MAX_ROLE_PATH:
            message = f"{value!r} is not a role path; it begins and ends with '/', as in /audit/"
            raise ValueError(message)
        return value

    @field_validator("region")
    @classmethod
    def _region(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z]{2,}(-[a-z0-9]+)+", value, re.ASCII):
            message = f"{value!r} is not a region; give its code, as in eu-central-1"
            raise ValueError(message)
        return value

    @field_validator("external_id")
    @classmethod
    def _external_id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", value, re.ASCII):
            message = "an external id has 2 to 1,224 characters: letters, digits and +=,.@:/-"
            raise ValueError(message)
        return value

    @field_validator("frameworks")
    @classmethod
    def _frameworks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            message = f"is empty; name at least one framework, as in {DEFAULT_FRAMEWORK}"
            raise ValueError(message)
        return tuple(dict.fromkeys(value))

    @field_validator("threshold_overrides", mode="before")
    @classmethod
    def _tables(cls, value: object) -> object:
        if isinstance(value, str):
            message = "goes into a settings file, as [[threshold_overrides]]"
            raise ValueError(message)  # noqa: TRY004 - pydantic wants ValueError
        return value

    @field_validator("threshold_overrides")
    @classmethod
    def _overrides(cls, value: tuple[ThresholdOverride, ...]) -> tuple[ThresholdOverride, ...]:
        seen: set[tuple[str, str]] = set()
        for item in value:
            for name in item.given:
                if (item.label, name) in seen:
                    message = f"{name} is set twice for {item.label}; keep one"
                    raise ValueError(message)
                seen.add((item.label, name))
        return value

    @field_validator("include_ous", "frameworks", "framework_files", mode="before")
    @classmethod
    def _ous(cls, value: object) -> object:
        return _split(value)

    @field_validator("accounts", "exclude_accounts", mode="before")
    @classmethod
    def _account_ids(cls, value: object) -> object:
        value = _split(value)
        for item in _items(value):
            _account_id(item)
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        shown = value.rpartition("@")[2]  # what stands before it may be a password
        try:
            parts = urlsplit(value)
            # Python's own reading takes http://[::1].evil for [::1].
            host = host_of(parts.netloc.rpartition("@")[2]) if parts.netloc else None
        except ValueError as error:
            message = f"{shown!r} is not a URL ({error}); it looks like https://host:port"
            raise ValueError(message) from None
        if parts.scheme not in {"http", "https"} or not host:
            message = f"{shown!r} is not a URL; it looks like https://host:port"
            raise ValueError(message)
        if parts.username or parts.password or parts.query or parts.fragment:
            message = "the endpoint URL may hold a host, a port and a path only"
            raise ValueError(message)
        if parts.scheme == "http" and not is_loopback(host):
            message = (
                f"{value!r} would send credentials unencrypted; use https "
                "(plain http is accepted for loopback addresses only)"
            )
            raise ValueError(message)
        return value


def _account_id(value: object) -> object:
    """The value, unless it is surely no account id."""
    if not isinstance(value, str):
        message = f"{value!r} is a number; put account ids in quotes so that zeros are kept"
        raise ValueError(message)  # noqa: TRY004 - pydantic wants ValueError
    if not re.fullmatch(r"\d{12}", value, re.ASCII):
        message = f"{value!r} is not an account id; it has exactly 12 digits"
        raise ValueError(message)
    return value


def require_account_id(value: str, place: str) -> None:
    """Raise :class:`orgscan.errors.SettingsError`, naming ``place``, unless it has 12 digits."""
    try:
        _account_id(value)
    except ValueError as error:
        message = f"{place}: {error}"
        raise SettingsError(message) from None


def _split(value: object) -> object:
    """A comma-separated text, as options and variables give it, as its parts."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _items(value: object) -> tuple[object, ...]:
    """What stands in a list, or the lone number somebody wrote instead of one."""
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value,) if isinstance(value, (int, float)) else ()


_NETLOC = re.compile(
    r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[^\s\[\]@:/?#\\]+))(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_MAX_PORT = 65_535


def host_of(netloc: str) -> str:
    """The host of ``HOST`` or ``HOST:PORT``, in small letters; brackets hold an IPv6 address.

    Raises ValueError where it is anything else.
    """
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        message = f"{netloc!r} is not HOST or HOST:PORT"
        raise ValueError(message)
    if int(match["port"] or 0) > _MAX_PORT:
        message = f"port {match['port']} is not between 0 and {_MAX_PORT}"
        raise ValueError(message)
    if match["address"]:
        return str(ipaddress.IPv6Address(match["address"]))
    return match["name"].lower()


def is_loopback(host: str) -> bool:
    """Whether what is sent to ``host``, a name or an address, stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_simulated(endpoint_url: str | None) -> bool:
    """Whether answers come from a loopback address: from a simulator, never from AWS itself."""
    if endpoint_url is None:
        return False
    try:
        return is_loopback(host_of(urlsplit(endpoint_url).netloc))
    except ValueError:
        return False


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    stored: Mapping[str, Any] | None = None,
    **options: Any,
) -> Settings:
    """Merge options over environment over ``file`` into :class:`Settings`.

    ``stored`` are the settings of a run to resume; everything else goes over them. Options that
    are ``None`` or empty tuples count as not given. ``environment`` defaults to the process's;
    pass ``{}`` to leave it out.

    Raises :class:`orgscan.errors.SettingsError` with one line naming the place and the remedy.
    """
    values = _read_file(file) if file is not None else {}
    variables = _read_environment(os.environ if environment is None else environment)
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    _refuse_unknown(given, Settings, "option ")

    class _Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            *_unused: PydanticBaseSettingsSource,
            **_more: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                init_settings,
                InitSettingsSource(settings_cls, init_kwargs=variables),
                InitSettingsSource(settings_cls, init_kwargs=values),
                InitSettingsSource(settings_cls, init_kwargs=dict(stored or {})),
            )

    try:
        settings = Settings.model_construct(**dict(_Layered(**given)))
    except ValidationError as error:
        raise SettingsError(_explain(error, given, variables, file)) from None
    _need_tags(settings, file)
    return settings


def _need_tags(settings: Settings, file: Path | None) -> None:
    tagged = [item for item in settings.threshold_overrides if item.tag is not None]
    if tagged and not settings.account_tags:
        place = "" if file is None else f"{file}: "
        message = (
            f"{place}threshold_overrides: {tagged[0].label} needs the accounts' tags; set "
            "account_tags = true"
        )
        raise SettingsError(message)


def read_toml(file: Path, noun: str = "settings file") -> dict[str, Any]:
    """The content of a TOML file of at most 1 MB.

    Raises :class:`orgscan.errors.SettingsError` with one line naming the file and the remedy.
    """
    if file.is_dir():
        message = f"{file}: is a directory; name a TOML file"
        raise SettingsError(message)
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        message = f"{file}: cannot be read ({error.strerror}); check the path and its permissions"
        raise SettingsError(message) from None
    if len(raw) > _MAX_FILE_BYTES:
        message = f"{file}: larger than 1 MB; this is no {noun}"
        raise SettingsError(message)
    try:
        # A byte order mark is what Windows editors add; it changes nothing.
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8"
        raise SettingsError(message) from None
    except tomllib.TOMLDecodeError as error:
        message = f"{file}: not valid TOML: {error}"
        raise SettingsError(message) from None
    except RecursionError:
        message = f"{file}: not valid TOML: lists within lists without end; write it anew"
        raise SettingsError(message) from None
    return values


def _read_file(file: Path) -> dict[str, Any]:
    values = read_toml(file)
    _refuse_unknown(values, Settings, f"{file}: ")
    overrides = values.get("threshold_overrides")
    for number, item in enumerate(overrides if isinstance(overrides, list) else (), 1):
        if isinstance(item, dict):
            refuse_unknown_keys(
                item, ThresholdOverride.model_fields, f"{file}: threshold_overrides, entry {number}"
            )
    return values


def refuse_unknown_keys(values: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    """Raise :class:`orgscan.errors.SettingsError` for the first key that is not known."""
    names = list(known)
    for name in values:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(names)}"
            message = f"{place}: unknown key {name!r}; {hint}"
            raise SettingsError(message)


def read_thresholds(values: object, place: str) -> dict[str, Any]:
    """Limits by name, checked as those of the settings are.

    Raises :class:`orgscan.errors.SettingsError` with one line beginning with ``place``.
    """
    if not isinstance(values, dict):
        message = f"{place}: must be a section of its own (got {values!r:.60})"
        raise SettingsError(message)
    refuse_unknown_keys(values, Thresholds.model_fields, place)
    try:
        return Thresholds(**values).given
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        message = f"{place}, {problem['loc'][0]}: {_words(problem)}"
        raise SettingsError(message) from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Known ``ORGSCAN_*`` variables as nested values.

    A variable that is nearly one of ours is an error, since it is a misspelling; one that
    resembles nothing belongs to someone else and is left alone.
    """
    names = {f"{ENV_PREFIX}{'__'.join(path)}".upper(): path for path in _paths(Settings)}
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.upper().startswith(ENV_PREFIX):
            continue
        path = names.get(variable.upper())
        if path is None:
            nearest = difflib.get_close_matches(variable.upper(), names, n=1, cutoff=0.85)
            if nearest:
                message = f"environment variable {variable}: unknown; did you mean {nearest[0]}?"
                raise SettingsError(message)
            continue
        target = values
        for part in path[:-1]:
            target = target.setdefault(part, {})
        target[path[-1]] = text
    return values


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from ((name, *rest) for rest in _paths(inner))
        else:
            yield (name,)


def _refuse_unknown(values: Mapping[str, Any], model: type[BaseModel], place: str) -> None:
    known = {".".join(path): path for path in _paths(model)}
    for name in _flat(values, model):
        if name in known:
            continue
        leaf = name.rpartition(".")[2]
        sections = {path[0] for path in known.values() if path[1:]}
        if isinstance(values.get(name), dict) and (
            alike := difflib.get_close_matches(name, sections, n=1, cutoff=0.5)
        ):
            message = f"{place}unknown section [{name}]; did you mean [{alike[0]}]?"
            raise SettingsError(message)
        nested = [path for path in known if path.rpartition(".")[2] == leaf]
        nearest = nested or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if nearest and "." in nearest[0]:
            section, _, key = nearest[0].rpartition(".")
            hint = f"; did you mean {key} in [{section}]?"
        else:
            hint = f"; did you mean {nearest[0]}?" if nearest else "; see config/orgscan.toml"
        message = f"{place}unknown setting {name!r}{hint}"
        raise SettingsError(message)


def _flat(values: Mapping[str, Any], model: type[BaseModel]) -> Iterator[str]:
    for name, value in values.items():
        field = model.model_fields.get(name)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, dict):
            yield from (f"{name}.{rest}" for rest in _flat(value, inner))
        elif not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            yield name


def _explain(
    error: ValidationError,
    given: Mapping[str, Any],
    variables: Mapping[str, Any],
    file: Path | None,
) -> str:
    """The first problem in one line, with the layer it came from."""
    problem = error.errors(include_url=False)[0]
    location = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    name = ".".join(location)
    if location[0] == "threshold_overrides" and len(problem["loc"]) > 1:
        name = ", ".join((location[0], f"entry {int(problem['loc'][1]) + 1}", *location[1:]))
    if _holds(given, location):
        place = f"option --{location[0].replace('_', '-')}"
    elif _holds(variables, location):
        place = f"environment variable {ENV_PREFIX}{'__'.join(location).upper()}"
    else:
        place = f"{file}: {name}"
    return f"{place}: {_words(problem)}"


def _words(problem: Mapping[str, Any]) -> str:
    """What pydantic says, in our words, with what was given."""
    text = problem["msg"].removeprefix("Value error, ")
    text = text.replace("Input should be", "must be").replace("a valid tuple", "a list")
    text = re.sub(r"a valid dictionary or instance of \w+", "a section of its own", text)
    got = problem.get("input")
    shown = "" if problem["type"] == "value_error" else f" (got {got!r:.60})"
    return f"{text}{shown}"


def _holds(values: Mapping[str, Any], path: list[str]) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
