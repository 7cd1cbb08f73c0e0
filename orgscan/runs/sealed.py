"""Evidence is worked on only while it is what the run's manifest says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.errors import IntegrityError
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore

if TYPE_CHECKING:
    from pathlib import Path


def sealed_evidence(run: Path) -> rundir.FileRecord:
    """The evidence of ``run`` as it is, which must be as its manifest says, where it has one.

    What is rendered or read again gets a new manifest: without this it would certify whatever
    the evidence had been made into.

    Raises :class:`orgscan.errors.IntegrityError` where the two differ or the manifest was edited.
    """
    path = run / rundir.EVIDENCE
    with EvidenceStore.read(path):
        pass  # folds in what a killed process left, so that the file is the whole evidence
    found = rundir.record(path)
    manifest = run / rundir.MANIFEST
    if not manifest.exists():
        return found
    content, fault = rundir.read_sealed(manifest)
    if fault:
        message = (
            f"{manifest}: {fault}; restore it from a backup, or remove it to go by the evidence "
            "as it is"
        )
        raise IntegrityError(message)
    told = content.get("evidence") if content else None
    if isinstance(told, dict) and told.get("sha256") != found.sha256:
        message = (
            f"{path}: was changed after the run was finished; restore it from a backup, or remove "
            f"{rundir.MANIFEST} to go by the evidence as it is"
        )
        raise IntegrityError(message)
    return found
