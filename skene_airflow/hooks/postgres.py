"""Airflow connection ids become ways to open a Postgres connection (psycopg 3, autocommit off)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg.rows import tuple_row

from skene_airflow.errors import SettingsError, SkeneError
from skene_airflow.hooks.connections import find_connection

if TYPE_CHECKING:
    from collections.abc import Callable

# libpq gives no SQLSTATE when no session begins; these words of its messages are about the server, never about data.
_CAUSES = (
    "Connection refused",
    "timeout expired",
    "password authentication failed",
    "no password supplied",
    "could not translate host name",
    "No such file or directory",
    "does not exist",
    "no pg_hba.conf entry",
    "SSL",
)


class DatabaseUnreachableError(SkeneError):
    """No session could be opened; Airflow will try again. The message is our own words and safe to log."""


def postgres(conn_id: str) -> Callable[[], psycopg.Connection[Any]]:
    """A function that opens a new session of the connection ``conn_id``; nothing is opened or looked up before.

    It goes through Airflow's PostgresHook, so that SSL files, IAM tokens and further options of the
    connection count. It raises SettingsError for a missing or unfit connection and DatabaseUnreachableError.
    """

    def connect() -> psycopg.Connection[Any]:
        connection = find_connection(conn_id)
        if connection.conn_type not in ("postgres", "postgresql"):
            found = connection.conn_type or "nothing"
            message = f"the Airflow connection '{conn_id}' must be of type postgres, not {found}"
            raise SettingsError(message)
        where = f"'{conn_id}' ({connection.host or 'local socket'}:{connection.port or 5432})"
        return _plain(_open(conn_id, where))

    return connect


def _open(conn_id: str, where: str) -> psycopg.Connection[Any]:
    trouble = ""
    try:
        session: object = PostgresHook(postgres_conn_id=conn_id).get_conn()
    except psycopg.Error as error:
        trouble = next((cause for cause in _CAUSES if cause in str(error)), type(error).__name__)
    if trouble:
        message = f"the Airflow connection {where} cannot be opened: {trouble}"
        raise DatabaseUnreachableError(message)
    if not isinstance(session, psycopg.Connection):
        message = "Airflow's Postgres provider must use psycopg 3: install psycopg[binary] and SQLAlchemy 2"
        raise SettingsError(message)
    return session


def _plain(session: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    # The connection's extra `cursor` is for the installation's other users; our readers count on tuples.
    session.row_factory = tuple_row
    return session
