"""Evidence is worked on only while it is what the run's manifest says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan import files
from orgscan.errors import IntegrityError, UsageError
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.manifest import Manifest, refuse_newer
from orgscan.runs.rundir import EVIDENCE, MANIFEST
from orgscan.runs.seal import read_sealed

if TYPE_CHECKING:
    from pathlib import Path


def sealed_evidence(run: Path) -> files.FileRecord:
    """The evidence of ``run`` as it is, which must be as its manifest says, where it has one.

    What is rendered or read again gets a new manifest: without this check it would certify
    whatever the evidence had been made into.

    Raises :class:`orgscan.errors.IntegrityError` where the two differ or the manifest was edited,
    and :class:`orgscan.errors.UsageError` where a newer orgscan wrote it.
    """
    path, manifest = run / EVIDENCE, run / MANIFEST
    with EvidenceStore.read(path):
        pass  # folds in what a killed process left, so that the file is the whole evidence
    record = files.record(path)
    if not manifest.exists():
        return record
    remedy = f"restore it from a backup, or remove {MANIFEST} to accept the evidence as it is"
    content, fault = read_sealed(manifest)
    if content is None or fault:
        raise IntegrityError(f"{manifest}: {fault}; {remedy}")
    refuse_newer(content, manifest)
    try:
        recorded = Manifest.of(content, manifest).evidence
    except UsageError as error:
        raise IntegrityError(f"{error}; {remedy}") from None
    if recorded.sha256 != record.sha256:
        raise IntegrityError(f"{path}: was changed after the run was finished; {remedy}")
    return record
