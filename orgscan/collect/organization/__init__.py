"""The organization: its accounts, streamed with their OU paths, and proof that none is missing."""

from orgscan.collect.organization.enumeration import Enumeration
from orgscan.collect.organization.lists import ACTIONS, Lists, describe
from orgscan.collect.organization.scope import Scope

__all__ = ["ACTIONS", "Enumeration", "Lists", "Scope", "describe"]
