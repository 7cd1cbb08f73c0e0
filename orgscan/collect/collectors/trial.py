"""The smallest request of each declared action: can it be called at all?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orgscan.errors import Absent, CallError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orgscan.models import Calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One request whose answer tells whether an action is granted; what it holds is dropped.

    IAM looks at permissions before it looks for what was asked about: that a thing does not
    exist is told only to those who may ask.
    """

    action: str
    """As it is declared: ``iam:ListUsers``."""
    result: str
    """A member the answer cannot lack."""
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    granted: frozenset[str] = frozenset()
    """Error codes that, too, are told only to those who may ask."""

    async def failure(self, calls: Calls) -> CallError | None:
        """Why the action cannot be called; None where it can.

        Raises :class:`orgscan.errors.IntegrityError` where a renewed session belongs to another
        account.
        """
        name = self.action.partition(":")[2]
        try:
            await calls.call(name, self.result, **self.parameters)
        except Absent:
            return None
        except Refused as error:
            return None if error.code in self.granted else error
        except CallError as error:
            return error
        return None
