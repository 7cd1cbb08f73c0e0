"""Sentences of findings whose figures differ from row to row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Figures:
    """A sentence with figures that differ from row to row.

    ``text`` is called once per distinct combination of ``values`` among the rows it is needed
    for, never once per row: a million findings share a few thousand sentences.
    """

    def __init__(self, text: Callable[..., str], *values: Any) -> None:
        """Keep the pieces; ``values`` are arrays aligned with the frame, or scalars."""
        self.text = text
        self.figures = values
