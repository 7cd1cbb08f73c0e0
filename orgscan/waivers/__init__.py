"""What people decided: risks accepted until a date, and words typed beside findings."""

from __future__ import annotations

from orgscan.waivers.apply import Applied, Result, Waiving, apply, check, check_accounts
from orgscan.waivers.fields import assemble
from orgscan.waivers.files import Handed, content, read
from orgscan.waivers.guard import WORKBOOK_LIMITS
from orgscan.waivers.sheets import HandedOut, read_back
from orgscan.waivers.waiver import EVERY_CONTROL, State, Waiver, moment

__all__ = [
    "EVERY_CONTROL",
    "WORKBOOK_LIMITS",
    "Applied",
    "Handed",
    "HandedOut",
    "Result",
    "State",
    "Waiver",
    "Waiving",
    "apply",
    "assemble",
    "check",
    "check_accounts",
    "content",
    "moment",
    "read",
    "read_back",
]
