"""Settings: the command line over the environment (``ORGSCAN_*``) over a file over defaults.

``Settings`` is the only list of what can be set, and ``load`` the only way to build it, whether
for a command, a notebook or a worker process. ``config/orgscan.toml`` documents it and a test
keeps the two equal.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orgscan import endpoint, text
from orgscan.errors import SettingsError
from orgscan.models import Severity
from orgscan.thresholds import (
    DueDays,
    Seconds,
    ThresholdOverride,
    Thresholds,
    Whole,
    account_id,
    in_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ENV_PREFIX = "ORGSCAN_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the settings file where ``--config`` does not."""
_OTHER_VARIABLES = (CONFIG_VARIABLE, f"{ENV_PREFIX}RUN")
"""Ours, but no settings; the second one is read by the notebooks."""
_KUBERNETES = (f"{ENV_PREFIX}PORT", f"{ENV_PREFIX}SERVICE_")
"""How variables begin that Kubernetes adds where a service is called orgscan."""
_MAX_FILE_BYTES = 1_000_000


def _split(value: object) -> object:
    """The parts of a comma-separated text, as environment variables hold lists."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _named(value: object) -> object:
    if value == "" or "\0" in str(value):
        raise ValueError(f"{value!r} does not name a file or directory")
    return value


def _matching(pattern: str, remedy: str) -> AfterValidator:
    """Refuse a text that the whole of ``pattern`` does not match."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{value!r} {remedy}")
        return value

    return AfterValidator(check)


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
_Path = Annotated[Path, BeforeValidator(_named)]
_RoleName = Annotated[
    str,
    _matching(
        r"[\w+=,.@-]{1,64}",
        "is not a role name; give the bare name, as in OrgScanAudit (no ARN; a path goes into "
        "role_path)",
    ),
]
_RolePath = Annotated[
    str,
    _matching(
        r"/|(?=.{3,512}$)/[!-~]+/", "is not a role path; it begins and ends with '/', as in /audit/"
    ),
]
_Region = Annotated[
    str, _matching(r"[a-z]{2,}(-[a-z0-9]+)+", "is not a region; give its code, as in eu-central-1")
]
_Tag = Annotated[str, _matching(r"[^=]+=.*", "is not a tag; it looks like environment=dev")]


DEFAULT_FRAMEWORK = "cis-7.0"
"""The newest CIS AWS Foundations Benchmark."""


