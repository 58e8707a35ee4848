"""Changes that triggers of ours note in the app's own database, and their way into the ledger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from skene_airflow.errors import QueryError
from skene_airflow.ledger import changes
from skene_airflow.ledger.statements import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skene_airflow.ledger import Ledger

log = logging.getLogger(__name__)

PROVIDER: Final = "postgres"
OPS: Final = ("insert", "update", "delete")
"""What a database can note by itself."""
MOST: Final = 1_000
"""Changes that are fetched at a time."""


def install_sql(schema: str, table: str, ops: Sequence[str], reader: str = "", *, notify: bool = True) -> list[str]:
    """The statements that note these changes of a table, and no others; they may be run again.

    ``table`` has its schema, ``reader`` is a role that may empty the outbox. Without ``notify`` the app's
    transactions send no NOTIFY, and the outbox is looked at every few seconds.
    """
    said = statements("outbox", schema)
    name, how = _identifier(table), "notify" if notify else "quiet"
    text = [said[part] for part in ("make", "make_table", "make_function", "close")]
    text += [said[f"{'note' if op in ops else 'drop'}_{op}"] for op in OPS]
    if reader:
        role = sql.Identifier(reader).as_string(None)
        text += [said[part].replace("/* role */", role) for part in ("grant_schema", "grant_table")]
    return [part.replace("/* table */", name).replace("/* how */", how) for part in text]


def uninstall_sql(schema: str, table: str) -> list[str]:
    """The statements that end it for one table."""
    said = statements("outbox", schema)
    return [said[f"drop_{op}"].replace("/* table */", _identifier(table)) for op in OPS]


def noted(conn: psycopg.Connection[Any], schema: str) -> dict[str, list[str]]:
    """Which changes are noted, by table."""
    cur = conn.execute(statements("outbox", schema)["noted"].encode(), {"schema": schema})
    return {str(table): list(ops) for table, ops in cur}


def _identifier(table: str) -> str:
    return sql.Identifier(*table.split(".")).as_string(None)


class Outbox:
    """The outbox beside the tables of ``source``, an Airflow connection, which ``connect`` opens."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], schema: str, source: str) -> None:
        self._connect, self._schema, self._source = connect, schema, source
        self._conn: psycopg.Connection[Any] | None = None
        self.told = False
        """Whether the database has told of changes that were not fetched yet."""

    def empty_into(self, ledger: Ledger) -> int:
        """Bring everything that is noted into the ledger, each change once. Returns how many; 0 without an outbox.

        First it is written there, then it is deleted here: whoever dies between leaves it to be fetched again.
        Raises QueryError, LedgerError, and what ``connect`` raises.
        """
        try:
            conn, fetched = self._opened(), 0
            if not self._is_ours(conn):
                return 0
            self.told = False
            while rows := self._fetch(conn):
                told = [changes.Told(*row[1:]) for row in rows]
                changes.write(ledger, PROVIDER, told, source=self._source, noted=True)
                self._run(conn, "fetched", numbers=[row[0] for row in rows])
                fetched += len(rows)
                if len(rows) < MOST:
                    break
            return fetched
        except psycopg.Error as error:
            state = error.sqlstate or "no connection"
            raise QueryError(f"The outbox of {self._source} could not be emptied (SQLSTATE {state}).") from None

    def listen(self) -> bool:
        """Be told of what is noted from now on; False without an outbox. Raises as ``empty_into`` does."""
        try:
            conn = self._opened()
            if not self._is_ours(conn):
                return False
            conn.execute(f"LISTEN {self._schema}_outbox".encode())
        except psycopg.Error as error:
            state = error.sqlstate or "no connection"
            raise QueryError(f"The outbox of {self._source} cannot be listened to (SQLSTATE {state}).") from None
        return True

    @property
    def sockets(self) -> list[int]:
        """What becomes readable when the database has something to tell."""
        return [self._conn.fileno()] if self._conn is not None and not self._conn.closed else []

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None

    def _opened(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = self._connect()
            self._conn.autocommit = True
            self._conn.prepare_threshold = None
            self._conn.add_notify_handler(self._hear)
        return self._conn

    def _hear(self, _: psycopg.Notify) -> None:
        self.told = True

    def _is_ours(self, conn: psycopg.Connection[Any]) -> bool:
        row = self._run(conn, "there", schema=self._schema).fetchone()
        if row is not None and not row[0]:
            log.warning("the role of %s may not empty the outbox: `events install --reader ROLE`", self._source)
        return bool(row and row[0])

    def _fetch(self, conn: psycopg.Connection[Any]) -> list[Any]:
        return self._run(conn, "fetch", most=MOST).fetchall()

    def _run(self, conn: psycopg.Connection[Any], name: str, **facts: object) -> psycopg.Cursor[Any]:
        return conn.execute(statements("outbox", self._schema)[name].encode(), facts)
