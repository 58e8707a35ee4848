"""A loop's queries on their database: described, wrapped and streamed out, read-only and under a timeout.

The user's text is parsed as exactly one SELECT before it comes here, stands only inside parentheses, runs in a
READ ONLY transaction, and is never mixed with values: ``:as_of`` becomes the driver's own literal at the token.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.pq import DiagnosticField, ExecStatus

from skene_airflow.audience import hasura
from skene_airflow.audience.changes import fill, relation
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError
from skene_airflow.loop.sql import bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.audience.changes import Changes
    from skene_airflow.audience.hasura import People


_EVENT = "relation event"  # among the values, where no parameter of a query can have its name


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a loop, ready to be asked: its text, the moment it is asked for, its zone and its patience.

    ``audiences`` has the named audiences that it may read, each behind what it reads itself. ``what`` is what its
    faults call it. ``changes`` is what relation `event` holds, for a question that may read it.
    """

    query: str
    as_of: datetime
    timezone: str
    timeout: timedelta
    audiences: Sequence[tuple[str, str]] = ()
    what: str = "condition"
    people: People | None = None
    """Rows that were fetched elsewhere; the query then reads them from a temporary table."""
    changes: Changes | None = None


class Part(NamedTuple):
    """A CTE made of a query of the user's: its name, what faults call it, and our SQL before and behind the query."""

    name: str
    what: str
    before: str
    query: str
    behind: str


def literals(conn: psycopg.Connection[Any], question: Question) -> dict[str, str]:
    """The parameters of the question's SQL as the driver's own quoted literals, and what relation `event` is."""
    found = {"as_of": sql.Literal(question.as_of).as_string(conn)}
    if question.changes is not None:
        found[_EVENT] = _event(conn, question, question.changes)
    return found


def with_parts(text: Text, question: Question, values: Mapping[str, str], parts: Sequence[Part] = ()) -> Text:
    """Add the WITH clause of a statement, if it needs one: relation `event`, the named audiences, then ``parts``."""
    named = [Part(name, f"the audience '{name}'", "", query, "") for name, query in question.audiences]
    if question.changes is not None:
        text.ours(f"WITH event AS (\n{values[_EVENT]}\n)\n")
    for number, part in enumerate([*named, *parts]):
        first = not number and question.changes is None
        text.ours(f'{"WITH" if first else ","} "{part.name}" AS (\n{part.before}')
        text.theirs(bind(part.query, values), part.what)
        text.ours(f"\n{part.behind})\n")
    return text


def _event(conn: psycopg.Connection[Any], question: Question, changes: Changes) -> str:
    try:
        return relation(conn, changes)
    except psycopg.Error as error:
        raise refused(error.sqlstate, replace(question, what=f"trigger's table {changes.table}")) from None


def bare(conn: psycopg.Connection[Any], question: Question) -> Text:
    """Everything that the query returns, as one statement."""
    values = literals(conn, question)
    text = with_parts(Text(), question, values).ours("SELECT * FROM (\n")
    return text.theirs(bind(question.query, values), "the query").ours("\n) AS q")


@contextmanager
def asking(conn: psycopg.Connection[Any], question: Question) -> Iterator[None]:
    """A READ ONLY transaction with the question's limits. Raises QueryError.

    Text forms of dates, bytes and floats are fixed, so that a key is the same text on every server.
    """
    conn.autocommit = False
    # Else it turns read-only once the rows from elsewhere are there.
    conn.read_only = question.people is None and question.changes is None
    conn.prepare_threshold = None
    limit = min(int(question.timeout.total_seconds() * 1000), 2**31 - 1)
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
            if question.people is not None:
                hasura.fill(conn, question.people)
            if question.changes is not None:
                fill(conn, question.changes)
            yield
    except psycopg.Error as error:
        raise refused(error.sqlstate, question) from None


class Refusal(NamedTuple):
    """What the database's parser says against a statement; its words speak of the statement alone."""

    state: str
    message: str
    hint: str
    position: str


def parsed(conn: psycopg.Connection[Any], text: Text) -> list[tuple[str, int]] | Refusal:
    """The columns of a statement, each with the oid of its type, from the parser alone: nothing is executed."""
    pgconn = conn.pgconn
    prepared = pgconn.prepare(b"", str(text).encode())
    if prepared.status != ExecStatus.COMMAND_OK:

        def said(field: DiagnosticField) -> str:
            return (prepared.error_field(field) or b"").decode("utf-8", "replace")

        return Refusal(
            said(DiagnosticField.SQLSTATE),
            said(DiagnosticField.MESSAGE_PRIMARY),
            said(DiagnosticField.MESSAGE_HINT),
            said(DiagnosticField.STATEMENT_POSITION),
        )
    shape = pgconn.describe_prepared(b"")
    return [((shape.fname(i) or b"").decode(), shape.ftype(i)) for i in range(shape.nfields)]


