"""How a history is laid out, for those who write it and those who read it."""

from __future__ import annotations

import re
from datetime import date

PARTITION = "snapshot_date"
# No leading dot or underscore: what is not finished, or not data; other readers pass over it too.
_FILE = rf"{PARTITION}=(\d{{4}}-\d\d-\d\d)/[^./_][^/]*\.parquet"


def file_name(day: str, run_id: str) -> str:
    """The path of a run's file in the folder of its table; ``day`` is in ISO form."""
    return f"{PARTITION}={day}/{run_id}.parquet"


def is_published(name: str) -> bool:
    """Whether a path in a table's folder is one that :func:`file_name` makes."""
    match = re.fullmatch(_FILE, name)
    if match is None:
        return False
    try:
        date.fromisoformat(match[1])
    except ValueError:
        return False
    return True


def cause(error: Exception) -> str:
    """What happened, without what Arrow adds for programmers."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if match := re.search(r"AWS Error (\w+).*? operation: ?(.*)", text):
        code, detail = match[1].replace("_", " ").lower(), match[2]
        return f"{code}: {detail:.200}".rstrip(". ")
    return f"{text:.300}"
