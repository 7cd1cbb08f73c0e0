"""A finished run's manifest, signed with AWS KMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan import files
from orgscan.aws import Aws
from orgscan.errors import IntegrityError, OrgscanError, RunError
from orgscan.runs import rundir, signing
from orgscan.runs.seal import unseal, write_sealed
from orgscan.runs.signing import key_region

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.models import Clock, Credentials, Observer
    from orgscan.settings import Settings


async def sign(
    run: Path,
    key: str,
    settings: Settings,
    *,
    clock: Clock,
    observer: Observer,
    credentials: Credentials | None = None,
) -> None:
    """Sign the manifest of the finished run in ``run`` as the caller, with the KMS key ``key``.

    Raises :class:`orgscan.errors.RunError` where KMS cannot: the run is finished nonetheless,
    and whole, only not signed.
    """
    region = key_region(key)
    observer.phase("Signing the manifest")
    began = clock.monotonic()
    with files.locked(run):
        with files.opened(run / rundir.MANIFEST) as file:
            raw = file.read()
        _content, fault = unseal(raw)
        if fault:
            raise IntegrityError(f"{run / rundir.MANIFEST}: {fault}; it was not signed")
        try:
            async with Aws(settings, clock, credentials, services=("kms",), region=region) as aws:
                signature = await signing.sign(aws.kms, key, files.sha256(raw))
                observer.called(aws.counted())
        except OrgscanError as error:
            raise RunError(f"{run}: the run is complete but was not signed: {error}") from None
        write_sealed(
            run / rundir.SIGNATURE,
            signature.document(),
            remedy="the run is complete but was not signed",
        )
    observer.took("sign", clock.monotonic() - began)
