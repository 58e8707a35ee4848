"""`ready` against a real database: what is yes, what is no, and what is a mistake."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from skene_airflow.errors import QueryError
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.ready import ready
from tests.integration.shop import LOOP, Shop


def asked(shop: Shop, query: str, **facts: Any) -> tuple[Job, bool]:
    text = LOOP.replace("    action:", f"    ready: {{query: {json.dumps(query)}, timeout: 5m}}\n    action:")
    job = shop.job(loop=shop.loop(text), **facts)
    assert job.step.ready is not None
    return job, ready(job, job.step.ready)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT true", True),
        ("SELECT false", False),
        ("SELECT NULL::boolean", False),
        ("SELECT true WHERE false", False),
        ("SELECT max(last_activity_at) > :as_of - interval '40 days' AND 7 % 2 = 1 FROM users;", True),
        ("SELECT max(last_activity_at) > :as_of FROM users", False),
    ],
)
def test_only_true_is_ready(shop: Shop, query: str, answer: bool) -> None:
    shop.dormant(1)
    assert asked(shop, query)[1] is answer


def test_it_is_asked_for_the_moment_of_the_run(shop: Shop) -> None:
    query = "SELECT :as_of = '2026-03-01 09:00+00'"
    assert asked(shop, query, as_of=datetime(2026, 3, 1, 9, tzinfo=UTC))[1]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT count(*) FROM users", "returns bigint; write one boolean column"),
        ("SELECT true FROM generate_series(1, 2)", "more than one row"),
        ("SELECT true FROM nowhere", r"The query of `ready` failed .*does not exist"),
        ("SELECT set_config('a.b', 'c', false) = nextval('s')::text", "it tries to write"),
    ],
)
def test_mistakes(shop: Shop, query: str, says: str) -> None:
    shop.sql("CREATE SEQUENCE s")
    with pytest.raises(QueryError, match=says):
        asked(shop, query)


def test_a_staged_run_waits_for_nothing_more(shop: Shop) -> None:
    job, answer = asked(shop, "SELECT false")
    assert not answer
    evaluate(job)
    assert job.step.ready is not None
    assert ready(job, job.step.ready)
