"""Readings to tables: in batches, so that Python objects never outnumber a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from orgscan import schema
from orgscan.tables.access_keys import key_rows
from orgscan.tables.accounts import FACTS, account_rows, fact_rows
from orgscan.tables.batch import Batch
from orgscan.tables.credentials import account_columns, key_counts, people
from orgscan.tables.service_credentials import service_credential_rows
from orgscan.tables.typed import arrow_table, to_frame

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from orgscan.models import Readings

BATCH_SIZE = 4_000
"""Accounts and principals per batch: large enough for the vectorised work to dominate."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What a run knows, as DataFrames.

    ``accounts``, ``credentials``, ``access_keys`` and ``service_credentials`` have exactly the
    columns of :mod:`orgscan.schema`, sorted by key (absent ids last). ``facts`` is internal: one
    row per account in scope, with what controls need beside them
    (:data:`orgscan.tables.accounts.FACTS`).
    """

    accounts: pd.DataFrame
    credentials: pd.DataFrame
    access_keys: pd.DataFrame
    service_credentials: pd.DataFrame
    facts: pd.DataFrame


@dataclass(slots=True)
class _Parts:
    """One table in the making: the Arrow tables of the batches so far."""

    columns: tuple[schema.Column, ...]
    key: tuple[str, ...]
    parts: list[pa.Table] = field(default_factory=list)

    def add(self, values: dict[str, Any]) -> None:
        self.parts.append(arrow_table(self.columns, values))

    def frame(self, *, in_order: bool) -> pd.DataFrame:
        table = pa.concat_tables(self.parts or [arrow_table(self.columns, {})])
        self.parts.clear()
        if not in_order:
            keys = [(name, "ascending") for name in self.key]
            table = table.take(pc.sort_indices(table, sort_keys=keys))
        arrays = table.columns
        del table  # the columns are freed one by one as they are converted
        return to_frame(self.columns, arrays)


def build(readings: Readings, *, as_of: datetime, batch_size: int = BATCH_SIZE) -> Tables:
    """Build the tables from all readings; their order does not matter.

    A time later than ``as_of`` is kept, and the age it gives is 0.

    Raises :class:`orgscan.errors.IntegrityError` when a report holds another account's ARNs or
    stored JSON is not JSON.
    """
    tables = {
        "accounts": _Parts(schema.ACCOUNTS.columns, schema.ACCOUNTS.key),
        "credentials": _Parts(schema.CREDENTIALS.columns, schema.CREDENTIALS.key),
        "access_keys": _Parts(schema.ACCESS_KEYS.columns, schema.ACCESS_KEYS.key),
        "service_credentials": _Parts(
            schema.SERVICE_CREDENTIALS.columns, schema.SERVICE_CREDENTIALS.key
        ),
        "facts": _Parts(FACTS, ("account_id",)),
    }
    batch, latest, in_order = Batch(), "", True
    for reading in readings:
        in_order = in_order and latest < reading.account.account_id
        latest = reading.account.account_id
        batch.add(reading)
        if len(batch) >= batch_size:
            _finish(batch, tables, as_of)
            batch = Batch()
    _finish(batch, tables, as_of)
    frames = {name: parts.frame(in_order=in_order) for name, parts in tables.items()}
    # Arrow keeps what it once had; the controls need the room next.
    pa.default_memory_pool().release_unused()
    return Tables(**frames)


def _finish(batch: Batch, tables: dict[str, _Parts], as_of: datetime) -> None:
    accounts = account_columns(batch)
    folk = people(batch, accounts)
    keys = key_rows(batch, accounts, folk, as_of)
    tables["credentials"].add(folk.columns | key_counts(batch, folk))
    tables["access_keys"].add(keys.columns)
    tables["service_credentials"].add(service_credential_rows(batch, accounts, as_of))
    tables["accounts"].add(account_rows(batch, accounts, folk, keys))
    tables["facts"].add(fact_rows(batch, accounts, folk))
