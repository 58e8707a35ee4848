"""Load the shop: 69,659 real orders of 23,570 customers, moved in time so that the last day is today.

Those customers came long ago; forty people who signed up in the last days, and have not ordered, join them.
"""

from __future__ import annotations

import csv
import gzip
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import psycopg

from demo.paths import ORDERS
from demo.people import person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = """
CREATE TABLE users (
    id bigint PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    last_activity_at timestamptz NOT NULL,
    re_engagement_sent boolean NOT NULL DEFAULT false,
    timezone text NOT NULL,
    locale text NOT NULL,
    plan text NOT NULL,
    orders integer NOT NULL,
    spent_usd numeric(10, 2) NOT NULL
);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    quantity integer NOT NULL,
    amount_usd numeric(10, 2) NOT NULL
);
CREATE TEMP TABLE people (id bigint, email text, name text, timezone text, locale text, plan text);
"""
# The customers' times follow from their orders: `users` cannot contradict `orders`.
USERS = """
INSERT INTO users (id, email, name, created_at, last_activity_at, timezone, locale, plan, orders, spent_usd)
SELECT p.id, p.email, p.name, o.first, o.last, p.timezone, p.locale, p.plan, o.n, o.spent
FROM people p
JOIN (
    SELECT user_id, min(ordered_at) AS first, max(ordered_at) AS last, count(*) AS n, sum(amount_usd) AS spent
    FROM orders GROUP BY user_id
) o ON o.user_id = p.id;
ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users;
CREATE INDEX ON users (last_activity_at);
CREATE INDEX ON orders (user_id, ordered_at);
"""
NEWCOMERS = 40
# One every three hours: within five days, so that none is dormant.
SIGN_UPS = """
INSERT INTO users (id, email, name, created_at, last_activity_at, timezone, locale, plan, orders, spent_usd)
VALUES (%(id)s, %(email)s, %(name)s, %(at)s, %(at)s, %(timezone)s, %(locale)s, %(plan)s, 0, 0)
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One line of the data set."""

    customer: int
    day: date
    quantity: int
    amount: str


def read_orders(path: Path = ORDERS) -> Iterator[Order]:
    """Every order of the data set, on its original day."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Order(
                int(row["customer_id"]), date.fromisoformat(row["date"]), int(row["quantity"]), row["amount_usd"]
            )


def load(dsn: str, today: date | None = None) -> tuple[int, int]:
    """Fill an empty database; returns the number of users and of orders.

    ``today`` (UTC) becomes the day of the last order.
    """
    now = datetime.now(UTC)
    orders = list(read_orders())
    shift = (today or now.date()) - max(order.day for order in orders)
    customers = sorted({order.customer for order in orders})
    with psycopg.connect(dsn) as conn, conn.cursor() as cur:
        cur.execute(TABLES)
        with cur.copy("COPY orders (user_id, ordered_at, quantity, amount_usd) FROM STDIN") as copy:
            for order in orders:
                copy.write_row((order.customer, min(_noon(order.day + shift), now), order.quantity, order.amount))
        with cur.copy("COPY people FROM STDIN") as copy:
            for number in customers:
                copy.write_row((number, *person(number)))
        cur.execute(USERS)
        end = min(_noon(today or now.date()), now)
        cur.executemany(SIGN_UPS, list(_newcomers(max(customers), end)))
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("ANALYZE")
    return len(customers) + NEWCOMERS, len(orders)


def _newcomers(last: int, end: datetime) -> Iterator[dict[str, object]]:
    for count in range(1, NEWCOMERS + 1):
        email, name, timezone, locale, plan = person(last + count)
        at = end - timedelta(hours=3 * (count - 1))
        who = {"email": email, "name": name, "timezone": timezone, "locale": locale, "plan": plan}
        yield {"id": last + count, "at": at, **who}


def _noon(day: date) -> datetime:
    # The data set knows days, not hours. Noon is the same day in nearly every zone, and one hour for all keeps
    # "7 days ago" still for as long as the demo runs.
    return datetime.combine(day, time(12), tzinfo=UTC)


def main() -> int:
    """``python -m demo.data DSN``: fill that database, unless it holds a shop already."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m demo.data postgresql://...")
    with psycopg.connect(sys.argv[1]) as conn:
        there = conn.execute("SELECT to_regclass('users') IS NOT NULL").fetchone()
    if there and there[0]:
        print("The shop is already there.")
    else:
        users, orders = load(sys.argv[1])
        print(f"{users:,} users, {orders:,} orders.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
