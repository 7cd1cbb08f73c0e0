from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from orgscan import text


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 accounts"), (1, "1 account"), (1_200, "1,200 accounts")]
)
def test_a_count_has_its_noun(number: int, said: str) -> None:
    assert text.count(number, "account") == said
    assert text.count(2, "has", "have") == "2 have"


def test_a_time_is_given_to_the_minute_in_utc() -> None:
    here = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 25, 1, 33, 59, 924_300, tzinfo=here)
    assert text.minute(moment) == "2026-11-24 23:33 UTC"


def test_a_list_says_how_many_names_it_leaves_out() -> None:
    assert text.and_more(["a", "b"], 2) == "a, b"
    assert text.and_more(["a", "b", "c"], 2, ", see there") == "a, b and 1 more, see there"
    assert text.and_more([], 2) == ""


def test_a_suggestion_is_the_nearest_word_or_what_there_is() -> None:
    known = ("console-mfa", "root-mfa")
    assert text.suggestion("consol-mfa", known) == "did you mean console-mfa?"
    assert text.suggestion("zzz", known) == "known are console-mfa, root-mfa"
    assert text.suggestion("zzz", known, "see there") == "see there"


def test_text_for_a_terminal_is_one_printable_line() -> None:
    assert text.printable("a\x1b[2J\u202eb\n") == "a?[2J?b?"
    assert text.printable(float("nan")) == ""
    assert text.one_line("two\r\n lines\x07") == "two lines?"
    assert text.one_line(ValueError("a\nb")) == "a b"
