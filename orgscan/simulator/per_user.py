"""IAM's calls about the credentials of one user, and of one access key.

The service-specific credentials of all users can be listed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from orgscan.simulator.call import ServiceError
from orgscan.simulator.draw import digest
from orgscan.simulator.query import named_user, page, stamp, status
from orgscan.simulator.world import BEDROCK, CLOUDWATCH_LOGS, Mfa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud, Estate, Session
    from orgscan.simulator.world import Certificate, ServiceCredential, User

_BY_ALIAS = {BEDROCK: "BedrockAPIKey", CLOUDWATCH_LOGS: "CloudWatchLogsAPIKey"}
"""Services whose credentials are known by an alias instead of a user name."""


def get_login_profile(cloud: Cloud, session: Session, call: Call) -> str:
    """When the user's console password was set; NoSuchEntity says there is none."""
    user = named_user(cloud.estate(session.account_id), call)
    if user.password is None:
        raise ServiceError(
            404, "NoSuchEntity", f"Login Profile for User {user.name} cannot be found."
        )
    return (
        f"<LoginProfile><UserName>{escape(user.name)}</UserName>"
        f"<CreateDate>{stamp(user.password.changed)}</CreateDate>"
        "<PasswordResetRequired>false</PasswordResetRequired></LoginProfile>"
    )


def list_mfa_devices(cloud: Cloud, session: Session, call: Call) -> str:
    """The user's MFA device, if there is one."""
    estate = cloud.estate(session.account_id)
    user = named_user(estate, call)
    devices = [] if user.mfa is Mfa.NONE else [_serial(estate, user)]
    shown, paging = page(cloud, call.parameters, devices)
    members = _members(
        f"<UserName>{escape(user.name)}</UserName><SerialNumber>{escape(serial)}</SerialNumber>"
        f"<EnableDate>{stamp(user.created)}</EnableDate>"
        for serial in shown
    )
    return f"{paging}<MFADevices>{members}</MFADevices>"


def _serial(estate: Estate, user: User) -> str:
    """A virtual device's ARN; a hardware one is a security key or a token, half of each."""
    prefix = f"{estate.cloud.issuer}:iam::{estate.account.id}:"
    if user.mfa is Mfa.VIRTUAL:
        return f"{prefix}mfa/{user.name}"
    drawn = digest(estate.user_id(user), "device")
    if drawn % 2:
        return f"{prefix}u2f/user/{user.name}/{user.name}-{estate.letters(22, user, 'device')}"
    return f"GAHT{drawn % 10**8:08d}"


def get_access_key_last_used(cloud: Cloud, session: Session, call: Call) -> str:
    """When and for what a key was last used; N/A for one that never was."""
    identity = call.parameters.get("AccessKeyId", "")
    user, key = cloud.estate(session.account_id).key_owner(identity)
    used = "<ServiceName>N/A</ServiceName><Region>N/A</Region>"
    if key.last_used:
        used = (
            f"<LastUsedDate>{stamp(key.last_used)}</LastUsedDate>"
            f"<ServiceName>{escape(key.service)}</ServiceName><Region>{escape(key.region)}</Region>"
        )
    return f"<UserName>{escape(user.name)}</UserName><AccessKeyLastUsed>{used}</AccessKeyLastUsed>"


def list_signing_certificates(cloud: Cloud, session: Session, call: Call) -> str:
    """The user's X.509 signing certificates."""
    estate = cloud.estate(session.account_id)
    user = named_user(estate, call)
    numbered = list(enumerate(user.certificates))
    shown, paging = page(cloud, call.parameters, numbered)
    members = _members(
        _certificate(estate, user, number, certificate) for number, certificate in shown
    )
    return f"{paging}<Certificates>{members}</Certificates>"


def _certificate(estate: Estate, user: User, number: int, certificate: Certificate) -> str:
    identity = estate.letters(24, user, "certificate", number)
    active = "Active" if certificate.active else "Inactive"
    return (
        f"<UserName>{escape(user.name)}</UserName><CertificateId>{identity}</CertificateId>"
        "<CertificateBody>-----BEGIN CERTIFICATE-----\nSIMULATED\n-----END CERTIFICATE-----"
        f"</CertificateBody><Status>{active}</Status>"
        f"<UploadDate>{stamp(certificate.created)}</UploadDate>"
    )


def list_ssh_public_keys(cloud: Cloud, session: Session, call: Call) -> str:
    """The user's SSH public keys."""
    estate = cloud.estate(session.account_id)
    user = named_user(estate, call)
    shown, paging = page(cloud, call.parameters, estate.ssh_keys(user))
    members = _members(
        f"<UserName>{escape(user.name)}</UserName><SSHPublicKeyId>{identity}</SSHPublicKeyId>"
        f"<Status>{status(key)}</Status><UploadDate>{stamp(key.created)}</UploadDate>"
        for identity, key in shown
    )
    return f"{paging}<SSHPublicKeys>{members}</SSHPublicKeys>"


def list_service_specific_credentials(cloud: Cloud, session: Session, call: Call) -> str:
    """Service-specific credentials of one user or of all, of one service or of all."""
    estate = cloud.estate(session.account_id)
    owners = _owners(estate, call)
    if not estate.account.supports_service_credentials:
        raise ServiceError(
            404,
            "NotSupportedService",
            "The specified service does not support service-specific credentials.",
        )
    service = call.parameters.get("ServiceName")
    credentials = [
        (user, identity, credential)
        for user in owners
        for identity, credential in estate.service_credentials(user)
        if service in {None, credential.service}
    ]
    shown, paging = page(cloud, call.parameters, credentials)
    members = _members(_service_credential(estate, *credential) for credential in shown)
    return f"{paging}<ServiceSpecificCredentials>{members}</ServiceSpecificCredentials>"


def _owners(estate: Estate, call: Call) -> Iterable[User]:
    if call.parameters.get("AllUsers") != "true":
        return [named_user(estate, call)]
    if "UserName" in call.parameters:
        raise ServiceError(
            400, "ValidationError", "UserName cannot be specified together with AllUsers."
        )
    return estate.live.values()


def _service_credential(
    estate: Estate, user: User, identity: str, credential: ServiceCredential
) -> str:
    alias = _BY_ALIAS.get(credential.service)
    if alias:
        text = f"{alias}-{user.name}-at-{estate.account.id}"
        name = f"<ServiceCredentialAlias>{escape(text)}</ServiceCredentialAlias>"
    else:
        text = f"{user.name}-at-{estate.account.id}"
        name = f"<ServiceUserName>{escape(text)}</ServiceUserName>"
    expires = ""
    if credential.expires:
        expires = f"<ExpirationDate>{stamp(credential.expires)}</ExpirationDate>"
    return (
        f"<UserName>{escape(user.name)}</UserName><Status>{status(credential)}</Status>{name}"
        f"<CreateDate>{stamp(credential.created)}</CreateDate>{expires}"
        f"<ServiceSpecificCredentialId>{identity}</ServiceSpecificCredentialId>"
        f"<ServiceName>{escape(credential.service)}</ServiceName>"
    )


def _members(contents: Iterable[str]) -> str:
    return "".join(f"<member>{content}</member>" for content in contents)


ACTIONS: dict[str, Callable[[Cloud, Session, Call], str]] = {
    "GetLoginProfile": get_login_profile,
    "ListMFADevices": list_mfa_devices,
    "GetAccessKeyLastUsed": get_access_key_last_used,
    "ListSigningCertificates": list_signing_certificates,
    "ListSSHPublicKeys": list_ssh_public_keys,
    "ListServiceSpecificCredentials": list_service_specific_credentials,
}
