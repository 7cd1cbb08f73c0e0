from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.endpoint import is_simulated
from orgscan.errors import SettingsError
from orgscan.models import Severity
from orgscan.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def put(content: str | bytes) -> Path:
        file = tmp_path / "orgscan.toml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return put


def refused(file: Path | None = None, environment: Any = None, **options: Any) -> str:
    """The message of the refusal: always one line."""
    with pytest.raises(SettingsError) as caught:
        load(file, environment=environment or {}, **options)
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


def test_options_come_before_environment_before_file(write: Any) -> None:
    file = write("role_name = 'file'\nregion = 'eu-west-1'\nprofile = 'file'\n[thresholds]\n")
    environment = {"ORGSCAN_ROLE_NAME": "environment", "ORGSCAN_REGION": "us-gov-west-1"}
    settings = load(file, environment=environment, role_name="option")
    chosen = (settings.role_name, settings.region, settings.profile)
    assert chosen == ("option", "us-gov-west-1", "file")


@pytest.mark.parametrize("region", ["us-east-1\n", "not a region", "", "eu", "US-EAST-1", "-a-1"])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    message = refused(environment={"ORGSCAN_REGION": region})
    assert f"ORGSCAN_REGION: {region!r} is not a region; give its code" in message


def test_layers_meet_within_a_section(write: Any) -> None:
    file = write("[thresholds]\naccess_key_max_age_days = 30\nunused_credential_days = 20")
    environment = {"ORGSCAN_THRESHOLDS__UNUSED_CREDENTIAL_DAYS": "10"}
    thresholds = load(file, environment=environment).thresholds
    assert (thresholds.access_key_max_age_days, thresholds.unused_credential_days) == (30, 10)


def test_options_not_given_leave_the_file_alone(write: Any) -> None:
    file = write("profile = 'kept'\naccounts = ['000000000001']")
    settings = load(file, environment={}, profile=None, accounts=())
    assert (settings.profile, settings.accounts) == ("kept", ("000000000001",))


def test_an_option_of_zero_or_false_is_given(write: Any) -> None:
    assert load(write("account_tags = true"), environment={}, account_tags=False) == Settings()
    assert "--concurrency" in refused(concurrency=0)


def test_the_environment_is_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGSCAN_PROFILE", "from-the-shell")
    assert load().profile == "from-the-shell"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environment={}).role_name = "other"


def test_the_external_id_is_not_printed() -> None:
    assert "shibboleth" not in repr(load(environment={}, external_id="shibboleth"))


def test_lists_may_be_written_with_commas_in_the_environment() -> None:
    environment = {
        "ORGSCAN_ACCOUNTS": "000000000001, 000000000002,",
        "ORGSCAN_INCLUDE_OUS": "Root/A, ou-1",
    }
    settings = load(environment=environment)
    assert settings.accounts == ("000000000001", "000000000002")
    assert settings.include_ous == ("Root/A", "ou-1")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("concurency = 3", "unknown setting 'concurency'; did you mean concurrency?"),
        ("root_usage_days = 3", "did you mean root_usage_days in [thresholds]?"),
        ("[thresholds]\nroot_usage_day = 3", "did you mean root_usage_days in [thresholds]?"),
        ("[threshold]\nroot_usage_days = 3", "unknown section [threshold]; did you mean [thresh"),
        ("zzz = 3", "unknown setting 'zzz'; see config/orgscan.toml"),
        ("'role\\nname' = 3", "unknown setting"),
    ],
)
def test_unknown_settings_of_a_file_are_refused_with_a_suggestion(
    write: Any, text: str, hint: str
) -> None:
    file = write(text)
    message = refused(file)
    assert message.startswith(f"{file}: ")
    assert hint in message


def test_an_unknown_option_is_refused_with_a_suggestion() -> None:
    assert refused(rolename="x").endswith("did you mean role_name?")


def test_a_misspelt_variable_is_refused_with_a_suggestion() -> None:
    message = refused(environment={"ORGSCAN_CONCURENCY": "3"})
    assert message == (
        "environment variable ORGSCAN_CONCURENCY: unknown; did you mean ORGSCAN_CONCURRENCY?"
    )