class Settings(BaseSettings):
    """Everything a run can be told. Immutable; build it with :func:`load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    # The audit role and the caller.
    role_name: _RoleName | None = None
    role_path: _RolePath = "/"
    external_id: str | None = Field(default=None, repr=False)
    session_duration_seconds: Annotated[Whole, Field(ge=900, le=43_200)] = 3_600
    profile: str | None = None
    region: _Region | None = None
    endpoint_url: str | None = None
    # Scope.
    include_ous: _Names = ()
    accounts: _Names = ()
    exclude_accounts: _Names = ()
    account_tags: bool = False
    # Speed and deadlines.
    concurrency: Annotated[Whole, Field(ge=1, le=1_000)] = 64
    workers: Annotated[Whole, Field(ge=1, le=256)] | None = None
    scheduler: str | None = None
    iam_requests_per_second: Annotated[Whole, Field(ge=1, le=1_000)] = 20
    call_timeout_seconds: Seconds = 20
    report_timeout_seconds: Seconds = 300
    account_timeout_seconds: Seconds = 900
    # What the evidence is evaluated against.
    frameworks: _Names = (DEFAULT_FRAMEWORK,)
    framework_files: _Names = ()
    thresholds: Thresholds = Thresholds()
    threshold_overrides: Annotated[tuple[ThresholdOverride, ...], NoDecode] = ()
    waiver_max_days: Annotated[Whole, Field(ge=1, le=36_500)] = 366
    due_days: DueDays = DueDays()
    # This command only: where from, where to, and what it shows.
    output: _Path | None = None
    resume: _Path | None = None
    retry_gaps: bool = False
    previous: _Path | None = None
    waivers: _Path | None = None
    carry: _Path | None = None
    formats: _Names = ()
    fail_on: Severity | None = None
    sign_with_kms: str | None = None
    publish: str | None = None
    quiet: bool = False
    verbose: bool = False
    log_format: Literal["text", "json"] = "text"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: :func:`load` merges the layers, which it then can name."""
        return (init_settings,)

    @property
    def stored(self) -> dict[str, Any]:
        """What a run keeps of its settings, as JSON values: nothing that is of one command only.

        Never the external id. Of the thresholds only those somebody set, so that a default is
        still known as one; framework files are kept by content, not by path.
        """
        values = self.model_dump(mode="json", exclude={*_NOT_STORED})
        overrides = [
            item.model_dump(mode="json", exclude_unset=True) for item in self.threshold_overrides
        ]
        return values | {"thresholds": self.thresholds.given, "threshold_overrides": overrides}

    @field_validator("external_id")
    @classmethod
    def _external_id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", value, re.ASCII):
            raise ValueError(
                "an external id has 2 to 1,224 characters: letters, digits and +=,.@:/-"
            )
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_url(cls, value: str | None) -> str | None:
        if value is not None:
            endpoint.must_be_safe(value)
        return value

    @field_validator("accounts", "exclude_accounts", mode="before")
    @classmethod
    def _account_ids(cls, value: object) -> object:
        value = _split(value)
        if isinstance(value, (int, float)):
            value = (value,)
        for item in value if isinstance(value, (list, tuple)) else ():
            account_id(item)
        return value

    @field_validator("frameworks")
    @classmethod
    def _frameworks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError(f"is empty; name at least one framework, as in {DEFAULT_FRAMEWORK}")
        return tuple(dict.fromkeys(value))

    @field_validator("threshold_overrides", mode="before")
    @classmethod
    def _tables(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("goes into a settings file, as [[threshold_overrides]]")
        return value

    @field_validator("threshold_overrides")
    @classmethod
    def _overrides(
        cls, value: tuple[ThresholdOverride, ...], others: ValidationInfo
    ) -> tuple[ThresholdOverride, ...]:
        seen: set[tuple[str, str]] = set()
        for item in value:
            for name in item.given:
                if (item.label, name) in seen:
                    raise ValueError(f"{name} is set twice for {item.label}; remove one")
                seen.add((item.label, name))
            if item.tag is not None and not others.data.get("account_tags", True):
                raise ValueError(f"{item.label} requires account tags; set account_tags = true")
        return value

    @field_validator("scheduler")
    @classmethod
    def _scheduler(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty; give an address, as in tls://scheduler.internal:8786")
        if value is not None and others.data.get("workers") is not None:
            raise ValueError(
                "workers and scheduler cannot be combined; start workers or use a cluster's"
            )
        return value

    @field_validator("resume")
    @classmethod
    def _resume(cls, value: Path | None, others: ValidationInfo) -> Path | None:
        if value is not None and others.data.get("output") is not None:
            raise ValueError(
                "output and resume cannot be combined; a resumed run stays in its directory"
            )
        return value

    @field_validator("verbose")
    @classmethod
    def _verbose(cls, value: bool, others: ValidationInfo) -> bool:  # noqa: FBT001
        if value and others.data.get("quiet"):
            raise ValueError("quiet and verbose cannot be combined")
        return value

    @field_validator("retry_gaps")
    @classmethod
    def _retry_gaps(cls, value: bool, others: ValidationInfo) -> bool:  # noqa: FBT001
        if value and others.data.get("resume", value) is None:
            raise ValueError("requires --resume RUN")
        return value


_SECTIONS: dict[str, type[BaseModel]] = {"thresholds": Thresholds, "due_days": DueDays}
_NAMES = [name for name in Settings.model_fields if name not in _SECTIONS]
_NESTED = [f"{part}.{name}" for part, model in _SECTIONS.items() for name in model.model_fields]
_OF_THE_COMMAND = frozenset(_NAMES[_NAMES.index("output") :])
_NOT_STORED = _OF_THE_COMMAND | {
    "external_id", "framework_files", "thresholds", "threshold_overrides", "workers", "scheduler"
}  # fmt: skip
_EXCLUSIVE = (("output", "resume"), ("workers", "scheduler"), ("quiet", "verbose"))
_RIVALS = dict(_EXCLUSIVE) | {second: first for first, second in _EXCLUSIVE}
"""Settings that exclude each other: of two layers, only the upper one's counts."""


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    stored: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Settings:
    """Merge options over environment over ``file`` into :class:`Settings`.

    ``file`` is as :func:`settings_file` finds it. ``stored`` are the settings of a run to resume,
    or a function that reads them for the run that ``resume`` names; everything else goes over
    them. Options that are ``None`` or empty sequences count as not given. ``environment`` defaults
    to the process's; pass ``{}`` to leave it out.

    Raises :class:`orgscan.errors.SettingsError` with one line naming the place and the remedy.
    """
    environment = os.environ if environment is None else environment
    file = settings_file(file, environment)
    layers = [
        *([] if file is None else [_Layer(read_toml(file), f"{file}: ")]),
        _Layer(_read_environment(environment), "environment variable "),
        _Layer(
            {name: value for name, value in options.items() if value not in _NOT_GIVEN}, "option "
        ),
    ]
    values = _merged(layers)
    if callable(stored):
        run = values.get("resume")
        stored = stored(Path(run)) if isinstance(run, (str, Path)) and str(run) else None
    layers.insert(0, _Layer(dict(stored or {}), "settings of the run: "))
    try:
        return Settings(**_merged(layers))
    except ValidationError as error:
        raise SettingsError(_explain(error, layers)) from None


_NOT_GIVEN: tuple[Any, ...] = (None, (), [])


def settings_file(file: Path | None, environment: Mapping[str, str] | None = None) -> Path | None:
    """``file``, else the one :data:`CONFIG_VARIABLE` names; None where neither does."""
    named = (os.environ if environment is None else environment).get(CONFIG_VARIABLE)
    return Path(named) if file is None and named is not None else file


@dataclass(frozen=True, slots=True)
class _Layer:
    """Settings of one source, and how messages name it."""

    values: dict[str, Any]
    source: str

    def holds(self, path: list[str]) -> bool:
        values: Any = self.values
        for part in path:
            if not isinstance(values, dict) or part not in values:
                return False
            values = values[part]
        return True

    def place(self, path: list[str]) -> str:
        """A setting of this layer, as the user wrote it."""
        if self.source == "option ":
            name = path[0].replace("_", "-")
            field = Settings.model_fields.get(path[0])
            several = field is not None and field.default == ()
            return f"{self.source}--{name.removesuffix('s') if several else name}"
        if self.source.startswith("environment"):
            return f"{self.source}{ENV_PREFIX}{'__'.join(path).upper()}"
        return f"{self.source}{'.'.join(path)}"


def _merged(layers: Iterable[_Layer]) -> dict[str, Any]:
    """The values of all layers, later ones over earlier ones, sections key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if _RIVALS.get(name) not in layer.values:
                merged.pop(_RIVALS.get(name, ""), None)
            if isinstance(value, dict) and isinstance(below := merged.get(name), dict):
                value = {**below, **value}  # noqa: PLW2901
            merged[name] = value
    return merged


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The ``ORGSCAN_*`` variables as nested values; one that is not known is refused."""
    known = [name.replace(".", "__").upper() for name in (*_NAMES, *_NESTED)]
    mine: dict[str, str | None] = {}
    for variable, value in environment.items():
        name = variable.upper()
        if not name.startswith(ENV_PREFIX) or name.startswith(_KUBERNETES):
            continue
        if name.removeprefix(ENV_PREFIX) in known:
            mine[name.lower()] = value
        elif name not in _OTHER_VARIABLES:
            alike = text.nearest(name.removeprefix(ENV_PREFIX), known)
            hint = f"did you mean {ENV_PREFIX}{alike}?" if alike else _SEE
            raise SettingsError(f"environment variable {variable}: unknown; {hint}")
    source = EnvSettingsSource(Settings)
    source.env_vars = mine
    return source()


_SEE = "see config/orgscan.toml"


def read_toml(file: Path, noun: str = "settings file") -> dict[str, Any]:
    """The content of a TOML file of at most 1 MB.

    Raises :class:`orgscan.errors.SettingsError` with one line naming the file and the remedy.
    """
    if file.is_dir():
        raise SettingsError(f"{file}: is a directory; name a TOML file")
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
    if len(raw) > _MAX_FILE_BYTES:
        raise SettingsError(f"{file}: larger than 1 MB, which is too large for a {noun}")
    try:
        # A byte order mark is what Windows editors add; it changes nothing.
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8; save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"not valid TOML: {error}"
    except RecursionError:
        problem = "not valid TOML: lists are nested too deeply"
    raise SettingsError(f"{file}: {problem}")


def require_account_id(value: str, place: str) -> None:
    """Raise :class:`orgscan.errors.SettingsError`, naming ``place``, unless it has 12 digits."""
    try:
        account_id(value)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None


def _explain(error: ValidationError, layers: Sequence[_Layer]) -> str:
    """The first problem in one line, with the layer it came from; unknown names come first."""
    problems = error.errors(include_url=False)
    problem = min(problems, key=lambda item: item["type"] != "extra_forbidden")
    path = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    entry = next((part + 1 for part in problem["loc"] if isinstance(part, int)), 0)
    layer = next(
        (layer for layer in reversed(layers) if layer.holds(path[:1] if entry else path)),
        layers[-1],
    )
    if path[0] == "threshold_overrides" and entry:
        where = f"{layer.source}threshold_overrides, entry {entry}"
        if problem["type"] == "extra_forbidden":
            hint = text.suggestion(path[1], ThresholdOverride.model_fields)
            return f"{where}: unknown key {path[1]!r}; {hint}"
        return f"{', '.join((where, *path[1:]))}: {in_words(problem)}"
    if problem["type"] == "extra_forbidden":
        return _unknown(layer, path, problem["input"])
    return f"{layer.place(path)}: {in_words(problem)}"


def _unknown(layer: _Layer, path: list[str], value: object) -> str:
    """What to say of a name that is not a setting."""
    name = ".".join(path)
    source = "" if layer.source == "option " else layer.source
    if isinstance(value, dict) and (section := text.nearest(name, _SECTIONS)):
        return f"{source}unknown section [{name}]; did you mean [{section}]?"
    moved = [known for known in _NESTED if known.rpartition(".")[2] == path[-1]]
    alike = moved[0] if moved else text.nearest(name, (*_NAMES, *_NESTED))
    section, _, key = (alike or "").rpartition(".")
    hint = f"did you mean {key} in [{section}]?" if section else f"did you mean {alike}?"
    noun = "option" if layer.source == "option " else "setting"
    return f"{source}unknown {noun} {name!r}; {hint if alike else _SEE}"
