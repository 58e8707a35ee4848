"""The condition on its database: described, wrapped and streamed out, read-only and under a timeout.

The user's text is parsed as exactly one SELECT before it comes here, stands only inside ``FROM ( … )``, runs in a
READ ONLY transaction, and is never mixed with values: ``:as_of`` becomes the driver's own literal at the token.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import DiagnosticField, ExecStatus

from skene_airflow.errors import QueryError
from skene_airflow.loop.sql import bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

_PREFIX = "SELECT * FROM (\n"
_SUFFIX = "\n) AS q"


@dataclass(frozen=True, slots=True)
class UserColumns:
    """Which column of the query is the person's key, address, time zone and locale."""

    key: str
    email: str
    timezone: str
    locale: str


@dataclass(frozen=True, slots=True)
class Question:
    """A condition, ready to be asked: its text, the moment it is asked for, its zone and its patience."""

    query: str
    as_of: datetime
    timezone: str
    timeout: timedelta


def literals(conn: psycopg.Connection[Any], question: Question) -> str:
    """The query with its one parameter put in as the driver's own quoted literal."""
    return bind(question.query, {"as_of": sql.Literal(question.as_of).as_string(conn)})


@contextmanager
def asking(conn: psycopg.Connection[Any], question: Question) -> Iterator[str]:
    """A READ ONLY transaction with the question's limits; yields the bound query. Raises QueryError.

    Text forms of dates, bytes and floats are fixed, so that a key is the same text on every server.
    """
    conn.autocommit = False
    conn.read_only = True
    conn.prepare_threshold = None
    limit = int(question.timeout.total_seconds() * 1000)
    # A session that waits on us is one whose statement is over: the statement's own timeout bounds the stream.
    local = {
        "statement_timeout": str(limit),
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "60s",
        "TimeZone": question.timezone,
        "DateStyle": "ISO",
        "IntervalStyle": "iso_8601",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "standard_conforming_strings": "on",  # what the scanner of `:as_of` takes for granted
    }
    try:
        with conn.transaction(), conn.cursor() as cur:
            calls = ", ".join("set_config(%s, %s, true)" for _ in local)
            cur.execute(f"SELECT {calls}", [part for item in local.items() for part in item])
            yield literals(conn, question)
    except psycopg.Error as error:
        raise refused(error.sqlstate, question, error.diag.statement_position) from None


def describe(conn: psycopg.Connection[Any], bound: str, question: Question) -> dict[str, str]:
    """The query's columns and their types, from the database's parser alone: nothing is executed.

    Raises QueryError for whatever the database refuses, and when two columns share a name.
    """
    pgconn = conn.pgconn
    text = f"{_PREFIX}{bound}{_SUFFIX}".encode()
    prepared = pgconn.prepare(b"", text)
    if prepared.status != ExecStatus.COMMAND_OK:
        state = (prepared.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        position = (prepared.error_field(DiagnosticField.STATEMENT_POSITION) or b"").decode()
        raise refused(state, question, position)
    shape = pgconn.describe_prepared(b"")
    names = [(shape.fname(i) or b"").decode() for i in range(shape.nfields)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise QueryError(
            f"The condition returns two columns named {twice[0]!r}; give one of them another name with AS."
        )
    oids = [shape.ftype(i) for i in range(shape.nfields)]
    with conn.cursor() as cur:
        cur.execute("SELECT t.oid, format_type(t.oid, NULL) FROM unnest(%s::oid[]) AS t (oid)", [oids])
        types = dict(cur.fetchall())
    return {name: types[oid] for name, oid in zip(names, oids, strict=True)}


def staging_query(bound: str, columns: Mapping[str, str], user: UserColumns, keep: Sequence[str]) -> sql.Composed:
    """The one execution of the query: its rows as the stage's columns, with only the values that templates use."""
    missing = [name for name in (user.key, user.email, *keep) if name not in columns]
    if missing:
        known = ", ".join(sorted(columns))
        raise QueryError(f"The condition does not return the column {missing[0]!r}; it returns: {known}.")

    def column(name: str) -> sql.Composable:
        return sql.SQL("q.{}::text").format(sql.Identifier(name)) if name in columns else sql.SQL("NULL::text")

    kept = sql.SQL(", ").join(sql.SQL("q.{}").format(sql.Identifier(name)) for name in keep)
    values = sql.SQL("(SELECT to_jsonb(v) FROM (SELECT {}) AS v)").format(kept) if keep else sql.SQL("'{{}}'::jsonb")
    return sql.SQL(
        "SELECT row_number() OVER (), {key}, ''::text, {email}, {timezone}, {locale}, {values}\nFROM (\n{query}\n) AS q"
    ).format(
        key=column(user.key),
        email=column(user.email),
        timezone=column(user.timezone),
        locale=column(user.locale),
        values=values,
        query=sql.SQL(bound),
    )


def stream(conn: psycopg.Connection[Any], query: sql.Composed, question: Question) -> Iterator[Any]:
    """The query's rows in COPY text format, block by block: memory stays flat whatever the audience's size.

    Raises QueryError for the source's own errors, so that whoever writes the blocks elsewhere is not blamed on it.
    """
    try:
        with conn.cursor() as cur, cur.copy(sql.SQL("COPY ({}) TO STDOUT").format(query)) as out:
            yield from out
    except psycopg.Error as error:
        raise refused(error.sqlstate, question) from None


_WORDS = {
    "57014": "it ran longer than its timeout; an index on what it filters by may help, or a longer `timeout`",
    "42P01": "it reads a table or view that does not exist, or that this connection's search_path does not reach",
    "42703": "it names a column that does not exist",
    "42883": "it calls a function or operator that does not exist for these types (a cast with ::type may help)",
    "42501": "the connection's role may not read what it names; grant SELECT on it",
    "25006": "it tries to write; a condition may only read",
    "22P02": "a value cannot be read as the type it is cast to",
    "22012": "it divides by zero; wrap the divisor in NULLIF(…, 0)",
    "55P03": "a table it reads was locked for more than 5 seconds; the next try asks again",
}


def refused(state: str | None, question: Question, position: str | None = None) -> QueryError:
    """Our own words for what the database said: its message and DETAIL may hold people's data."""
    state = state or "no connection"
    words = _WORDS.get(state) or "the database refused it; run the query in psql to see the whole message"
    if state.startswith("08") or state in {"no connection", "57P01", "57P03"}:
        words = "the connection broke; the next try asks again"
    if state == "57014":
        words = f"(timeout {question.timeout}) {words}"
    return QueryError(f"The condition failed{_place(question, position)}: {words} (SQLSTATE {state}).")


def _place(question: Question, position: str | None) -> str:
    """Where in the user's own text; parameters before it may shift the column, never the line."""
    offset = int(position) - 1 - len(_PREFIX) if position else -1
    if not offset >= 0:
        return ""
    line = question.query[:offset].count("\n") + 1
    return f" at line {min(line, question.query.count(chr(10)) + 1)} of the query"