@pytest.mark.parametrize("variable", ["ORGSCAN_IMAGE", "ORGSCAN_ZZZ", "orgscan_thresholds"])
def test_every_other_variable_of_ours_is_refused(variable: str) -> None:
    assert refused(environment={variable: "1"}).startswith(f"environment variable {variable}: unkn")


@pytest.mark.parametrize(
    "variable",
    [
        "PATH",
        "ORGSCAN_RUN",
        "ORGSCAN_PORT",
        "ORGSCAN_PORT_8080_TCP_ADDR",
        "ORGSCAN_SERVICE_HOST",
        "ORGSCAN_SERVICE_PORT_HTTP",
    ],
)
def test_variables_of_kubernetes_and_of_the_notebooks_are_no_settings(variable: str) -> None:
    assert load(environment={variable: "x"}) == Settings()


def test_every_setting_but_a_table_can_be_a_variable() -> None:
    values = {
        **dict.fromkeys(("QUIET", "RETRY_GAPS", "ACCOUNT_TAGS"), "true"),
        **dict.fromkeys(("RESUME", "PREVIOUS", "WAIVERS", "CARRY"), "some/path"),
        "FORMATS": "csv,ocsf",
        "FAIL_ON": "high",
        "LOG_FORMAT": "json",
        "WORKERS": "3",
        "SIGN_WITH_KMS": "alias/key",
        "PUBLISH": "s3://bucket/prefix",
        "DUE_DAYS__HIGH": "3",
        "THRESHOLDS__SETUP_RULE": "never-used",
    }
    settings = load(environment={f"ORGSCAN_{name}": value for name, value in values.items()})
    assert settings.retry_gaps
    assert settings.quiet
    assert settings.waivers == Path("some/path")
    assert settings.formats == ("csv", "ocsf")
    assert settings.fail_on is Severity.HIGH
    assert settings.workers == 3
    assert settings.due_days.high == 3


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"log_format": "xml"}, "--log-format"),
        ({"fail_on": "worst"}, "--fail-on"),
        ({"workers": 0}, "--workers"),
        ({"scheduler": " "}, "--scheduler"),
        ({"output": ""}, "--output"),
        ({"waivers": "a\0b"}, "--waivers"),
        ({"retry_gaps": True}, "--retry-gaps"),
        ({"output": "a", "resume": "b"}, "--resume"),
        ({"quiet": True, "verbose": True}, "--verbose"),
        ({"workers": 2, "scheduler": "tcp://there:8786"}, "--scheduler"),
        ({"include_ous": 5}, "--include-ou"),
    ],
)
def test_what_a_command_is_told_is_checked_like_any_setting(
    options: dict[str, Any], flag: str
) -> None:
    assert refused(**options).startswith(f"option {flag}: ")


def test_of_two_settings_that_exclude_each_other_the_upper_layer_s_counts(write: Any) -> None:
    file = write("output = 'new'\nworkers = 2")
    settings = load(file, environment={"ORGSCAN_SCHEDULER": "tcp://there:8786"}, resume="old")
    assert (settings.output, settings.resume) == (None, Path("old"))
    assert (settings.workers, settings.scheduler) == (None, "tcp://there:8786")


def test_a_variable_names_the_file_unless_an_option_does(write: Any, tmp_path: Path) -> None:
    environment = {"ORGSCAN_CONFIG": str(write("profile = 'variable'"))}
    other = tmp_path / "other.toml"
    other.write_text("profile = 'option'")
    assert load(environment=environment).profile == "variable"
    assert load(other, environment=environment).profile == "option"


def test_the_settings_of_the_run_to_resume_lie_below_all_others(write: Any) -> None:
    file = write("profile = 'file'\nresume = 'run'\n[thresholds]\nroot_usage_days = 3\n")
    asked: list[Path] = []

    def stored(run: Path) -> dict[str, Any]:
        asked.append(run)
        return {"profile": "run", "region": "eu-west-1", "thresholds": {"new_key_grace_days": 1}}

    settings = load(file, environment={}, stored=stored)
    assert asked == [Path("run")]
    assert (settings.profile, settings.region) == ("file", "eu-west-1")
    assert settings.thresholds.given == {"root_usage_days": 3, "new_key_grace_days": 1}
    load(environment={}, stored=stored)
    assert asked == [Path("run")]


