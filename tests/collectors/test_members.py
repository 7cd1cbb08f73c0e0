"""An item that lacks what it is judged by is a malformed answer, not a crash and not a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collectors import access_keys, users
from orgscan.errors import Malformed
from orgscan.models import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class OnePage:
    """Answers every list call with the same page."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self._items = list(items)

    async def pages(self, *_names: str, **_parameters: Any) -> AsyncIterator[list[Any]]:
        yield self._items

    async def call(self, *_names: str, **_parameters: Any) -> dict[str, Any]:
        raise AssertionError


@pytest.mark.parametrize("lost", ["UserName", "CreateDate"])
async def test_a_user_without_a_member_is_malformed(lost: str) -> None:
    user = {"UserName": "ann", "CreateDate": CREATED}
    del user[lost]
    with pytest.raises(Malformed, match=lost):
        await users.collect(OnePage(user), Clock())


@pytest.mark.parametrize("lost", ["AccessKeyId", "Status", "CreateDate"])
async def test_a_key_without_a_member_is_malformed(lost: str) -> None:
    key = {"AccessKeyId": "AKIA", "Status": "Active", "CreateDate": CREATED}
    del key[lost]
    with pytest.raises(Malformed, match=lost):
        await access_keys.collect(OnePage(key), Clock(), ["ann"])