def check(conn: psycopg.Connection[Any], text: Text, question: Question) -> list[tuple[str, int]]:
    """What ``parsed`` finds. Raises QueryError for whatever the database refuses."""
    found = parsed(conn, text)
    if isinstance(found, Refusal):
        raise refused(found.state, question, text.place(found.position))
    return found


def count_rows(conn: psycopg.Connection[Any], table: str, question: Question) -> int:
    """How many rows a table has, counted within the question's transaction. Raises QueryError."""
    # Folded and quoted: `user` as it stands would be a function of one row.
    name = sql.Identifier(*table.lower().split("."))
    try:
        row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
    except psycopg.Error as error:
        raise refused(error.sqlstate, replace(question, what=f"count of {table} (for guard.max_share)")) from None
    return int(row[0]) if row else 0


def has_person(conn: psycopg.Connection[Any], table: str, key: str, user_key: str, question: Question) -> bool:
    """Whether a table has a row with this key, asked within the question's transaction. Raises QueryError."""
    name = sql.Identifier(*table.lower().split("."))
    text = sql.SQL("SELECT EXISTS (SELECT FROM {} AS t WHERE t.{}::text = %s)").format(name, sql.Identifier(key))
    try:
        row = conn.execute(text, [user_key]).fetchone()
    except psycopg.Error as error:
        raise refused(error.sqlstate, replace(question, what=f"look into {table}")) from None
    return bool(row and row[0])


def describe(conn: psycopg.Connection[Any], text: Text, question: Question) -> dict[str, str]:
    """The statement's columns and their types.

    Raises QueryError for whatever the database refuses, and when two columns share a name.
    """
    found = check(conn, text, question)
    names = [name for name, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        words = f"The {question.what} returns two columns named {twice[0]!r}; give one of them another name with AS."
        raise QueryError(words)
    with conn.cursor() as cur:
        oids = [oid for _, oid in found]
        cur.execute("SELECT t.oid, format_type(t.oid, NULL) FROM unnest(%s::oid[]) AS t (oid)", [oids])
        types = dict(cur.fetchall())
    return {name: types[oid] for name, oid in found}


def stream(conn: psycopg.Connection[Any], text: Text, question: Question) -> Iterator[Any]:
    """The statement's rows in COPY text format, block by block: memory stays flat whatever the audience's size.

    Raises QueryError for the source's own errors, so that whoever writes the blocks elsewhere is not blamed on it.
    """
    try:
        with conn.cursor() as cur, cur.copy(sql.SQL("COPY ({}) TO STDOUT").format(sql.SQL(str(text)))) as out:
            yield from out
    except psycopg.Error as error:
        raise refused(error.sqlstate, question) from None


_WORDS = {
    "57014": "it ran longer than its timeout; an index on what it filters by may help, or a longer `timeout`",
    "42P01": "it reads a table or view that does not exist, or that this connection's search_path does not reach",
    "42703": "it names a column that does not exist",
    "42702": "it names a column that more than one of its tables has; write which, such as u.id",
    "42803": "it counts or sums where one row is meant; a segment's `when` looks at one person at a time",
    "42804": "it compares or returns values of another type than is meant here",
    "42883": "it calls a function or operator that does not exist for these types (a cast with ::type may help)",
    "42501": "the connection's role may not read what it names; grant SELECT on it",
    "25006": "it tries to write; a condition may only read",
    "22P02": "a value cannot be read as the type it is cast to",
    "22012": "it divides by zero; wrap the divisor in NULLIF(…, 0)",
    "55P03": "a table it reads was locked for more than 5 seconds; the next try asks again",
}


def refused(state: str | None, question: Question, place: str = "") -> QueryError:
    """Our own words for what the database said: its message and DETAIL may hold people's data."""
    state = state or "no connection"
    words = _WORDS.get(state) or "the database refused it; run the query in psql to see the whole message"
    if state.startswith("08") or state in {"no connection", "57P01", "57P03"}:
        words = "the connection broke; the next try asks again"
    if state == "57014":
        words = f"(timeout {question.timeout}) {words}"
    return QueryError(f"The {question.what} failed{place}: {words} (SQLSTATE {state}).")
