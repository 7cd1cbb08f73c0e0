"""A second opinion: the same scan against moto, someone else's AWS.

moto's known gaps are part of what is expected here: its credential report has no root row, so that
every account is PARTIAL and every control on root UNKNOWN; in accounts without users the report is
empty. It never denies AssumeRole and pages nothing. Two answers that AWS never gives are corrected,
because orgscan refuses them: moto leaves IsTruncated out of ListAccessKeys, and dates every report
2015. Service-specific credentials and SSH keys, of which moto knows too little, are none.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse
from moto.server import ThreadedMotoServer

import orgscan
from orgscan.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orgscan.runs.run import Run

MANAGEMENT = "123456789012"
"""The account moto takes every caller without a session for."""

ROOT_CONTROLS = [
    "root-access-key",
    "root-hardware-mfa",
    "root-mfa",
    "root-signing-certificate",
    "root-usage",
]
PLACES = {"app": "Workloads/Prod", "data": "Workloads", "empty": "", "closed": ""}
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
TEMPLATE = Path(__file__).parents[1] / "config" / "audit-role.cloudformation.yaml"


@dataclass
class Elsewhere:
    """moto's organization, and what was put into it."""

    endpoint_url: str
    client: Callable[..., Any]
    accounts: dict[str, str] = field(default_factory=dict)
    """Account id by name."""
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    """User and status by access key id."""
    seeds: list[bytes] = field(default_factory=list)
    """What nobody but a virtual MFA device and AWS may know."""

    def enter(self, name: str, service: str = "iam") -> Any:
        """A client of a member account, through a role."""
        answer = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{self.accounts[name]}:role/OrgScanAudit",
            RoleSessionName="setup",
        )["Credentials"]
        session = [answer[part] for part in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        return self.client(service, session)

    def add_key(self, iam: Any, user: str, status: str = "Active") -> None:
        key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
        iam.update_access_key(UserName=user, AccessKeyId=key, Status=status)
        self.keys[key] = (user, status)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    session = boto3.Session(region_name="us-east-1")
    with ExitStack() as stack:
        stack.callback(server.stop)
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            IamResponse, "list_access_keys", _with_flag(IamResponse.list_access_keys)
        )
        for name, members in (
            ("list_service_specific_credentials", "ServiceSpecificCredentials"),
            ("list_ssh_public_keys", "SSHPublicKeys"),
        ):
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(
                IamResponse, name, _nothing(members), raising=False
            )
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            IamResponse, "get_credential_report", _dated_now(IamResponse.get_credential_report)
        )

        def client(service: str, credentials: Any = KEYS) -> Any:
            key, secret, token = credentials
            made = session.client(
                service,
                endpoint_url=f"http://{host}:{port}",
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
            )
            return stack.enter_context(closing(made))

        world = Elsewhere(f"http://{host}:{port}", client)
        _found(world)
        _populate(world)
        yield world


def _with_flag(listing: Callable[..., ActionResult]) -> Callable[..., ActionResult]:
    def answer(self: IamResponse) -> ActionResult:
        return ActionResult({**listing(self).result, "IsTruncated": False})

    return answer


def _nothing(members: str) -> Callable[..., ActionResult]:
    def answer(_self: IamResponse) -> ActionResult:
        return ActionResult({members: [], "IsTruncated": False})

    return answer


def _dated_now(report: Callable[..., ActionResult]) -> Callable[..., ActionResult]:
    def answer(self: IamResponse) -> ActionResult:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return ActionResult({**report(self).result, "GeneratedTime": now})

    return answer


def _found(world: Elsewhere) -> None:
    organizations = world.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    places = {"": root}
    for path, parent in (("Workloads", ""), ("Workloads/Prod", "Workloads")):
        unit = organizations.create_organizational_unit(
            ParentId=places[parent], Name=path.rpartition("/")[2]
        )
        places[path] = unit["OrganizationalUnit"]["Id"]
    for name, path in PLACES.items():
        status = organizations.create_account(AccountName=name, Email=f"{name}@example.com")
        account_id = status["CreateAccountStatus"]["AccountId"]
        if path:
            organizations.move_account(
                AccountId=account_id, SourceParentId=root, DestinationParentId=places[path]
            )
        world.accounts[name] = account_id
    organizations.close_account(AccountId=world.accounts["closed"])


