"""Migrations: once each, safe when many come at once, and the same by hand as by themselves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from skene_airflow.errors import LedgerError, SettingsError
from skene_airflow.ledger import Ledger, migrate

Connect = Callable[[], psycopg.Connection[Any]]

SHAPE = """
SELECT 'column', c.table_name || '.' || c.column_name, c.data_type || coalesce(c.column_default, '')
FROM information_schema.columns c WHERE c.table_schema = 'skene'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'skene'
UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'skene'
UNION ALL SELECT 'check', conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'skene'::regnamespace
ORDER BY 1, 2, 3
"""


def migrated(connect: Connect, schema: str = "skene") -> list[str]:
    with closing(Ledger(connect, schema)) as ledger:
        return ledger.migrate()


def shape(connect: Connect) -> list[tuple[str, ...]]:
    with connect() as conn:
        return conn.execute(SHAPE).fetchall()


def test_twenty_at_once_apply_each_migration_once(connect: Connect) -> None:
    with ThreadPoolExecutor(20) as pool:
        applied = [name for names in pool.map(lambda _: migrated(connect), range(20)) for name in names]
    assert applied == [m.name for m in migrate.migrations()]


def test_a_second_time_changes_nothing(connect: Connect) -> None:
    assert migrated(connect)
    before = shape(connect)
    assert migrated(connect) == []
    assert shape(connect) == before


def test_the_script_for_dbas_makes_the_same_schema(connect: Connect) -> None:
    with connect() as conn:
        conn.autocommit = True
        conn.execute(migrate.sql())
    by_hand = shape(connect)
    with connect() as conn:
        conn.execute("DROP SCHEMA skene CASCADE")
    migrated(connect)
    assert shape(connect) == by_hand


def test_the_address_key_is_made_once(connect: Connect) -> None:
    migrated(connect)
    with connect() as conn:
        first = conn.execute("SELECT value FROM skene.meta WHERE key = 'address_key'").fetchone()
    migrated(connect)
    with connect() as conn:
        assert conn.execute("SELECT value FROM skene.meta WHERE key = 'address_key'").fetchone() == first
    assert first is not None
    assert len(first[0]) == 32


def test_another_schema_name(connect: Connect) -> None:
    migrated(connect, "growth")
    with connect() as conn:
        assert conn.execute("SELECT count(*) FROM growth.deliveries_v").fetchone() == (0,)
        assert conn.execute("SELECT to_regnamespace('skene')").fetchone() == (None,)


@pytest.mark.parametrize("schema", ["Skene", "a b", "", "x;drop", "é"])
def test_a_schema_name_that_would_need_quotes_is_refused(connect: Connect, schema: str) -> None:
    with pytest.raises(SettingsError, match="lower-case"):
        Ledger(connect, schema)


def test_without_a_schema_the_error_names_the_command(connect: Connect) -> None:
    with (
        closing(Ledger(connect)) as ledger,
        pytest.raises(LedgerError, match="skene-airflow migrate"),
        ledger.transaction() as cur,
    ):
        cur.execute("SELECT * FROM skene.runs")


def test_no_view_shows_an_address(connect: Connect) -> None:
    migrated(connect)
    with connect() as conn:
        columns = conn.execute(
            "SELECT table_name, column_name FROM information_schema.columns c"
            " JOIN information_schema.views v USING (table_schema, table_name) WHERE table_schema = 'skene'"
        ).fetchall()
    assert columns
    assert not [c for c in columns if c[1] in {"address", "address_hmac", "vars", "email"}]
