"""Our view of the app's people, for Hasura's relationships: made on demand, since only the loops know the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from skene_airflow.ledger.ledger import Ledger


def relations(ledger: Ledger) -> frozenset[str]:
    """The names of the tables and views that the ledger has; none before its schema is made."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("hasura", "relations"), {"schema": ledger.schema})
        return frozenset(row["name"] for row in cur.fetchall())


def view_of_people(ledger: Ledger, table: tuple[str, str], key: str, view: str) -> None:
    """Make the view ``view``: the people's key as it is, and as the text ``user_key``.

    Raises LedgerError, where the table is not in the ledger's database, or the role may not read it.
    """
    with ledger.transaction() as cur:
        try:
            with cur.connection.transaction():
                cur.execute(_filled(ledger, "view_of_people", table, key, view))
        except psycopg.errors.InvalidTableDefinition:  # the loops know people by another key by now
            cur.execute(_filled(ledger, "drop_view", table, key, view))
            cur.execute(_filled(ledger, "view_of_people", table, key, view))


def text_of_view(ledger: Ledger, table: tuple[str, str], key: str, view: str) -> str:
    """The same as SQL, for a migration of one's own."""
    return _filled(ledger, "view_of_people", table, key, view).as_string(None).strip() + "\n"


def row_triggers(ledger: Ledger, table: tuple[str, str]) -> list[str]:
    """The row triggers on updates of a table that call Hasura's functions."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("hasura", "row_triggers"), {"schema": table[0], "table": table[1]})
        return [str(row["name"]) for row in cur.fetchall()]


def _filled(ledger: Ledger, name: str, table: tuple[str, str], key: str, view: str) -> sql.Composed:
    both = "p.{key}, p.{key}::text AS user_key" if key != "user_key" else "p.{key}::text AS user_key"
    parts: dict[str, Any] = {
        "view": sql.Identifier(ledger.schema, view),
        "columns": sql.SQL(both).format(key=sql.Identifier(key)),
        "people": sql.Identifier(*table),
    }
    return sql.SQL(ledger.sql("hasura", name)).format(**parts)