def _populate(world: Elsewhere) -> None:
    app = world.enter("app")
    for name, path in (
        ("alice", "/"),
        ("bob", "/team/"),
        ("NA", "/"),
        ("dev", "/"),
        ("dev-ops", "/"),
    ):
        app.create_user(UserName=name, Path=path)
    app.create_login_profile(UserName="alice", Password="correct horse battery 9!")
    app.update_account_password_policy(MinimumPasswordLength=14, PasswordReusePrevention=24)
    world.add_key(app, "alice")
    world.add_key(app, "alice", "Inactive")
    world.add_key(app, "bob")
    world.add_key(app, "dev-ops")
    world.enter("data").create_user(UserName="carol")
    # moto, unlike AWS, gives the seed away whenever devices are listed.
    device = app.create_virtual_mfa_device(VirtualMFADeviceName="bob")["VirtualMFADevice"]
    world.seeds.append(device["Base32StringSeed"])
    app.enable_mfa_device(
        UserName="bob",
        SerialNumber=device["SerialNumber"],
        AuthenticationCode1="123456",
        AuthenticationCode2="654321",
    )
    own = world.client("iam")
    own.create_user(UserName="admin")
    world.add_key(own, "admin")
    world.add_key(own, "admin")


@pytest.fixture(scope="module")
def scanned(
    elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    home = tmp_path_factory.mktemp("moto")
    output = home / "run"
    options = ["--endpoint-url", elsewhere.endpoint_url, "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "orgscan", "scan", "--role-name", "OrgScanAudit", *options],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done, output


@pytest.fixture(scope="module")
def run(scanned: tuple[subprocess.CompletedProcess[str], Path]) -> Run:
    return orgscan.open_run(scanned[1])


def test_gaps_are_told_by_exit_code_and_summary(
    scanned: tuple[subprocess.CompletedProcess[str], Path], elsewhere: Elsewhere
) -> None:
    done, _output = scanned
    assert done.returncode == ExitCode.COVERAGE_GAPS, done.stderr
    assert "Traceback" not in done.stderr
    for name, account_id in elsewhere.accounts.items():
        assert (account_id in done.stdout) == (name != "closed")
    assert "no <root_account> row" in done.stdout
    assert not re.search(r"No failures[. ]", done.stdout)


def test_every_account_is_there_once_and_partial(run: Run, elsewhere: Elsewhere) -> None:
    accounts = run.accounts.set_index("account_id")
    assert accounts.index.is_unique
    paths = {elsewhere.accounts[name]: f"Root/{path}".rstrip("/") for name, path in PLACES.items()}
    assert accounts["ou_path"].to_dict() == paths | {MANAGEMENT: "Root"}
    closed = accounts.loc[elsewhere.accounts["closed"]]
    assert (closed["state"], closed["coverage"]) == ("SUSPENDED", "NOT_ACTIVE")
    accounts = accounts.drop(elsewhere.accounts["closed"])
    assert set(accounts["coverage"]) == {"PARTIAL"}
    assert set(accounts["missing"]) == {"credential_report"}
    assert set(accounts["state"]) == {"ACTIVE"}
    assert accounts.index[accounts["is_management"]].tolist() == [MANAGEMENT]
    assert accounts.loc[elsewhere.accounts["empty"], "error_code"] == "ReportWithoutRows"
    others = accounts.drop(elsewhere.accounts["empty"])
    assert set(others["error_code"]) == {"ReportWithoutRoot"}


def test_the_caller_s_own_account_is_read_as_the_caller(run: Run) -> None:
    own = run.credentials[run.credentials["account_id"] == MANAGEMENT]
    assert own["user"].tolist() == ["admin"]
    assert own["active_access_keys"].tolist() == [2]


def test_nothing_about_root_is_known(run: Run) -> None:
    about_root = run.findings[run.findings["control_id"].isin(ROOT_CONTROLS)]
    assert set(about_root["status"]) == {"UNKNOWN"}
    assert len(about_root) == len(ROOT_CONTROLS) * len(run.gaps)
    assert not run.credentials["is_root"].any()


def test_users_are_those_of_their_account(run: Run, elsewhere: Elsewhere) -> None:
    found = run.credentials.groupby("account_id")["user"].agg(sorted).to_dict()
    assert found == {
        MANAGEMENT: ["admin"],
        elsewhere.accounts["app"]: ["NA", "alice", "bob", "dev", "dev-ops"],
        elsewhere.accounts["data"]: ["carol"],
    }
    assert set(run.credentials["source"]) == {"both"}
    with_mfa = run.credentials[run.credentials["mfa_active"].fillna(value=False)]
    assert with_mfa["user"].tolist() == ["bob"]
    with_password = run.credentials[run.credentials["password_enabled"].fillna(value=False)]
    assert with_password["user"].tolist() == ["alice"]


def test_keys_are_those_created_and_matched_to_their_slots(run: Run, elsewhere: Elsewhere) -> None:
    rows = run.access_keys.itertuples()
    assert {row.access_key_id: (row.user, row.status) for row in rows} == elsewhere.keys
    # Two keys of a user made within a second of each other cannot be told apart by the report.
    assert set(run.access_keys["match"]) <= {"matched", "ambiguous"}
    single = run.access_keys[run.access_keys["user"].isin(["bob", "dev-ops"])]
    assert set(single["match"]) == {"matched"}
    assert (run.access_keys["age_days"] < 1).all()


def test_what_can_be_judged_is(run: Run, elsewhere: Elsewhere) -> None:
    app = run.findings[run.findings["account_id"] == elsewhere.accounts["app"]]

    def verdicts(control: str) -> dict[str, str]:
        rows = app[app["control_id"] == control].itertuples()
        return {row.user if isinstance(row.user, str) else "": row.status for row in rows}

    assert verdicts("password-length") == {"": "PASS"}
    assert verdicts("password-reuse") == {"": "PASS"}
    assert verdicts("console-mfa")["alice"] == "FAIL"
    assert verdicts("console-mfa")["bob"] == "NOT_APPLICABLE"
    assert verdicts("single-active-access-key")["dev"] == "NOT_APPLICABLE"
    assert verdicts("user-without-credentials") == {
        "NA": "FAIL",
        "alice": "PASS",
        "bob": "PASS",
        "dev": "FAIL",
        "dev-ops": "PASS",
    }
    elsewhere_policies = run.findings[run.findings["control_id"] == "password-length"]
    assert elsewhere_policies["status"].value_counts().to_dict() == {"FAIL": 3, "PASS": 1}
    own = run.findings[run.findings["account_id"] == MANAGEMENT]
    single = own[own["control_id"] == "single-active-access-key"]
    assert single["status"].tolist() == ["FAIL"]


def test_no_seed_of_an_mfa_device_is_kept(
    scanned: tuple[subprocess.CompletedProcess[str], Path], elsewhere: Elsewhere
) -> None:
    assert elsewhere.seeds
    for path in scanned[1].iterdir():
        content = path.read_bytes()
        assert b"Base32StringSeed" not in content
        for seed in elsewhere.seeds:
            assert seed not in content
            assert b64encode(seed) not in content


@pytest.mark.usefixtures("scanned")
@pytest.mark.parametrize("external_id", ["", "example-external-id"])
def test_the_role_s_template_makes_the_role(elsewhere: Elsewhere, external_id: str) -> None:
    cloudformation = elsewhere.enter("data", "cloudformation")
    caller = f"arn:aws:iam::{MANAGEMENT}:role/Audit"
    name = f"OrgScanAudit{len(external_id)}"
    given = {"TrustedCaller": caller, "RoleName": name, "ExternalId": external_id}
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text("utf-8"),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    iam = elsewhere.enter("data")
    (trust,) = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": caller}
    condition = {"StringEquals": {"sts:ExternalId": external_id}} if external_id else None
    assert trust.get("Condition") == condition
    # What the policy says is compared in test_config.py; moto gives it back in another form.
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["ReadCredentialEvidence"]
