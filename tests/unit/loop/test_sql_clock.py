"""A query as if it were asked at another time."""

from __future__ import annotations

import pytest

from skene_airflow.loop.sql_clock import asks_for_time, dated

PAIRS = [
    ("SELECT NOW() - interval '7 days'", "SELECT :as_of - interval '7 days'"),
    ("SELECT now ( ), Current_Timestamp", "SELECT :as_of, :as_of"),
    ("SELECT current_date - 7", "SELECT (:as_of::date) - 7"),
    ("SELECT localtimestamp", "SELECT (:as_of::timestamp)"),
    ("SELECT 'now()' /* now() */, :as_of", "SELECT 'now()' /* now() */, :as_of"),
    ("SELECT now FROM t", "SELECT now FROM t"),
    ("SELECT current_timestamp(0)", None),
    ("SELECT current_time", None),
    ("SELECT timeofday()", None),
]


@pytest.mark.parametrize(("query", "expected"), PAIRS)
def test_clock_words_become_the_parameter(query: str, expected: str | None) -> None:
    assert dated(query) == expected


@pytest.mark.parametrize(
    ("query", "answer"),
    [("SELECT now()", True), ("SELECT :as_of", True), ("SELECT 'now()'", False), ("SELECT id FROM users", False)],
)
def test_whether_time_matters(query: str, answer: bool) -> None:
    assert asks_for_time(query) is answer
