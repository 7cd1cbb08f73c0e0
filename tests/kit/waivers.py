"""A few findings and waivers, written short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from orgscan.waivers.waiver import Waiver

AS_OF = datetime(2026, 9, 30, 6, tzinfo=UTC)
DAY = timedelta(days=1)
CONTROLS = ("root-mfa", "console-mfa", "access-key-rotation")
ACCOUNTS = {
    "000000000001": ("Root", None),
    "000000000002": ("Root/Workloads/Prod", '{"env": "prod", "owner": "a=b"}'),
    "000000000003": ("Root/Workloads/Production", '{"env": "test"}'),
    "000000000004": ("Root/Workloads/Prod/EU", "{}"),
}
USERS = ("<root_account>", "alice", "Alice", "ci-1", "ci-22", "nci-1")


def accounts() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"account_id": account, "ou_path": path, "tags": tags}
            for account, (path, tags) in ACCOUNTS.items()
        ]
    )


def findings(rows: list[tuple[str, str, str | None, str | None, str]]) -> pd.DataFrame:
    """Rows of control, account, user, key and status, as categories."""
    frame = pd.DataFrame(
        rows, columns=["control_id", "account_id", "user", "access_key_id", "status"], dtype="str"
    )
    frame.insert(0, "finding_id", [f"{number:032x}" for number in range(len(frame))])
    frame["reason"] = ["active for 412 days, limit 90"] * len(frame)
    frame["waiver_id"] = pd.Series(np.nan, index=frame.index, dtype="str")
    coded = ["control_id", "account_id", "user", "access_key_id", "status", "reason"]
    return frame.astype(dict.fromkeys(coded, "category"))


def waiver(waiver_id: str = "W-1", *, controls: Any = ("console-mfa",), **given: Any) -> Waiver:
    return Waiver(
        **{
            "id": waiver_id,
            "controls": tuple(controls),
            "owner": "Platform",
            "reason": "until the migration",
            "approved_by": "CISO",
            "expires": AS_OF + 10 * DAY,
            **given,
        }
    )