def test_a_run_keeps_nothing_that_is_of_one_command_only() -> None:
    told = load(
        environment={}, resume="old", previous="q3", waivers="w", carry="c", formats=["csv"],
        fail_on="low", sign_with_kms="alias/a", publish="p", verbose=True,
        log_format="json", workers=2, retry_gaps=True,
    )  # fmt: skip
    assert told.stored == load(environment={}).stored


def test_a_wrong_value_names_the_layer_it_came_from(write: Any) -> None:
    file = write("concurrency = 'many'")
    assert refused(file).startswith(f"{file}: concurrency: must be a valid integer")
    environment = {"ORGSCAN_CONCURRENCY": "many"}
    assert refused(file, environment).startswith("environment variable ORGSCAN_CONCURRENCY: must")
    assert refused(file, environment, concurrency="many").startswith("option --concurrency: must")


def test_a_wrong_threshold_names_its_variable() -> None:
    message = refused(environment={"ORGSCAN_THRESHOLDS__ROOT_USAGE_DAYS": "-3"})
    assert message.startswith("environment variable ORGSCAN_THRESHOLDS__ROOT_USAGE_DAYS: must be")


@pytest.mark.parametrize(
    "value", ["0", "-1", "1000000000", "1e9", "nan", "inf", "1.5", "true", "false", "'many'", "[3]"]
)
def test_concurrency_is_a_sane_whole_number(write: Any, value: str) -> None:
    assert "concurrency: must be" in refused(write(f"concurrency = {value}"))


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "true", "'soon'", "1e9"])
@pytest.mark.parametrize("name", ["call_timeout_seconds", "report_timeout_seconds"])
def test_deadlines_are_finite(write: Any, name: str, value: str) -> None:
    assert f"{name}: must be" in refused(write(f"{name} = {value}"))


@pytest.mark.parametrize("value", ["true", "nan", "-1", "0", "'long'", "[1]"])
def test_thresholds_are_numbers_of_days(write: Any, value: str) -> None:
    text = f"[thresholds]\naccess_key_max_age_days = {value}"
    assert "thresholds.access_key_max_age_days: must be" in refused(write(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile = 5", "profile: must be a valid string (got 5)"),
        ("account_tags = 'perhaps'", "account_tags: must be a valid boolean"),
        ("include_ous = {a = 1}", "include_ous: must be a list"),
        ("accounts = {a = 1}", "accounts: must be a list"),
        ("thresholds = 5", "thresholds: must be a section"),
        ("[[thresholds]]\nroot_usage_days = 3", "thresholds: must be a section"),
        ("session_duration_seconds = 899", "session_duration_seconds: must be"),
        ("session_duration_seconds = 43201", "session_duration_seconds: must be"),
        ("[thresholds]\nsetup_rule = 'guess'", "thresholds.setup_rule: must be 'creation-time'"),
    ],
)
def test_wrong_types_are_refused(write: Any, text: str, said: str) -> None:
    assert said in refused(write(text))


@pytest.mark.parametrize("name", ["accounts", "exclude_accounts"])
class TestAccountIds:
    @pytest.mark.parametrize(
        "value", ["12345678901", "1234567890123", "12345678901x", "\uff11" * 12]
    )
    def test_have_exactly_twelve_digits(self, write: Any, name: str, value: str) -> None:
        said = f"{value!r} is not an account id; it has exactly 12 digits"
        assert said in refused(write(f"{name} = ['{value}']"))
        assert said in refused(write(f"{name} = '{value}'"))
        assert said in refused(environment={f"ORGSCAN_{name.upper()}": f"000000000001,{value}"})
        assert said in refused(**{name: (value,)})

    @pytest.mark.parametrize("value", ["[123456789012]", "123456789012", "[1.5]"])
    def test_are_no_numbers(self, write: Any, name: str, value: str) -> None:
        assert "is a number; put account IDs in quotes" in refused(write(f"{name} = {value}"))

    def test_keep_their_zeros(self, write: Any, name: str) -> None:
        found = load(write(f"{name} = ['000000000012']"), environment={})
        assert getattr(found, name) == ("000000000012",)


