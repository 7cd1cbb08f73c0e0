from __future__ import annotations

import pytest

from tests.kit.elements import Mutation, element_paths, mutate, without_members

BODY = (
    b'<AResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><AResult>'
    b"<IsTruncated>false</IsTruncated><Users><member><Name>one&amp;1</Name></member>"
    b"<member><Name>two</Name><Path></Path></member></Users></AResult></AResponse>"
)


def test_every_element_has_a_path_containers_first() -> None:
    assert element_paths(BODY) == [
        "AResult",
        "AResult/IsTruncated",
        "AResult/Users",
        "AResult/Users/member[1]",
        "AResult/Users/member[1]/Name",
        "AResult/Users/member[2]",
        "AResult/Users/member[2]/Name",
        "AResult/Users/member[2]/Path",
    ]


def changed(path: str, how: Mutation) -> bytes:
    return mutate(BODY, path, how)


def test_an_element_is_dropped_emptied_or_halved() -> None:
    name = "AResult/Users/member[2]/Name"
    assert changed(name, Mutation.DROPPED) == BODY.replace(b"<Name>two</Name>", b"")
    assert changed(name, Mutation.EMPTIED) == BODY.replace(b"two", b"")
    assert changed(name, Mutation.HALVED) == BODY.replace(b"two", b"t")


def test_containers_lose_children() -> None:
    one = b"<member><Name>one&amp;1</Name></member>"
    two = b"<member><Name>two</Name><Path></Path></member>"
    users = "AResult/Users"
    assert changed(users, Mutation.DROPPED) == BODY.replace(
        b"<Users>" + one + two + b"</Users>", b""
    )
    assert changed(users, Mutation.EMPTIED) == BODY.replace(one + two, b"")
    assert changed(users, Mutation.HALVED) == BODY.replace(two, b"")
    assert changed("AResult/Users/member", Mutation.DROPPED) == BODY.replace(one, b"")


def test_every_path_of_an_answer_can_be_changed() -> None:
    for path in element_paths(BODY):
        dropped = element_paths(changed(path, Mutation.DROPPED))
        assert len(dropped) < len(element_paths(BODY)), path


def test_an_element_that_is_not_there_changes_nothing() -> None:
    assert changed("AResult/Users/member[3]", Mutation.DROPPED) == BODY
    assert changed("AResult/Groups/member", Mutation.EMPTIED) == BODY


@pytest.mark.parametrize("path", ["", "a//b", "member[0]", "member[x]", "/AResult"])
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        changed(path, Mutation.DROPPED)


def test_what_is_not_xml_is_refused() -> None:
    with pytest.raises(ValueError, match="not XML"):
        element_paths(b"<a><b></a>")


def test_members_can_be_left_out_by_name() -> None:
    assert b"two" not in without_members(BODY, "two")
    assert b"one" in without_members(BODY, "two")
    assert without_members(BODY, "tw") == BODY
