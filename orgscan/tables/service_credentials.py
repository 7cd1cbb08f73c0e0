"""The service_credentials table of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orgscan.tables import words
from orgscan.tables.typed import days_between, strings, take

if TYPE_CHECKING:
    from datetime import datetime

    from orgscan.tables.batch import Batch
    from orgscan.tables.credentials import AccountColumns


def service_credential_rows(
    batch: Batch, accounts: AccountColumns, as_of: datetime
) -> dict[str, Any]:
    """The columns of :data:`orgscan.schema.SERVICE_CREDENTIALS`, sorted by account and id."""
    listed = batch.service_credentials
    account = np.array(listed.account, dtype=np.int64)
    created = words.read_times(strings(listed.created)).values
    return {
        "account_id": take(accounts.account_id, account),
        "account_name": take(accounts.account_name, account),
        "ou_path": take(accounts.ou_path, account),
        "user": strings(listed.user),
        "arn": strings(listed.arn),
        "credential_id": strings(listed.credential_id),
        "service": strings(listed.service),
        "status": strings(listed.status),
        "created_at": created,
        "expires_at": words.read_times(strings(listed.expires)).values,
        "age_days": days_between(created, as_of),
    }