@pytest.mark.parametrize(
    "name", ["arn:aws:iam::123456789012:role/audit", "audit/role", "", "a" * 65, "rôle", "a\nb"]
)
def test_a_role_name_is_a_bare_name(name: str) -> None:
    assert "is not a role name; give the bare name" in refused(role_name=name)


@pytest.mark.parametrize("path", ["audit", "/audit", "audit/", "//" + "x" * 512 + "/", "/ü/"])
def test_a_role_path_begins_and_ends_with_a_slash(path: str) -> None:
    assert "is not a role path" in refused(role_path=path)


@pytest.mark.parametrize("path", ["/", "/audit/", "/a/b/"])
def test_good_role_paths(path: str) -> None:
    assert load(environment={}, role_path=path).role_path == path


@pytest.mark.parametrize("value", ["?", "q" * 1225, "with space", "\u00fcmlaut"])
def test_a_bad_external_id_is_refused_and_not_repeated(value: str) -> None:
    message = refused(external_id=value)
    assert "an external id has 2 to 1,224 characters" in message
    assert value not in message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "http://localhost:1",
        "http://[::1]:80/path",
        "https://aws.example.com",
        "https://10.0.0.1:8443/aws",
    ],
)
def test_good_endpoints(url: str) -> None:
    assert load(environment={}, endpoint_url=url).endpoint_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://aws.example.com", "would send credentials unencrypted"),
        ("http://10.0.0.1", "would send credentials unencrypted"),
        ("http://0.0.0.0:80", "would send credentials unencrypted"),
        ("http://localhost.evil.example", "would send credentials unencrypted"),
        ("http://127.0.0.1.evil.example", "would send credentials unencrypted"),
        ("http://[::1].evil", "is not HOST or HOST:PORT"),
        ("https://[::1].evil:443", "is not HOST or HOST:PORT"),
        ("http://[::1]evil.example", "is not HOST or HOST:PORT"),
        ("http://[127.0.0.1]", "is not a URL"),
        ("http://127.0.0.1\\.evil", "is not HOST or HOST:PORT"),
        ("https://a:99999", "is not between 0 and 65535"),
        ("https://user:hunter2@host", "only a host, a port and a path"),
        ("http://user:hunter2@127.0.0.1", "only a host, a port and a path"),
        ("https://host?key=hunter2", "only a host, a port and a path"),
        ("https://host#hunter2", "only a host, a port and a path"),
        ("https://host:99999", "is not a URL"),
        ("https://host:port", "is not a URL"),
        ("https://user:hunter2@[host", "is not a URL"),
        ("ftp://user:hunter2@host", "is not a URL"),
        ("https://", "is not a URL"),
        ("localhost:4566", "is not a URL"),
        ("file:///etc/passwd", "is not a URL"),
    ],
)
def test_bad_endpoints(url: str, said: str) -> None:
    message = refused(endpoint_url=url)
    assert message.startswith("option --endpoint-url: ")
    assert said in message
    assert "hunter2" not in message


class TestFiles:
    def test_an_empty_one_changes_nothing(self, write: Any) -> None:
        assert load(write(""), environment={}) == Settings()

    def test_a_byte_order_mark_changes_nothing(self, write: Any) -> None:
        assert load(write(b"\xef\xbb\xbfprofile = 'x'\r\n"), environment={}).profile == "x"

    def test_not_utf_8(self, write: Any) -> None:
        assert "byte 11 is not UTF-8; save the file as UTF-8" in refused(write(b"profile = '\xff'"))

    @pytest.mark.parametrize("text", ["concurrency = 1\nconcurrency = 2", "[thresholds]\n" * 2])
    def test_duplicates(self, write: Any, text: str) -> None:
        assert "not valid TOML: " in refused(write(text))

    def test_no_toml(self, write: Any) -> None:
        message = refused(write("concurrency: 3"))
        assert "not valid TOML: " in message
        assert "line 1" in message

    def test_lists_within_lists(self, write: Any) -> None:
        message = refused(write("profile = " + "[" * 100_000))
        assert "not valid TOML: " in message

    def test_a_directory(self, tmp_path: Path) -> None:
        assert refused(tmp_path) == f"{tmp_path}: is a directory; name a TOML file"

    def test_missing(self, tmp_path: Path) -> None:
        message = refused(tmp_path / "none.toml")
        assert "none.toml: cannot be read (No such file or directory); check the path" in message

    def test_too_large(self, write: Any) -> None:
        assert "larger than 1 MB" in refused(write("#" * 1_000_001))

    def test_so_large_that_reading_it_whole_would_hurt(self, write: Any) -> None:
        file = write("")
        os.truncate(file, 300_000_000)
        tracemalloc.start()
        assert "larger than 1 MB" in refused(file)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000


