"""IAM's read calls, in the query protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from orgscan.simulator import per_user
from orgscan.simulator.call import ServiceError
from orgscan.simulator.cloud import REPORT_LIFETIME, root_arn
from orgscan.simulator.query import named_user, page, stamp, status
from orgscan.simulator.world import Mfa

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud, Estate, Session, StoredReport
    from orgscan.simulator.world import Root, User

_USERS_QUOTA = 5000


def generate_credential_report(cloud: Cloud, session: Session, _call: Call) -> str:
    """STARTED, INPROGRESS some times, COMPLETE; a report younger than four hours is reused."""
    account_id = session.account_id
    report = cloud.report(account_id)
    if report is not None and _advance(cloud, report):
        return "<State>COMPLETE</State>"
    if report is not None and report.making:
        return "<State>INPROGRESS</State>"
    cloud.start_report(account_id)
    return (
        "<State>STARTED</State>"
        "<Description>No report exists. Starting a new report generation task</Description>"
    )


def get_credential_report(cloud: Cloud, session: Session, _call: Call) -> str:
    """The stored report; three errors say why there is none."""
    report = cloud.report(session.account_id)
    if report is None or (report.generated_at is None and not report.making):
        raise ServiceError(
            410,
            "ReportNotPresent",
            "No report present. Call GenerateCredentialReport to create one.",
        )
    if not _advance(cloud, report):
        if report.making:
            raise ServiceError(404, "ReportInProgress", "Report generation is in progress")
        raise ServiceError(
            410,
            "ReportExpired",
            "Report is expired. Call GenerateCredentialReport to create a new one.",
        )
    content = cloud.estate(session.account_id).report(stored=report.stored).decode("ascii")
    return (
        f"<Content>{content}</Content><ReportFormat>text/csv</ReportFormat>"
        f"<GeneratedTime>{stamp(report.generated_at or cloud.now)}</GeneratedTime>"
    )


def _advance(cloud: Cloud, report: StoredReport) -> bool:
    """Let one round of a report's making pass; whether a valid report is there."""
    if report.making:
        report.rounds_left -= 1
        if report.rounds_left >= 0:
            return False
        report.making = False
        report.generated_at = cloud.now
    if report.generated_at is None:
        return False
    return cloud.now - report.generated_at < REPORT_LIFETIME


def list_users(cloud: Cloud, session: Session, call: Call) -> str:
    """Users by name, under a path prefix where one is given."""
    estate = cloud.estate(session.account_id)
    prefix = call.parameters.get("PathPrefix", "/")
    users = list(estate.live.values())
    if prefix != "/":
        users = [user for user in users if user.path.startswith(prefix)]
    shown, paging = page(cloud, call.parameters, users)
    members = "".join(f"<member>{_user(estate, user)}</member>" for user in shown)
    return f"{paging}<Users>{members}</Users>"


def _user(estate: Estate, user: User) -> str:
    last_used = ""
    if user.password and user.password.last_used:
        last_used = f"<PasswordLastUsed>{stamp(user.password.last_used)}</PasswordLastUsed>"
    arn = f"{estate.cloud.issuer}:iam::{estate.account.id}:user{user.path}{user.name}"
    return (
        f"<Path>{escape(user.path)}</Path><UserName>{escape(user.name)}</UserName>"
        f"<UserId>{estate.user_id(user)}</UserId><Arn>{escape(arn)}</Arn>"
        f"<CreateDate>{stamp(user.created)}</CreateDate>{last_used}"
    )


def list_access_keys(cloud: Cloud, session: Session, call: Call) -> str:
    """One user's keys; never the root user's."""
    estate = cloud.estate(session.account_id)
    user = named_user(estate, call)
    shown, paging = page(cloud, call.parameters, estate.keys(user))
    owner = escape(user.name)
    members = "".join(
        f"<member><UserName>{owner}</UserName><AccessKeyId>{identity}</AccessKeyId>"
        f"<Status>{status(key)}</Status>"
        f"<CreateDate>{stamp(key.created)}</CreateDate></member>"
        for identity, key in shown
    )
    return f"{paging}<AccessKeyMetadata>{members}</AccessKeyMetadata>"


