"""Single elements of an XML answer: listed, dropped, emptied and halved.

A path leads from below the outermost element to one element, such as
``ListUsersResult/Users/member[2]/CreateDate``. ``member`` without a number is the first one.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from defusedxml.ElementTree import ParseError, fromstring, tostring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_STEP = re.compile(r"([^\[\]/]+)(?:\[([1-9]\d*)\])?")


class Mutation(Enum):
    """What becomes of an element."""

    DROPPED = "dropped"
    EMPTIED = "emptied"
    """Neither text nor children are left."""
    HALVED = "halved"
    """The first half of its text or, rounded down, of its children is left."""


def element_paths(body: bytes) -> list[str]:
    """The path of every element of an answer, containers before what they hold.

    Raises :class:`ValueError` for a body that is not XML.
    """
    return list(_paths(_parse(body), ""))


def mutate(body: bytes, path: str, how: Mutation) -> bytes:
    """The answer with one element changed; the same bytes where it has no such element.

    Raises :class:`ValueError` for a body that is not XML, and for a path that cannot be read.
    """
    root = _parse(body)
    parent = element = root
    for tag, number in parse_path(path):
        children = [child for child in element if _local(child) == tag]
        if len(children) < number:
            return body
        parent, element = element, children[number - 1]
    if how is Mutation.DROPPED:
        parent.remove(element)
    else:
        _keep(element, 0 if how is Mutation.EMPTIED else 2)
    return _render(root)


def parse_path(path: str) -> list[tuple[str, int]]:
    """The steps of a path: an element's name, and which of those beside it, counted from 1.

    Raises :class:`ValueError` for a path that cannot be read.
    """
    steps = [_STEP.fullmatch(text) for text in path.split("/")]
    if None in steps:
        message = f"{path!r} is not a path of elements, such as Users/member[2]/CreateDate"
        raise ValueError(message)
    return [(step[1], int(step[2] or 1)) for step in steps if step]


def without_members(body: bytes, text: str) -> bytes:
    """The answer without the list members that have ``text`` as the content of a child."""
    root = _parse(body)
    for container in list(root.iter()):
        for member in list(container):
            if _local(member) == "member" and any(child.text == text for child in member):
                container.remove(member)
    return _render(root)


def _keep(element: Element, divisor: int) -> None:
    """Keep the first part of the element's text and children; 0: nothing."""
    text, children = element.text or "", list(element)
    element.text = text[: len(text) // divisor] if divisor else ""
    for child in children[len(children) // divisor if divisor else 0 :]:
        element.remove(child)


def _paths(element: Element, prefix: str) -> Iterator[str]:
    total = Counter(map(_local, element))
    seen: Counter[str] = Counter()
    for child in element:
        tag = _local(child)
        seen[tag] += 1
        path = prefix + (f"{tag}[{seen[tag]}]" if total[tag] > 1 else tag)
        yield path
        yield from _paths(child, f"{path}/")


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _parse(body: bytes) -> Element:
    try:
        return fromstring(body)
    except ParseError as error:
        message = f"the answer is not XML: {error}"
        raise ValueError(message) from error


def _render(root: Element) -> bytes:
    """The bytes as the simulator writes them: one default namespace, no declaration."""
    namespace, _, _ = root.tag.rpartition("}")
    text: str = tostring(
        root,
        encoding="unicode",
        default_namespace=namespace.removeprefix("{") or None,
        short_empty_elements=False,
    )
    return text.encode()
