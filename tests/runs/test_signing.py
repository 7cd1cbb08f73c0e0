"""Signatures of the manifest: made by KMS, moto's and a scripted one, checked offline.

moto ignores ``MessageType``: it would hash the digest once more. What it should do is put into
its two kinds of key here; keys, aliases, Regions and errors are its own.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import shutil
import subprocess
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from moto.server import ThreadedMotoServer

from orgscan import settings
from orgscan.aws import Aws
from orgscan.cli import main
from orgscan.errors import (
    CallError,
    IntegrityError,
    Malformed,
    RunError,
    UsageError,
)
from orgscan.models import Clock, Credentials, Observer
from orgscan.pipeline.sign import sign as sign_run
from orgscan.role.policy import declared_actions
from orgscan.runs import rundir, signing
from orgscan.runs.seal import read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLER = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
DIGEST = hashlib.sha256(b"manifest").hexdigest()
ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def pem(key: Any) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def der(key: Any) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture(scope="module")
def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class ScriptedKms:
    """KMS with one elliptic key, as :class:`orgscan.models.Calls`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, **answers: dict[str, Any]) -> None:
        self.key, self.answers = key, answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(self, action: str, _result: str, /, **parameters: Any) -> dict[str, Any]:
        self.asked.append((action, parameters))
        if action == "GetPublicKey":
            answer = {
                "KeyId": ARN, "PublicKey": der(self.key.public_key()), "KeyUsage": "SIGN_VERIFY",
                "SigningAlgorithms": ["ECDSA_SHA_256"],
            }  # fmt: skip
        else:
            assert parameters["MessageType"] == "DIGEST"
            raw = self.key.sign(parameters["Message"], ec.ECDSA(Prehashed(SHA256())))
            answer = {"KeyId": ARN, "Signature": raw, "SigningAlgorithm": "ECDSA_SHA_256"}
        return answer | self.answers.get(action, {})

    def pages(self, action: str, _result: str, /, **_parameters: Any) -> Any:
        raise AssertionError(action)


class TestKeyNames:
    @pytest.mark.parametrize(
        ("key", "region"),
        [
            (ARN, "eu-west-1"),
            ("arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/audit", "us-gov-west-1"),
            ("arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
             "cn-north-1"),
            ("1234abcd-12ab-34cd-56ef-1234567890ab", None),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", None),
            ("alias/audit/manifests", None),
        ],
    )  # fmt: skip
    def test_the_region_is_that_of_the_arn(self, key: str, region: str | None) -> None:
        assert signing.key_region(key) == region

    @pytest.mark.parametrize(
        "key", ["", "audit", "alias/", "arn:aws:s3:::bucket", f"{ARN}\n", "alias/a b", "-k"]
    )
    def test_what_is_no_key_is_told_before_anything_is_done(self, key: str) -> None:
        with pytest.raises(UsageError, match="is not a KMS key; give an ARN"):
            signing.key_region(key)


class TestSign:
    async def test_the_digest_is_signed_with_what_the_key_offers(self, elliptic: Any) -> None:
        kms = ScriptedKms(elliptic)
        made = await signing.sign(kms, "alias/audit", DIGEST)

        assert [action for action, _ in kms.asked] == ["GetPublicKey", "Sign"]
        assert {f"kms:{action}" for action, _ in kms.asked} == set(signing.ACTIONS)
        assert kms.asked[1][1] == {
            "KeyId": "alias/audit", "Message": bytes.fromhex(DIGEST), "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        }  # fmt: skip
        assert made.key_arn == ARN
        assert made.public_key.encode() == pem(elliptic.public_key())
        assert signing.Signature.of(json.loads(json.dumps(made.document()))) == made

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (["RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PSS_SHA_256"],
             "RSASSA_PSS_SHA_256"),
            (["RSASSA_PKCS1_V1_5_SHA_256"], "RSASSA_PKCS1_V1_5_SHA_256"),
            (["RSASSA_PSS_SHA_256", "ECDSA_SHA_256"], "ECDSA_SHA_256"),
        ],
    )  # fmt: skip
    async def test_the_algorithm_is_the_best_on_offer(
        self, elliptic: Any, offered: list[str], chosen: str
    ) -> None:
        kms = ScriptedKms(
            elliptic, GetPublicKey={"SigningAlgorithms": offered}, Sign={"SigningAlgorithm": chosen}
        )
        assert (await signing.sign(kms, ARN, DIGEST)).algorithm == chosen

    @pytest.mark.parametrize(
        ("about", "words"),
        [
            ({"KeyUsage": "ENCRYPT_DECRYPT", "SigningAlgorithms": None}, "is for ENCRYPT_DECRYPT"),
            ({"SigningAlgorithms": ["ECDSA_SHA_384"]}, "signs with ECDSA_SHA_384; orgscan needs"),
            ({"SigningAlgorithms": []}, "signs with nothing known"),
        ],
    )
    async def test_a_key_that_cannot_is_not_asked_to(
        self, elliptic: Any, about: dict[str, Any], words: str
    ) -> None:
        kms = ScriptedKms(elliptic, GetPublicKey=about)
        with pytest.raises(CallError, match=words):
            await signing.sign(kms, ARN, DIGEST)
        assert len(kms.asked) == 1

    @pytest.mark.parametrize(
        "answer", [{"SigningAlgorithm": "ECDSA_SHA_384"}, {"Signature": "text"}]
    )
    async def test_an_answer_that_is_no_signature(self, elliptic: Any, answer: Any) -> None:
        with pytest.raises(Malformed, match="holds no ECDSA_SHA_256 signature"):
            await signing.sign(ScriptedKms(elliptic, Sign=answer), ARN, DIGEST)