class TestThresholdOverrides:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("account = '000000000012'", "account 000000000012"),
            ("ou = 'Root/Sandbox'", "OU Root/Sandbox"),
            ("ou = 'Root'", "OU Root"),
            ("tag = 'environment=dev'", "tag environment=dev"),
            ("tag = 'environment='", "tag environment="),
            ("tag = 'a=b=c'", "tag a=b=c"),
        ],
    )
    def test_name_one_scope(self, write: Any, text: str, label: str) -> None:
        file = write(
            f"account_tags = true\n[[threshold_overrides]]\n{text}\nroot_usage_days = 30\n"
        )
        (item,) = load(file, environment={}).threshold_overrides
        assert (item.label, item.given) == (label, {"root_usage_days": 30})

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("root_usage_days = 3", "set exactly one of account, ou and tag (here: none)"),
            (
                "ou = 'Root'\naccount = '000000000001'\nroot_usage_days = 3",
                "set exactly one of account, ou and tag (here: account and ou)",
            ),
            ("ou = 'Root'", "sets no threshold; give at least one"),
            ("", "set exactly one"),
            ("account = 123456789012\nroot_usage_days = 3", "put account IDs in quotes"),
            ("account = '12345'\nroot_usage_days = 3", "it has exactly 12 digits"),
            ("ou = 5\nroot_usage_days = 3", "ou: must be a valid string"),
            ("ou = ''\nroot_usage_days = 3", "is not an OU path"),
            ("ou = 'Root/'\nroot_usage_days = 3", "is not an OU path"),
            ("ou = '/Root'\nroot_usage_days = 3", "is not an OU path"),
            ('ou = "Root/a\\nb"\nroot_usage_days = 3', "is not an OU path"),
            ("ou = 'ou-ab12-11111111'\nroot_usage_days = 3", "is an id; give the path"),
            ("ou = 'r-ab12'\nroot_usage_days = 3", "is an id; give the path"),
            ("tag = 'dev'\nroot_usage_days = 3", "is not a tag; it looks like environment=dev"),
            ("tag = '=dev'\nroot_usage_days = 3", "is not a tag"),
            ("tag = 5\nroot_usage_days = 3", "tag: must be a valid string"),
            ("ou = 'Root'\nroot_usage_days = -1", "root_usage_days: must be greater than 0"),
            ("ou = 'Root'\nroot_usage_days = nan", "root_usage_days: must be"),
            ("ou = 'Root'\nroot_usage_days = true", "must be a number (got true)"),
            ("ou = 'Root'\nroot_usage_day = 3", "unknown key 'root_usage_day'; did you mean root_"),
            ("oo = 'Root'\nroot_usage_days = 3", "unknown key 'oo'; did you mean ou?"),
        ],
    )
    def test_what_is_wrong_names_the_entry(self, write: Any, text: str, said: str) -> None:
        good = "[[threshold_overrides]]\nou = 'Root/A'\nroot_usage_days = 1\n"
        file = write(f"account_tags = true\n{good}[[threshold_overrides]]\n{text}\n")
        message = refused(file)
        assert message.startswith(f"{file}: threshold_overrides, entry 2")
        assert said in message

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("threshold_overrides = 5", "threshold_overrides: must be a list"),
            ("threshold_overrides = [5]", "threshold_overrides, entry 1: must be"),
            ("[threshold_overrides]\nou = 'Root'", "threshold_overrides: must be a list"),
            ("threshold_overrides = 'x'", "goes into a settings file, as [[threshold_overrides]]"),
        ],
    )
    def test_are_a_list_of_sections(self, write: Any, text: str, said: str) -> None:
        assert said in refused(write(text))

    def test_do_not_fit_into_a_variable(self) -> None:
        message = refused(environment={"ORGSCAN_THRESHOLD_OVERRIDES": "x"})
        assert "goes into a settings file" in message

    def test_may_name_what_they_are_not_for(self) -> None:
        entry = {"ou": "Root", "account": None, "tag": None, "root_usage_days": 3}
        (item,) = load(environment={}, threshold_overrides=[entry]).threshold_overrides
        assert item.scope == ("ou", "Root")

    def test_set_nothing_twice(self, write: Any) -> None:
        entry = "[[threshold_overrides]]\nou = 'Root'\nroot_usage_days = {}\n"
        message = refused(write(entry.format(1) + entry.format(1)))
        assert "root_usage_days is set twice for OU Root; remove one" in message
        other = "[[threshold_overrides]]\nou = 'Root'\nunused_credential_days = 3\n"
        assert len(load(write(entry.format(1) + other), environment={}).threshold_overrides) == 2

    def test_for_tags_need_tags(self, write: Any) -> None:
        entry = "[[threshold_overrides]]\ntag = 'a=b'\nroot_usage_days = 3\n"
        file = write(entry)
        message = refused(file)
        assert message.startswith(f"{file}: threshold_overrides: tag a=b requires account tags")
        assert message.endswith("set account_tags = true")
        assert load(file, environment={}, account_tags=True).threshold_overrides


