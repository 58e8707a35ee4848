"""The tables that stand in for a ledger are those that its migrations make."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from skene_airflow.ledger import Ledger
from skene_airflow.ledger.shape import empty_tables, tables


def test_every_column_of_every_table(connect: Callable[[], psycopg.Connection[Any]]) -> None:
    with closing(Ledger(connect)) as ledger:
        ledger.migrate()
    with connect() as conn:
        rows = conn.execute(
            "SELECT c.relname, a.attname, a.atttypid::regtype::text FROM pg_attribute a JOIN pg_class c"
            " ON c.oid = a.attrelid WHERE c.relnamespace = 'skene'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND NOT a.attisdropped AND c.relname <> 'migrations'"
        ).fetchall()
        real = {(table, column, kind) for table, column, kind in rows}
        names = [(table, column, kind) for table, columns in tables().items() for column, kind in columns.items()]
        shown = {
            (table, column, conn.execute("SELECT %s::regtype::text", [kind]).fetchone())
            for table, column, kind in names
        }
        assert {(table, column, kind[0]) for table, column, kind in shown if kind} == real


def test_they_are_empty(connect: Callable[[], psycopg.Connection[Any]]) -> None:
    with connect() as conn:
        row = conn.execute(
            f"WITH {empty_tables('none_')} x AS (SELECT 1) SELECT count(*) FROM none_deliveries"
        ).fetchone()
    assert row == (0,)
