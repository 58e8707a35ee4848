"""The demo's shop: real orders, made-up people, the last day is today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from demo import data
from demo.people import person


@pytest.fixture
def shop(pg: str) -> Iterator[psycopg.Connection]:
    assert data.load(pg) == (23_610, 69_659)
    with psycopg.connect(pg) as conn:
        yield conn


def one(conn: psycopg.Connection, query: str) -> tuple[object, ...]:
    row = conn.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def test_the_last_day_is_today_and_nothing_lies_ahead(shop: psycopg.Connection) -> None:
    last, ahead = one(shop, "SELECT max(ordered_at), count(*) FILTER (WHERE ordered_at > now()) FROM orders")
    assert isinstance(last, datetime)
    assert last.astimezone(UTC).date() in {datetime.now(UTC).date(), datetime.now(UTC).date() - timedelta(days=1)}
    assert ahead == 0


def test_users_follow_from_their_orders(shop: psycopg.Connection) -> None:
    query = """
        SELECT count(*) FROM users u
        WHERE (created_at, last_activity_at, orders, spent_usd) <>
              (SELECT min(ordered_at), max(ordered_at), count(*), sum(amount_usd) FROM orders o WHERE o.user_id = u.id)
    """
    assert one(shop, query) == (0,)


def test_addresses_are_reserved_and_one_each(shop: psycopg.Connection) -> None:
    query = (
        "SELECT count(DISTINCT lower(email)), count(*) FILTER (WHERE email !~ '^[a-z.0-9]+@example[.]com$') FROM users"
    )
    assert one(shop, query) == (23_610, 0)


def test_newcomers_have_not_ordered_and_are_not_dormant(shop: psycopg.Connection) -> None:
    query = """
        SELECT count(*), count(*) FILTER (WHERE last_activity_at < now() - interval '6 days'), max(orders)
        FROM users WHERE id NOT IN (SELECT user_id FROM orders)
    """
    assert one(shop, query) == (data.NEWCOMERS, 0, 0)


def test_zones_are_real(shop: psycopg.Connection) -> None:
    query = "SELECT count(*) FROM users WHERE timezone NOT IN (SELECT name FROM pg_timezone_names)"
    assert one(shop, query) == (0,)


def test_a_number_is_always_the_same_person() -> None:
    assert person(1) == ("tomas.martin.1@example.com", "Tomás Martin", "America/New_York", "en_US", "plus")


def test_another_today_moves_every_order(pg: str) -> None:
    data.load(pg, today=date(2020, 2, 29))
    with psycopg.connect(pg) as conn:
        assert one(conn, "SELECT max(ordered_at) FROM orders") == (datetime(2020, 2, 29, 12, tzinfo=UTC),)
