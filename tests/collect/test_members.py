"""An item that lacks what it is judged by is a malformed answer, not a crash and not a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect.collectors import access_keys, users
from orgscan.errors import Malformed
from orgscan.models import Clock
from tests.kit.iam import key, user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class OnePage:
    """Answers every list call with the same page."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self._items = list(items)

    async def pages(self, *_names: str, **_parameters: Any) -> AsyncIterator[list[Any]]:
        yield self._items

    async def call(self, *_names: str, **_parameters: Any) -> dict[str, Any]:
        raise AssertionError


@pytest.mark.parametrize("lost", ["UserName", "UserId", "Arn", "CreateDate"])
async def test_a_user_without_a_member_is_malformed(lost: str) -> None:
    ann = user("ann")
    del ann[lost]
    with pytest.raises(Malformed, match=lost):
        await users.list_users(OnePage(ann), Clock())


@pytest.mark.parametrize("lost", ["AccessKeyId", "Status", "CreateDate"])
async def test_a_key_without_a_member_is_malformed(lost: str) -> None:
    only = key("1")
    del only[lost]
    with pytest.raises(Malformed, match=lost):
        await access_keys.list_keys(
            OnePage(only), Clock(), access_keys.Expected({"ann": []}), _never_asked
        )


async def _never_asked(_names: Any) -> Any:
    raise AssertionError