def get_account_summary(cloud: Cloud, session: Session, _call: Call) -> str:
    """Counts of the account as it is now."""
    estate = cloud.estate(session.account_id)
    root, users = estate.account.root, estate.live.values()
    owners: list[Root | User] = [root, *users]
    counts: dict[str, int | None] = {
        "Users": len(estate.live),
        "UsersQuota": _USERS_QUOTA,
        "Groups": 0,
        "Roles": len(estate.account.roles),
        "AccountMFAEnabled": int(root.mfa is not Mfa.NONE),
        "AccountAccessKeysPresent": int(bool(root.keys)),
        "AccountPasswordPresent": int(root.password is not None or bool(root.password_word)),
        "AccountSigningCertificatesPresent": int(bool(root.certificates)),
        "MFADevices": sum(owner.mfa is Mfa.VIRTUAL for owner in owners),
        "MFADevicesInUse": sum(owner.mfa is not Mfa.NONE for owner in owners),
        "AccessKeysPerUserQuota": 2,
        "SigningCertificatesPerUserQuota": 2,
        "GlobalEndpointTokenVersion": 2,
        **estate.account.summary,
    }
    entries = "".join(
        f"<entry><key>{key}</key><value>{value}</value></entry>"
        for key, value in counts.items()
        if value is not None
    )
    return f"<SummaryMap>{entries}</SummaryMap>"


def get_account_password_policy(cloud: Cloud, session: Session, _call: Call) -> str:
    """The policy; NoSuchEntity says there is none."""
    policy = cloud.accounts[session.account_id].password_policy
    if policy is None:
        raise ServiceError(
            404,
            "NoSuchEntity",
            f"The Password Policy with domain name {session.account_id} cannot be found.",
        )
    optional = ""
    if policy.maximum_age_days:
        optional += f"<MaxPasswordAge>{policy.maximum_age_days}</MaxPasswordAge>"
    if policy.reuse is not None:
        optional += f"<PasswordReusePrevention>{policy.reuse}</PasswordReusePrevention>"
    expires = "true" if policy.maximum_age_days else "false"
    return (
        f"<PasswordPolicy><MinimumPasswordLength>{policy.minimum_length}"
        "</MinimumPasswordLength><RequireSymbols>true</RequireSymbols>"
        "<RequireNumbers>true</RequireNumbers>"
        "<RequireUppercaseCharacters>true</RequireUppercaseCharacters>"
        "<RequireLowercaseCharacters>true</RequireLowercaseCharacters>"
        "<AllowUsersToChangePassword>true</AllowUsersToChangePassword>"
        f"<ExpirePasswords>{expires}</ExpirePasswords>{optional}</PasswordPolicy>"
    )


def list_virtual_mfa_devices(cloud: Cloud, session: Session, call: Call) -> str:
    """Virtual devices; all of them are assigned here."""
    estate = cloud.estate(session.account_id)
    devices = []
    if call.parameters.get("AssignmentStatus") != "Unassigned":
        devices = _devices(cloud, estate)
    shown, paging = page(cloud, call.parameters, devices)
    members = "".join(f"<member>{device}</member>" for device in shown)
    return f"{paging}<VirtualMFADevices>{members}</VirtualMFADevices>"


def _devices(cloud: Cloud, estate: Estate) -> list[str]:
    account = estate.account
    prefix = f"{cloud.issuer}:iam::{account.id}:mfa/"
    devices = []
    if account.root.mfa is Mfa.VIRTUAL:
        owner = (
            f"<UserId>{account.id}</UserId><Arn>{root_arn(cloud, account.id)}</Arn>"
            f"<CreateDate>{stamp(account.joined)}</CreateDate>"
        )
        devices.append(_device(f"{prefix}root-account-mfa-device", owner, account.joined))
    devices += [
        _device(f"{prefix}{escape(user.name)}", _user(estate, user), user.created)
        for user in estate.live.values()
        if user.mfa is Mfa.VIRTUAL
    ]
    return devices


def _device(serial: str, owner: str, enabled: datetime) -> str:
    return (
        f"<SerialNumber>{serial}</SerialNumber><User>{owner}</User>"
        f"<EnableDate>{stamp(enabled)}</EnableDate>"
    )


ACTIONS: dict[str, Callable[[Cloud, Session, Call], str]] = {
    "GenerateCredentialReport": generate_credential_report,
    "GetCredentialReport": get_credential_report,
    "ListUsers": list_users,
    "ListAccessKeys": list_access_keys,
    "GetAccountSummary": get_account_summary,
    "GetAccountPasswordPolicy": get_account_password_policy,
    "ListVirtualMFADevices": list_virtual_mfa_devices,
    **per_user.ACTIONS,
}
