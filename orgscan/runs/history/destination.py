"""Where a history is kept: a directory, or a prefix in an S3 bucket."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from orgscan.endpoint import host_of, is_loopback
from orgscan.errors import UsageError
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orgscan.models import Credentials

_SCHEME = "s3://"
_OPTIONS = ("endpoint_override", "region", "scheme")
_WORD = r"\s*[A-Za-z][A-Za-z0-9+.-]*:"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a history lies: a directory, or a prefix in a bucket."""

    text: str
    path: str
    """The directory, or bucket and prefix."""
    bucket: str = ""
    """Empty for a directory."""
    region: str = ""
    endpoint: str = ""
    """Host and port in place of AWS's own; from the address alone, never from the environment."""
    scheme: str = "https"

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read ``DIRECTORY`` or ``s3://BUCKET/PREFIX``, with no request made.

        ``?region=``, ``?endpoint_override=HOST:PORT`` and ``?scheme=`` may follow, as pyarrow has
        them; ``http`` goes to loopback addresses only.

        Raises :class:`orgscan.errors.UsageError` for anything else.
        """
        if not text.startswith(_SCHEME):
            return cls._directory(text)
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise UsageError("the address of a history must not hold credentials; use --profile")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown or parts.fragment or not re.fullmatch(_BUCKET, parts.netloc):
            raise UsageError(
                f"history {text!r}: is not an address; it looks like s3://bucket/prefix, with "
                f"?{', ?'.join(_OPTIONS)} where needed"
            )
        scheme, endpoint = options.get("scheme", "https"), options.get("endpoint_override", "")
        try:
            local = bool(endpoint) and is_loopback(host_of(endpoint))
        except ValueError as error:
            raise UsageError(f"history {text!r}: endpoint_override: {error}") from None
        if scheme != "https" and not (scheme == "http" and local):
            raise UsageError(f"history {text!r}: http is accepted for loopback addresses only")
        path = "/".join([parts.netloc, *(part for part in parts.path.split("/") if part)])
        return cls(text, path, parts.netloc, options.get("region", ""), endpoint, scheme)

    @classmethod
    def _directory(cls, text: str) -> Destination:
        # Any word with a colon: a mistyped address must not become a directory here.
        if not text or re.match(_WORD, text):
            message = f"history {text!r}: give a directory or s3://bucket/prefix"
            if text and "//" not in text:
                message += f"; for a directory of that name write {'./' + text!r}"
            raise UsageError(message)
        path = Path(text).absolute()
        if os.path.lexists(path) and not _is_directory(path):
            raise UsageError(
                f"history {text!r}: is not a directory; give one or s3://bucket/prefix"
            )
        return cls(text, str(path))

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of this machine."""
        return not self.bucket

    @property
    def _tables(self) -> list[Path]:
        return [Path(self.path, table.name) for table in TABLES] if self.is_local else []

    def check_writable(self) -> None:
        """Raise :class:`orgscan.errors.UsageError` naming what is in the way of writing here.

        Nothing is written. What is on S3 is not asked.
        """
        for folder in self._tables:
            if why := _obstacle(folder):
                raise UsageError(f"history {self.text!r}: {why}; choose another directory")

    def check_apart(self, directories: Iterable[Path]) -> None:
        """Raise :class:`orgscan.errors.UsageError` where this lies in one of the run directories.

        A run is whole only with its own files; links are followed.
        """
        for directory in directories:
            run = _real(directory)
            for folder in map(_real, self._tables):
                if folder.is_relative_to(run) or run.is_relative_to(folder):
                    raise UsageError(
                        f"history {self.text!r}: must be outside the run {str(directory)!r}, "
                        "which must contain only its own files; choose another directory"
                    )

    def filesystem(self, credentials: Credentials | None) -> Any:
        """The pyarrow filesystem that ``path`` is on; on S3 as whom ``credentials`` say.

        Raises OSError.
        """
        if self.is_local:
            return fs.LocalFileSystem()
        options = {"retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES)}
        if credentials is not None:
            options |= {
                "access_key": credentials.access_key,
                "secret_key": credentials.secret_key,
                "session_token": credentials.token or None,
            }
        with _no_configured_endpoint():
            region = self.region or (
                "us-east-1" if self.endpoint else fs.resolve_s3_region(self.bucket)
            )
            return fs.S3FileSystem(
                region=region,
                endpoint_override=self.endpoint or None,
                scheme=self.scheme,
                connect_timeout=10,
                request_timeout=60,
                **options,
            )


def _obstacle(folder: Path) -> str:
    """Why nothing can be written to the folder or, where it is still to be made, above it."""
    for path in (folder, *folder.parents):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as error:
            return f"{str(path)!r} cannot be ({error.strerror})"
        if not _is_directory(path):
            return f"{str(path)!r} is not a directory"
        return "" if _may_write(path) else f"{str(path)!r} may not be written to"
    return ""


def _is_directory(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def _real(path: Path) -> Path:
    """The path without links; unlike ``Path.resolve`` also of one that leads in a circle."""
    return Path(os.path.realpath(path))


def _may_write(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


@contextmanager
def _no_configured_endpoint() -> Iterator[None]:
    """Hide the variables that would lead elsewhere than the address says; Arrow obeys them."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if "AWS_ENDPOINT_URL" in name}
    try:
        yield
    finally:
        os.environ.update(hidden)
