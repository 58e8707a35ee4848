"""A loop with a goal, orders that reach it, and time that has gone by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skene_airflow.loop.schema import Loop
from skene_airflow.stages.goals import Asked, look_for_goals
from tests.integration.shop import Shop

LOOP = """\
type: retention
opinion: Goals
{keys}
steps:
  - trigger: {{type: manual}}
    condition: SELECT * FROM users ORDER BY id
    action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
"""
GOAL = 'goal: {query: "SELECT user_id AS id, at FROM orders", within: 14d}'
Skene = Callable[..., tuple[int, str, str]]


@pytest.fixture
def orders(shop: Shop) -> Shop:
    shop.sql("CREATE TABLE orders (user_id bigint, at timestamptz)")
    return shop


def write(shop: Shop, keys: str = GOAL, name: str = "goals") -> Loop:
    return shop.loop(LOOP.format(keys=keys), name)


def look(shop: Shop, loop: Loop) -> int:
    return look_for_goals(loop, Asked(shop.connect, shop.ledger))


def order(shop: Shop, user: int, sent: str) -> None:
    """An order at this distance from the person's own window's beginning."""
    shop.sql(
        "INSERT INTO orders SELECT user_key::bigint, coalesce(sent_at, queued_at) + %s::interval"
        " FROM skene.deliveries WHERE user_key = %s",
        sent,
        str(user),
    )


def many(shop: Shop, hours: int = 0) -> None:
    """Let goals be so many that only some looks go back to the beginning, and the last of those so long ago."""
    shop.sql("UPDATE skene.goal_looks SET whole_rows = 1e9, whole_at = looked_at - make_interval(hours => %s)", hours)


def back(shop: Shop, days: int) -> None:
    """Let everything that was mailed or claimed so far be so long ago."""
    shop.sql(
        "UPDATE skene.deliveries SET sent_at = sent_at - make_interval(days => %s),"
        " queued_at = queued_at - make_interval(days => %s)",
        days,
        days,
    )


def reached(shop: Shop) -> set[str]:
    return {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.goals")}


def funnel(shop: Shop, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in shop.sql("SELECT * FROM skene.funnel_v ORDER BY segment")]