class TestFrameworks:
    def test_the_default_is_the_newest_cis(self) -> None:
        assert load(environment={}).frameworks == ("cis-7.0",)

    def test_are_kept_in_order_and_once(self, write: Any) -> None:
        file = write("frameworks = ['fsbp', 'cis-7.0', 'fsbp']")
        assert load(file, environment={}).frameworks == ("fsbp", "cis-7.0")
        environment = {"ORGSCAN_FRAMEWORKS": "soc-2, cis-5.0"}
        assert load(file, environment=environment).frameworks == ("soc-2", "cis-5.0")
        assert load(file, environment=environment, frameworks=("x",)).frameworks == ("x",)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("frameworks = []", "frameworks: is empty; name at least one"),
            ("frameworks = 7.0", "frameworks: must be a list"),
            ("frameworks = [7.0]", "frameworks: must be a valid string"),
            ("framework = ['fsbp']", "did you mean frameworks?"),
            ("framework_files = {a = 1}", "framework_files: must be a list"),
        ],
    )
    def test_wrong_types(self, write: Any, text: str, said: str) -> None:
        assert said in refused(write(text))


def test_what_a_run_keeps_tells_set_limits_from_defaults(write: Any) -> None:
    file = write(
        "frameworks = ['fsbp']\nframework_files = ['mine.toml']\nexternal_id = 'shibboleth'\n"
        "[thresholds]\naccess_key_max_age_days = 90\n"
        "[[threshold_overrides]]\nou = 'Root/Dev'\nunused_credential_days = 60\n"
    )
    kept = load(file, environment={}).stored
    assert kept["thresholds"] == {"access_key_max_age_days": 90}
    assert kept["threshold_overrides"] == [{"ou": "Root/Dev", "unused_credential_days": 60}]
    assert not {"external_id", "framework_files"} & kept.keys()
    again = load(environment={}, stored=json.loads(json.dumps(kept)))
    assert again.stored == kept
    assert again.thresholds.given == {"access_key_max_age_days": 90}
    assert "shibboleth" not in json.dumps(kept)


@pytest.mark.parametrize(
    ("url", "simulated"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://127.8.9.1", True),
        ("https://localhost:4566/path", True),
        ("http://[::1]:4566", True),
        ("http://[::1]", True),
        (None, False),
        ("https://iam.amazonaws.com", False),
        ("https://localhost.example.com", False),
        ("https://127.0.0.1.example.com", False),
        ("https://[::1].example.com", False),
        ("http://[::1].evil", False),
        ("http://[::1", False),
    ],
)
def test_a_run_is_simulated_where_its_endpoint_is_a_loopback_address(
    url: str | None, *, simulated: bool
) -> None:
    assert is_simulated(url) is simulated
