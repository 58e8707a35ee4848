"""Loops against their databases: each query described, never executed, and every column that a mail reads."""

from __future__ import annotations

import difflib
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg

from skene_airflow.audience.condition import Question, Refusal, asking, bare, parsed
from skene_airflow.errors import QueryError, SettingsError
from skene_airflow.loop.schema import Loop, QueryCondition, ScheduleTrigger, Step
from skene_airflow.message.columns import uses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skene_airflow.nouns import Fault

    Source = Callable[[], psycopg.Connection[Any]]

QUERY_REFUSED: Final = "SK251"
TWO_COLUMNS: Final = "SK252"
NO_PERSON: Final = "SK253"
NO_COLUMN: Final = "SK254"

TITLES: Final[dict[str, str]] = {
    QUERY_REFUSED: "The database refuses the query",
    TWO_COLUMNS: "The query returns two columns of one name",
    NO_PERSON: "The query does not return the person's key or address",
    NO_COLUMN: "A mail reads a column that the query does not return",
}

# The moment does not matter: nothing is executed. One that no query is likely to hold as text of its own.
_AS_OF: Final = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)


class _RefusedError(Exception):
    """The database's answer to a description: its words speak of the query alone, since no row was read."""

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.hint, self.offset = message, hint, offset


def check_sources(loops: Iterable[Loop], source: Callable[[str], Source]) -> list[Fault]:
    """Every fault that the database finds in these good loops, sorted; ``source`` opens an Airflow connection id.

    Raises SettingsError, or what ``source`` raises, for a database that cannot be reached.
    """
    by_connection: dict[str, list[Loop]] = {}
    for loop in loops:
        by_connection.setdefault(loop.connections.source, []).append(loop)
    found: set[Fault] = set()
    for conn_id, mine in by_connection.items():
        with closing(source(conn_id)()) as conn:
            for loop in mine:
                for step in loop.steps:
                    found.update(_step(conn, loop, step))
    return sorted(found)


def _step(conn: psycopg.Connection[Any], loop: Loop, step: Step) -> Iterator[Fault]:
    if not isinstance(step.condition, QueryCondition):
        return
    path = loop.query_path(step)
    try:
        columns = _columns(conn, loop, step, step.condition)
    except _RefusedError as refused:
        file, line, column = loop.place(path, refused.offset)
        fault = loop.fault(path, QUERY_REFUSED, f"the database refuses the query: {refused.message}", refused.hint)
        yield replace(fault, file=file, line=line, column=column)
        return
    twice = sorted({name for name in columns if columns.count(name) > 1})
    for name in twice:
        hint = "give one of them another name with AS, or name the columns instead of `*`"
        yield loop.fault(path, TWO_COLUMNS, f"the query returns two columns named '{name}'", hint)
    yield from _person(loop, path, columns)
    for use in uses_of(loop, step):
        if use.column not in columns:
            what = f"the query returns no column '{use.column}'"
            yield use.fault(NO_COLUMN, what, _instead(use.column, columns))


def _person(loop: Loop, path: str, columns: list[str]) -> Iterator[Fault]:
    for key in ("key", "email"):
        name = getattr(loop.user, key)
        if name not in columns:
            where = f"user.{key}" if loop.written(("user", key)) is not None else path
            what = f"the query returns no column '{name}', which is `user.{key}`"
            yield loop.fault(where, NO_PERSON, what, _instead(name, columns))


def _instead(name: str, columns: list[str]) -> str:
    near = difflib.get_close_matches(name, columns, 1)
    return f"did you mean '{near[0]}'?" if near else f"it returns {', '.join(sorted(set(columns))) or 'nothing'}"


def _columns(conn: psycopg.Connection[Any], loop: Loop, step: Step, condition: QueryCondition) -> list[str]:
    """The names of the query's columns, from the database's parser. Raises _RefusedError or SettingsError."""
    zone = step.trigger.timezone if isinstance(step.trigger, ScheduleTrigger) else None
    zone = zone if zone and zone != "user" else "UTC"
    question = Question(condition.query, _AS_OF, zone, condition.timeout, loop.audiences)
    try:
        with asking(conn, question):
            text = bare(conn, question)
            found = parsed(conn, text)
    except QueryError as error:
        raise SettingsError(f"the database cannot be asked: {error}") from None
    except psycopg.Error:
        raise SettingsError("the database cannot be asked: the connection broke; try again") from None
    if isinstance(found, Refusal):
        what, at = text.find(found.position) or ("the query", 0)
        message = found.message or "no reason was given"
        if what != "the query":
            raise _RefusedError(f"{what}: {message}", found.hint, 0)
        raise _RefusedError(message, found.hint, _unbound(condition.query, text.piece(what), at))
    return [name for name, _ in found]


def _unbound(query: str, bound: str, at: int) -> int:
    """The place in the user's text of a character of the bound one, where `:as_of` has become a literal."""
    literal = f"'{_AS_OF.isoformat(sep=' ')}'::timestamptz"
    before = bound.count(literal, 0, max(at, 0))
    return min(max(at - before * (len(literal) - len(":as_of")), 0), len(query))