class TestCheck:
    @pytest.fixture
    async def made(self, elliptic: Any) -> signing.Signature:
        return await signing.sign(ScriptedKms(elliptic), ARN, DIGEST)

    @pytest.fixture
    def key(self, elliptic: Any, tmp_path: Path) -> signing.PublicKey:
        path = tmp_path / "key.pem"
        path.write_bytes(pem(elliptic.public_key()))
        return signing.PublicKey.read(path)

    async def test_a_true_one_passes(
        self, made: Any, key: Any, elliptic: Any, tmp_path: Path
    ) -> None:
        key.check(made)
        path = tmp_path / "key.der"
        path.write_bytes(der(elliptic.public_key()))
        signing.PublicKey.read(path).check(made)

    @pytest.mark.parametrize(
        "change",
        [
            {"manifest_sha256": hashlib.sha256(b"another").hexdigest()},
            {"manifest_sha256": "no hexadecimal"},
            {"manifest_sha256": "00"},
            {"signature": base64.b64encode(b"anything").decode()},
            {"signature": "no base64!"},
            {"signature": ""},
            {"algorithm": "RSASSA_PSS_SHA_256"},
            {"algorithm": "none"},
        ],
    )
    async def test_any_change_fails(self, made: Any, key: Any, change: dict[str, str]) -> None:
        with pytest.raises(IntegrityError, match="was altered"):
            key.check(replace(made, **change))

    async def test_what_it_says_of_its_own_key_counts_for_nothing(
        self, made: Any, tmp_path: Path
    ) -> None:
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        path = tmp_path / "other.pem"
        path.write_bytes(pem(other))
        with pytest.raises(
            IntegrityError, match="the manifest was altered, or another key signed it"
        ):
            signing.PublicKey.read(path).check(replace(made, public_key=pem(other).decode()))

    @pytest.mark.parametrize("algorithm", ["RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256"])
    async def test_rsa(self, tmp_path: Path, made: Any, algorithm: str) -> None:
        private = rsa.generate_private_key(65537, 2048)
        pads = {
            # The salt is as long as the hash, as KMS makes it.
            "RSASSA_PSS_SHA_256": padding.PSS(padding.MGF1(SHA256()), 32),
            "RSASSA_PKCS1_V1_5_SHA_256": padding.PKCS1v15(),
        }
        raw = private.sign(bytes.fromhex(DIGEST), pads[algorithm], Prehashed(SHA256()))
        signature = replace(made, algorithm=algorithm, signature=base64.b64encode(raw).decode())
        path = tmp_path / "rsa.pem"
        path.write_bytes(pem(private.public_key()))
        key = signing.PublicKey.read(path)
        key.check(signature)
        for other in set(pads) - {algorithm} | {"ECDSA_SHA_256"}:
            with pytest.raises(IntegrityError):
                key.check(replace(signature, algorithm=other))

    async def test_a_key_of_another_kind(self, made: Any, tmp_path: Path) -> None:
        path = tmp_path / "ed25519.pem"
        path.write_bytes(pem(ed25519.Ed25519PrivateKey.generate().public_key()))
        with pytest.raises(
            IntegrityError, match="the manifest was altered, or another key signed it"
        ):
            signing.PublicKey.read(path).check(made)

    @pytest.mark.parametrize("content", [b"", b"-----BEGIN", b"text", b"\x30\x82" + b"\0" * 99])
    def test_what_is_no_key(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "key.pem"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="holds no public key in PEM or DER"):
            signing.PublicKey.read(path)

    def test_a_private_key_is_not_taken_for_a_public_one(
        self, elliptic: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "key.pem"
        path.write_bytes(
            elliptic.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        with pytest.raises(UsageError, match="holds no public key"):
            signing.PublicKey.read(path)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            signing.PublicKey.read(tmp_path / "none.pem")

    def test_without_the_extra_one_line_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any, **more: Any) -> Any:
            if name.startswith("cryptography"):
                raise ImportError(name)
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(UsageError, match=r"pip install 'orgscan\[sign\]'"):
            signing.PublicKey.read(tmp_path / "key.pem")

    @pytest.mark.parametrize("name", ["signature", "format", "key_arn"])
    async def test_a_document_without_one_of_its_members(self, made: Any, name: str) -> None:
        document = made.document()
        for broken in (
            {key: value for key, value in document.items() if key != name},
            document | {name: None},
        ):
            with pytest.raises(IntegrityError):
                signing.Signature.of(broken)


class Elsewhere:
    """moto's KMS."""

    def __init__(self, endpoint_url: str, client: Any) -> None:
        self.endpoint_url, self.client = endpoint_url, client

    def key(self, spec: str, usage: str = "SIGN_VERIFY") -> str:
        made = self.client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        return str(made["Arn"])

    async def sign(self, run: Path, key: str) -> None:
        await sign_run(
            run,
            key,
            settings.load(environment={}, endpoint_url=self.endpoint_url, region="us-east-1"),
            clock=Clock(),
            observer=Observer(),
            credentials=CALLER,
        )


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.Session(region_name="eu-west-1").client(
        "kms",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id=CALLER.access_key,
        aws_secret_access_key=CALLER.secret_key,
    )
    with closing(client):
        yield Elsewhere(f"http://{host}:{port}", client)
    server.stop()


@pytest.fixture(autouse=True)
def digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto sign the digest it is given, as AWS does."""

    def sign_rsa(self: Any, message: bytes, algorithm: str) -> bytes:
        pads: dict[str, Any] = {
            "RSASSA_PSS_SHA_256": padding.PSS(padding.MGF1(SHA256()), 32),
            "RSASSA_PKCS1_V1_5_SHA_256": padding.PKCS1v15(),
        }
        return self.private_key.sign(message, pads[algorithm], Prehashed(SHA256()))

    def sign_elliptic(self: Any, message: bytes, _algorithm: str) -> bytes:
        return self.private_key.sign(message, ec.ECDSA(Prehashed(SHA256())))

    monkeypatch.setattr(RSAPrivateKey, "sign", sign_rsa)
    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign_elliptic)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with a manifest, all that signing looks at."""
    path = tmp_path / "run"
    path.mkdir()
    write_sealed(path / rundir.MANIFEST, {"format": 1})
    return path


class TestAgainstMoto:
    def test_from_the_command_line_to_the_public_key(
        self,
        elsewhere: Elsewhere,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        arn = elsewhere.key("ECC_NIST_P256")
        public = tmp_path / "key.der"
        public.write_bytes(elsewhere.client.get_public_key(KeyId=arn)["PublicKey"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", CALLER.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CALLER.secret_key)
        monkeypatch.setenv("ORGSCAN_ENDPOINT_URL", elsewhere.endpoint_url)
        run = str(tmp_path / "run")

        def command(*arguments: str) -> int:
            with pytest.raises(SystemExit) as left:
                main(arguments)
            return int(str(left.value.code))

        assert command("demo", "--output", run, "--quiet") == 0
        assert command("report", run, "--quiet", "--sign-with-kms", arn) == 4
        assert f"Signed    {run}/manifest.sig.json" in capsys.readouterr().out
        assert command("verify", run, "--public-key", str(public)) == 0
        assert f"signed with {arn}" in capsys.readouterr().out
        assert command("report", run, "--quiet") == 4
        assert command("verify", run, "--public-key", str(public)) == 5
        assert "is missing: the run is not signed" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("spec", "algorithm"),
        [("ECC_NIST_P256", "ECDSA_SHA_256"), ("RSA_2048", "RSASSA_PSS_SHA_256")],
    )
    async def test_what_kms_signed_checks_offline_with_its_public_key(
        self, elsewhere: Elsewhere, run: Path, tmp_path: Path, spec: str, algorithm: str
    ) -> None:
        arn = elsewhere.key(spec)
        await elsewhere.sign(run, arn)

        document, fault = read_sealed(run / rundir.SIGNATURE)
        assert document is not None
        assert not fault
        made = signing.Signature.of(document)
        manifest = run / rundir.MANIFEST
        assert made.manifest_sha256 == hashlib.sha256(manifest.read_bytes()).hexdigest()
        assert (made.key_arn, made.algorithm) == (arn, algorithm)
        public = tmp_path / "key.der"
        public.write_bytes(elsewhere.client.get_public_key(KeyId=arn)["PublicKey"])
        signing.PublicKey.read(public).check(made)
        self.openssl_agrees(made, manifest, tmp_path)

    def openssl_agrees(self, made: signing.Signature, manifest: Path, tmp_path: Path) -> None:
        """Nobody needs orgscan to check a signature."""
        if shutil.which("openssl") is None:
            return
        tmp_path.joinpath("key.pem").write_text(made.public_key)
        tmp_path.joinpath("sig").write_bytes(base64.b64decode(made.signature))
        options = ["-sigopt", "rsa_padding_mode:pss"] if "PSS" in made.algorithm else []
        subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", *options,
             str(manifest)],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )  # fmt: skip

    async def test_an_alias_in_the_region_of_its_arn(self, elsewhere: Elsewhere, run: Path) -> None:
        arn = elsewhere.key("ECC_NIST_P256")
        elsewhere.client.create_alias(AliasName="alias/audit", TargetKeyId=arn)
        # The settings' Region is another one, in which there is no such key.
        await elsewhere.sign(run, arn.replace(arn.split(":")[-1], "alias/audit"))
        assert run.joinpath(rundir.SIGNATURE).exists()
        with pytest.raises(RunError, match="not signed"):
            await elsewhere.sign(run, "alias/audit")

    @pytest.mark.parametrize("spec", ["RSA_2048"])
    async def test_a_key_for_encryption(self, elsewhere: Elsewhere, run: Path, spec: str) -> None:
        with pytest.raises(RunError, match="is for ENCRYPT_DECRYPT; signing needs an asymmetric"):
            await elsewhere.sign(run, elsewhere.key(spec, "ENCRYPT_DECRYPT"))
        assert [*contents(run)] == [rundir.MANIFEST]

    async def test_a_key_that_is_not_there(self, elsewhere: Elsewhere, run: Path) -> None:
        with pytest.raises(RunError) as caught:
            await elsewhere.sign(run, ARN)
        text = str(caught.value)
        assert text.startswith(f"{run}: the run is complete but was not signed: kms:GetPublicKey: ")
        assert "\n" not in text

    async def test_an_edited_manifest_is_not_signed(self, elsewhere: Elsewhere, run: Path) -> None:
        manifest = run / rundir.MANIFEST
        manifest.write_bytes(manifest.read_bytes().replace(b"1", b"2"))
        with pytest.raises(IntegrityError, match=r"was edited.*it was not signed"):
            await elsewhere.sign(run, elsewhere.key("ECC_NIST_P256"))
        assert not run.joinpath(rundir.SIGNATURE).exists()


@contextmanager
def refusing(status: int, code: str, asked: list[str]) -> Iterator[str]:
    """A KMS that answers everything with one error."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["X-Amz-Target"])
            body = json.dumps({"__type": code, "message": f"what {code}\nsays"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (400, "AccessDeniedException", 1),
        (400, "DisabledException", 1),
        (400, "KMSInvalidStateException", 1),
        (400, "UnsupportedOperationException", 1),  # a symmetric key
        (400, "InvalidKeyUsageException", 1),
        (400, "NotFoundException", 1),
        (400, "ExpiredTokenException", 1),
        (500, "KMSInternalException", 6),
    ],
)
async def test_what_kms_refuses_is_one_line_and_leaves_the_run_as_it_is(
    run: Path, clock: Any, status: int, code: str, tries: int
) -> None:
    before = contents(run)
    asked: list[str] = []
    with refusing(status, code, asked) as endpoint_url:
        chosen = settings.load(environment={}, endpoint_url=endpoint_url)
        with pytest.raises(RunError) as caught:
            await sign_run(run, ARN, chosen, clock=clock, observer=Observer(), credentials=CALLER)
    text = str(caught.value)
    assert text.startswith(f"{run}: the run is complete but was not signed: ")
    assert f"what {code} says" in text
    assert "\n" not in text
    assert asked == ["TrentService.GetPublicKey"] * tries
    assert contents(run) == before


async def test_without_credentials_the_run_is_finished_all_the_same(run: Path) -> None:
    with pytest.raises(RunError, match="not signed: no AWS credentials found"):
        await sign_run(run, ARN, settings.load(environment={}), clock=Clock(), observer=Observer())


def test_the_actions_are_declared_for_signing_alone() -> None:
    assert not declared_actions() & set(signing.ACTIONS)
    assert declared_actions(signing=True) - declared_actions() == set(signing.ACTIONS)
    assert set(signing.ACTIONS) == {"kms:Sign", "kms:GetPublicKey"}


async def test_an_audit_opens_no_door_to_kms() -> None:
    async with Aws(settings.load(environment={}), Clock(), CALLER) as aws:
        assert "kms" not in aws._clients
    async with Aws(settings.load(environment={}), Clock(), CALLER, services=("kms",)) as aws:
        assert [*aws._clients] == ["kms"]
