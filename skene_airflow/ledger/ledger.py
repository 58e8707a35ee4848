"""One connection to the ledger, short transactions, and errors that carry no data."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads

from skene_airflow.errors import LedgerError
from skene_airflow.ledger import migrate
from skene_airflow.ledger.statements import checked_schema, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

log = logging.getLogger(__name__)

# A numeric 5.50 in jsonb is 5.50, and not the float 5.5.
_EXACT = partial(json.loads, parse_float=Decimal)

Cursor = psycopg.Cursor[DictRow]


def exact(conn: psycopg.Connection[Any]) -> None:
    """Read the numbers of jsonb as they are written."""
    set_json_loads(_EXACT, conn)


class Ledger:
    """The schema that remembers who was mailed.

    ``connect`` opens a connection with the right to create and write the schema. Nothing is opened before the
    first transaction; ``close`` may be called twice.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], schema: str = "skene") -> None:
        self.schema = checked_schema(schema)
        self._connect = connect
        self._conn: psycopg.Connection[Any] | None = None

    def sql(self, room: str, name: str) -> str:
        """The statement ``name`` of ``queries/<room>.sql``."""
        return statements(room, self.schema)[name]

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """One transaction: committed at the end, rolled back on any error.

        Raises LedgerError for whatever the database refuses, with its SQLSTATE and never with its words: those
        carry people's data.
        """
        try:
            conn = self._open()
            with conn.transaction(), conn.cursor(row_factory=dict_row) as cur:
                yield cur
        except psycopg.Error as error:
            raise self.refused(error) from None

    @contextmanager
    def statement(self) -> Iterator[Cursor]:
        """A cursor for exactly one statement, which is a transaction of its own: one journey to the database, not
        three. Raises LedgerError like ``transaction``."""
        try:
            with self._open().cursor(row_factory=dict_row) as cur:
                yield cur
        except psycopg.Error as error:
            raise self.refused(error) from None

    def refused(self, error: psycopg.Error) -> LedgerError:
        """What to raise for an error of the ledger's own connection: its SQLSTATE, and our words."""
        if self._conn is not None and self._conn.closed:
            self._conn = None
        state = error.sqlstate or "no connection"
        return LedgerError(f"The ledger could not be used (SQLSTATE {state}); nothing was lost. {_advice(state)}")

    def _open(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = self._connect()
            self._conn.autocommit = True  # so that every transaction is one we opened
            exact(self._conn)
            self._conn.prepare_threshold = None  # PgBouncer in transaction mode forgets prepared statements
            # Locks and ON CONFLICT are meant to see what others committed, whatever the database's default is.
            self._conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return self._conn

    def migrate(self) -> list[str]:
        """Create or update the schema; safe when many do it at once. Returns the names of what was applied."""
        with self.transaction() as cur:
            if migrate.applied(cur, self.schema) >= migrate.migrations()[-1].number:
                return []
            names = migrate.apply(cur, self.schema)
        for name in names:
            log.info("ledger: applied migration %s", name)
        return names

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._conn is not None:
            with suppress(psycopg.Error):
                self._conn.close()
        self._conn = None


def now(ledger: Ledger) -> datetime:
    """The database's time, with or without a ledger in it."""
    with ledger.statement() as cur:
        cur.execute(ledger.sql("runs", "now"))
        row = cur.fetchone()
    if row is None:
        raise LedgerError
    found: datetime = row["now"]
    return found


def _advice(state: str) -> str:
    if state in {"3F000", "42P01"}:
        return "Its schema is missing: run `skene-airflow migrate`, or set [skene] auto_migrate to True."
    if state == "42501":
        return "The role lacks a right: it must own the schema, or the DBA applies `skene-airflow migrate --sql`."
    if state in {"40001", "40P01"}:
        return "Two transactions met; the next try goes on."
    return "The next try goes on from there."
