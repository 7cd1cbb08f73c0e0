"""Detached signatures: AWS KMS makes them, anybody with the public key checks them offline.

KMS signs the SHA-256 digest of the manifest's bytes as they are on disk, so that OpenSSL checks a
signature as well as orgscan does.
"""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from orgscan.errors import IntegrityError, Malformed, Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orgscan.models import Calls

ACTIONS = ("kms:GetPublicKey", "kms:Sign")
"""Called only where a signature is asked for, with the key as resource."""

FORMAT = 1
ALGORITHMS = ("ECDSA_SHA_256", "RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256")
"""KMS's names, the preferred one first; all sign a SHA-256 digest."""

_KEY = re.compile(
    r"(?:arn:(?P<partition>aws[a-z-]*):kms:(?P<region>[a-z0-9-]+):\d{12}:)?"
    r"(?:(?:key/)?(?:mrk-)?[0-9a-f-]{32,36}|alias/[\w/-]{1,250})",
    re.ASCII,
)
_MAX_KEY_FILE_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature and what it says of itself; only the check against a public key proves it."""

    manifest_sha256: str
    key_arn: str
    algorithm: str
    signature: str
    """Base64."""
    public_key: str
    """PEM, for information: a forger would put in their own."""
    format: int = FORMAT

    def document(self) -> dict[str, Any]:
        """The content of the signature file."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read :meth:`document` back; unknown members are left out.

        Raises :class:`orgscan.errors.IntegrityError` where it is no signature.
        """
        try:
            read = cls(**{of.name: document[of.name] for of in fields(cls)})
        except KeyError:
            read = None
        texts = ("manifest_sha256", "key_arn", "algorithm", "signature", "public_key")
        if read is None or not all(isinstance(getattr(read, name), str) for name in texts):
            raise IntegrityError("is not a signature of orgscan")
        if read.format != FORMAT:
            raise IntegrityError(
                f"has format {read.format}, this orgscan reads {FORMAT}; upgrade orgscan"
            )
        return read


def key_region(key: str) -> str | None:
    """The Region an ARN names, None for a key id or alias.

    Raises :class:`orgscan.errors.UsageError` where ``key`` cannot be a KMS key.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise UsageError(
            f"--sign-with-kms {key!r} is not a KMS key; give an ARN "
            "(arn:aws:kms:REGION:ACCOUNT:key/ID), a key id or alias/NAME"
        )
    return match["region"]


async def sign(kms: Calls, key: str, manifest_sha256: str) -> Signature:
    """Have KMS sign a manifest's digest with the asymmetric ``key``.

    Raises :class:`orgscan.errors.CallError`, also where the key cannot sign.
    """
    about = await kms.call("GetPublicKey", "PublicKey", KeyId=key)
    algorithm = _choose(about, key)
    answer = await kms.call(
        "Sign",
        "Signature",
        KeyId=key,
        Message=bytes.fromhex(manifest_sha256),
        MessageType="DIGEST",
        SigningAlgorithm=algorithm,
    )
    if answer.get("SigningAlgorithm") != algorithm or not isinstance(answer["Signature"], bytes):
        raise Malformed(
            f"kms:Sign: the answer holds no {algorithm} signature",
            code="MalformedAnswer",
            action="kms:Sign",
        )
    return Signature(
        manifest_sha256=manifest_sha256,
        key_arn=str(answer.get("KeyId", key)),
        algorithm=algorithm,
        signature=base64.b64encode(answer["Signature"]).decode("ascii"),
        public_key=_pem(about["PublicKey"]),
    )


def _choose(about: Mapping[str, Any], key: str) -> str:
    usage = about.get("KeyUsage", "SIGN_VERIFY")
    offered = about.get("SigningAlgorithms") or []
    if usage != "SIGN_VERIFY":
        raise Refused(
            f"KMS key {key} is for {usage}; signing needs an asymmetric SIGN_VERIFY key",
            code="InvalidKeyUsage",
            action="kms:GetPublicKey",
        )
    for algorithm in ALGORITHMS:
        if algorithm in offered:
            return algorithm
    message = (
        f"KMS key {key} signs with {', '.join(offered) or 'nothing known'}; orgscan needs one of "
        f"{', '.join(ALGORITHMS)}, as an ECC_NIST_P256 or RSA key has"
    )
    raise Refused(message, code="InvalidKeyUsage", action="kms:GetPublicKey")


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))


class PublicKey:
    """The key a signature is checked against, obtained apart from the run."""

    def __init__(self, key: Any) -> None:
        """Use :meth:`read`."""
        self._key = key

    @classmethod
    def read(cls, path: Path) -> Self:
        """A public key in PEM, or in DER as ``aws kms get-public-key`` gives it.

        Raises :class:`orgscan.errors.UsageError` where the file holds none, or the package
        ``cryptography`` is not installed.
        """
        load_der, load_pem = _loaders()
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_KEY_FILE_BYTES)
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            return cls(load_pem(raw) if raw.lstrip().startswith(b"-----") else load_der(raw))
        except Exception as error:  # noqa: BLE001 - cryptography's errors have no common base
            raise UsageError(
                f"{path}: holds no public key in PEM or DER ({type(error).__name__})"
            ) from None

    def check(self, signature: Signature) -> None:
        """Check a signature over the digest it names.

        Raises :class:`orgscan.errors.IntegrityError` where this key did not make it.
        """
        from cryptography.exceptions import (  # noqa: PLC0415 - an extra
            InvalidSignature,
        )

        try:
            raw = base64.b64decode(signature.signature, validate=True)
            digest = bytes.fromhex(signature.manifest_sha256)
        except ValueError:
            raise IntegrityError("was altered: it is not in base64 and hexadecimal") from None
        try:
            self._verify(signature.algorithm, raw, digest)
        except (InvalidSignature, ValueError):
            raise IntegrityError(
                "is invalid: the manifest was altered, or another key signed it "
                f"(it names {signature.key_arn})"
            ) from None

    def _verify(self, algorithm: str, raw: bytes, digest: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415 - an extra
            ec,
            padding,
            rsa,
        )
        from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415
            Prehashed,
        )
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        hashed, key = Prehashed(SHA256()), self._key
        pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)
        match algorithm:
            case "ECDSA_SHA_256" if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(raw, digest, ec.ECDSA(hashed))
            case "RSASSA_PSS_SHA_256" if isinstance(key, rsa.RSAPublicKey):
                key.verify(raw, digest, pss, hashed)
            case "RSASSA_PKCS1_V1_5_SHA_256" if isinstance(key, rsa.RSAPublicKey):
                key.verify(raw, digest, padding.PKCS1v15(), hashed)
            case _:
                raise ValueError(f"{algorithm} does not match this key")


def _loaders() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - an extra
            load_der_public_key,
            load_pem_public_key,
        )
    except ImportError:
        raise UsageError(
            "verifying a signature requires the package cryptography; install it with "
            "`pip install 'orgscan[sign]'`"
        ) from None
    return load_der_public_key, load_pem_public_key
