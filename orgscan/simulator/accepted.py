"""The risks the demo's people accept, as a waiver file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orgscan.simulator.quarters import QUARTER

if TYPE_CHECKING:
    from orgscan.simulator.quarters import Quarter


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A risk the demo's people accept, by names of theirs."""

    id: str
    control: str
    account: str
    user: str
    reason: str
    start: timedelta
    """From the end of the second quarter; so is ``expires``."""
    expires: timedelta


_ACCEPTED = (
    _Accepted(
        "W-1", "signing-certificate", "tidewater-legacy", "edi_bridge",
        "The partner's gateway speaks nothing newer until it is replaced.",
        timedelta(days=-120), timedelta(days=-30),
    ),
    _Accepted(
        "W-2", "console-user", "data-platform-prod", "zofia.novak",
        "Leaves the warehouse project at the end of the year.",
        timedelta(days=-20), timedelta(days=120),
    ),
)  # fmt: skip
"""One expires in the second quarter, one begins in it."""

_WAIVER = """\
[[waiver]]
id = "{id}"
control = "{control}"
account = "{account_id}"
user = "{user}"
owner = "Mirela Kovac"
reason = "{reason}"
ticket = "RISK-{number}"
approved_by = "Greta Lindqvist"
start = {start:%Y-%m-%d}
expires = {expires:%Y-%m-%d}
"""


def accepted_risks(first: Quarter) -> str:
    """The waivers as TOML, for the organization whose first quarter this is.

    Empty where a demo cut short lacks the accounts.
    """
    ids = {account.name: account.id for account in first.world.accounts}
    end = first.world.now + QUARTER
    return "\n".join(
        _WAIVER.format(
            id=risk.id,
            control=risk.control,
            account_id=ids[risk.account],
            user=risk.user,
            reason=risk.reason,
            number=number,
            start=end + risk.start,
            expires=end + risk.expires,
        )
        for number, risk in enumerate(_ACCEPTED, 101)
        if risk.account in ids
    )
