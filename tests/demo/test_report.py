"""The demo ends with exit code 0 only if the promise held, so its own judgement is tested."""

from __future__ import annotations

from collections import Counter

import pytest

from demo.report import Facts, check

NOBODY = Facts(frozenset({"a", "b"}), Counter())
EVERYBODY = Facts(frozenset({"a", "b"}), Counter(["a", "b"]))


def facts(*mailed: str) -> Facts:
    return Facts(frozenset({"a", "b"}), Counter(mailed))


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [("shadow", NOBODY, NOBODY), ("live", NOBODY, EVERYBODY), ("live", EVERYBODY, EVERYBODY)],
)
def test_a_good_run_has_no_findings(mode: str, before: Facts, after: Facts) -> None:
    assert check(mode, before, after) == []


@pytest.mark.parametrize(
    ("mode", "before", "after", "says"),
    [
        ("shadow", NOBODY, facts("a"), "a shadow run sent 1 mails"),
        ("live", NOBODY, facts("a"), "the query names 2 people, 1 got mail"),
        ("live", NOBODY, facts("a", "c"), "or other people did"),
        ("live", NOBODY, facts("a", "b", "b"), "2 mails to one person"),
        ("live", EVERYBODY, facts("a", "a", "b", "b"), "the second live run sent 2 mails"),
    ],
)
def test_a_broken_promise_is_found(mode: str, before: Facts, after: Facts, says: str) -> None:
    assert says in " ".join(check(mode, before, after))


def test_somebody_who_just_came_or_went_is_no_finding() -> None:
    before = Facts(frozenset({"a"}), Counter())
    after = Facts(frozenset({"a", "b"}), Counter(["a"]))
    assert check("live", before, after) == []
