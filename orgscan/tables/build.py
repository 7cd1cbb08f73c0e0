"""Readings to tables: a partition of whole accounts at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import schema
from orgscan.tables.access_keys import key_rows
from orgscan.tables.accounts import FACTS, account_rows, fact_rows
from orgscan.tables.batch import Batch
from orgscan.tables.credentials import account_columns, key_counts, people
from orgscan.tables.service_credentials import service_credential_rows
from orgscan.tables.typed import typed_frame

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    import pandas as pd

    from orgscan.models import Readings

PARTITION = 4_000
"""Accounts and principals per partition: enough for the vectorised work to dominate, and few
enough for everything made of them to be small."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What is known of some accounts, as DataFrames.

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


def partitions(readings: Readings, *, as_of: datetime, size: int = PARTITION) -> Generator[Tables]:
    """The tables of ``readings``, which come in the order of account_id, some accounts at a time.

    A partition is full once it has ``size`` accounts and principals; an account is never divided.

    Raises as :func:`build` does.
    """
    batch = Batch()
    for reading in readings:
        batch.add(reading)
        if len(batch) >= size:
            yield _tables(batch, as_of)
            batch = Batch()
    if len(batch):
        yield _tables(batch, as_of)


def build(readings: Readings, *, as_of: datetime) -> Tables:
    """Build the tables of all readings at once; their order does not matter.

    A time later than ``as_of`` is kept, and the age it gives is 0.

    Raises :class:`orgscan.errors.IntegrityError` when a report holds another account's ARNs or
    stored JSON is not JSON.
    """
    batch = Batch()
    for reading in sorted(readings, key=lambda reading: reading.account.account_id):
        batch.add(reading)
    return _tables(batch, as_of)


def _tables(batch: Batch, as_of: datetime) -> Tables:
    accounts = account_columns(batch)
    folk = people(batch, accounts)
    keys = key_rows(batch, accounts, folk, as_of)
    services = service_credential_rows(batch, accounts, as_of)
    return Tables(
        accounts=typed_frame(schema.ACCOUNTS.columns, account_rows(batch, accounts, folk, keys)),
        credentials=typed_frame(schema.CREDENTIALS.columns, folk.columns | key_counts(batch, folk)),
        access_keys=typed_frame(schema.ACCESS_KEYS.columns, keys.columns),
        service_credentials=typed_frame(schema.SERVICE_CREDENTIALS.columns, services),
        facts=typed_frame(FACTS, fact_rows(batch, accounts, folk)),
    )
