"""Loops against their databases: each query described, never executed, and every column that a mail reads."""

from __future__ import annotations

import difflib
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from skene_airflow.audience.condition import Question, Refusal, asking, bare, literals, parsed, with_parts
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError, SettingsError
from skene_airflow.loop import codes
from skene_airflow.loop.conditions import Bands
from skene_airflow.loop.schema import Loop, QueryCondition, ScheduleTrigger, Step
from skene_airflow.loop.sql import bind, bind_expression
from skene_airflow.message.columns import uses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skene_airflow.nouns import Fault

    Source = Callable[[], psycopg.Connection[Any]]
    Build = Callable[[psycopg.Connection[Any], Question], Text]

QUERY_REFUSED: Final = "SK251"
TWO_COLUMNS: Final = "SK252"
NO_PERSON: Final = "SK253"
NO_COLUMN: Final = "SK254"

TITLES: Final[dict[str, str]] = {
    QUERY_REFUSED: "The database refuses the query",
    TWO_COLUMNS: "The query returns two columns of one name",
    NO_PERSON: "The query does not return the person's key or address",
    NO_COLUMN: "A column is read that the query does not return",
}

# The moment does not matter: nothing is executed. One that no query is likely to hold as text of its own.
_AS_OF: Final = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
_PATIENCE: Final = timedelta(minutes=1)
_QUERY: Final = "the query"  # what `bare` calls the user's piece
_BOOLEAN: Final = 16  # PostgreSQL's number of the type


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
                found.update(_leaving(conn, loop))
                for step in loop.steps:
                    found.update(_step(conn, loop, step))
    return sorted(found)


def _step(conn: psycopg.Connection[Any], loop: Loop, step: Step) -> Iterator[Fault]:
    if not isinstance(step.condition, QueryCondition):
        return
    path = loop.query_path(step)
    question = _question(loop, step.condition.query, step)
    try:
        columns = _columns(conn, question)
    except _RefusedError as refused:
        yield _refusal(loop, path, refused)
        return
    twice = sorted({name for name in columns if columns.count(name) > 1})
    for name in twice:
        hint = "give one of them another name with AS, or name the columns instead of `*`"
        yield loop.fault(path, TWO_COLUMNS, f"the query returns two columns named '{name}'", hint)
    yield from _person(loop, path, columns)
    yield from _rules(loop, step, columns)
    yield from _segments(conn, loop, step, question)
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


def _rules(loop: Loop, step: Step, columns: list[str]) -> Iterator[Fault]:
    """Columns that the loop's own rules read."""
    named = [(f"entry.per[{number}]", name) for number, name in enumerate(loop.entry.per or ())]
    named += [("consent", loop.consent)] if loop.consent is not None else []
    if isinstance(step.segments, Bands):
        named.append((f"steps[{loop.steps.index(step)}].segments.by", step.segments.by))
    for path, name in named:
        if name not in columns:
            yield loop.fault(path, NO_COLUMN, f"the query returns no column '{name}'", _instead(name, columns))


def _segments(conn: psycopg.Connection[Any], loop: Loop, step: Step, question: Question) -> Iterator[Fault]:
    """What the database says against each segment's `when`, over the columns of the query."""
    for number, segment in enumerate(step.segments if isinstance(step.segments, tuple) else ()):
        if segment.when is None:
            continue
        path = f"steps[{loop.steps.index(step)}].segments[{number}].when"
        try:
            ((_, kind),) = _parsed(conn, question, partial(_judging, when=segment.when), segment.when)
        except _RefusedError as refused:
            yield _refusal(loop, path, refused, "expression")
            continue
        if kind != _BOOLEAN:
            what = "this is not true or false"
            yield loop.fault(path, codes.SQL_BOOLEAN, what, "write one condition, such as plan = 'pro' AND seats > 5")


def _judging(conn: psycopg.Connection[Any], question: Question, when: str) -> Text:
    """One expression over the columns of the query."""
    values = literals(conn, question)
    text = with_parts(Text(), question, values).ours("SELECT (\n")
    text.theirs(bind_expression(when, values), _QUERY).ours("\n) FROM (\n")
    return text.theirs(bind(question.query, values), "the condition").ours("\n) AS q")


def _leaving(conn: psycopg.Connection[Any], loop: Loop) -> Iterator[Fault]:
    """The queries of the whole loop, which name people by the key."""
    if loop.exit is None or loop.exit == "goal":
        return
    try:
        columns = _columns(conn, _question(loop, loop.exit))
    except _RefusedError as refused:
        yield _refusal(loop, "exit", refused)
        return
    if loop.user.key not in columns:
        what = f"the query returns no column '{loop.user.key}', which is `user.key`"
        yield loop.fault("exit", NO_PERSON, what, _instead(loop.user.key, columns))


def _refusal(loop: Loop, path: str, refused: _RefusedError, what: str = "query") -> Fault:
    file, line, column = loop.place(path, refused.offset)
    fault = loop.fault(path, QUERY_REFUSED, f"the database refuses the {what}: {refused.message}", refused.hint)
    return replace(fault, file=file, line=line, column=column)


def _question(loop: Loop, query: str, step: Step | None = None) -> Question:
    zone = step.trigger.timezone if step is not None and isinstance(step.trigger, ScheduleTrigger) else None
    timeout = step.condition.timeout if step is not None and isinstance(step.condition, QueryCondition) else _PATIENCE
    return Question(query, _AS_OF, zone if zone and zone != "user" else "UTC", timeout, loop.audiences)


def _columns(conn: psycopg.Connection[Any], question: Question) -> list[str]:
    """The names of the query's columns, from the database's parser. Raises _RefusedError or SettingsError."""
    return [name for name, _ in _parsed(conn, question, bare, question.query)]


def _parsed(conn: psycopg.Connection[Any], question: Question, build: Build, written: str) -> list[tuple[str, int]]:
    """The columns, with their types' numbers, of the statement that ``build`` makes around the user's ``written``.

    Raises _RefusedError or SettingsError.
    """
    try:
        with asking(conn, question):
            text = build(conn, question)
            found = parsed(conn, text)
    except QueryError as error:
        raise SettingsError(f"the database cannot be asked: {error}") from None
    except psycopg.Error:
        raise SettingsError("the database cannot be asked: the connection broke; try again") from None
    if not isinstance(found, Refusal):
        return found
    what, at = text.find(found.position) or (_QUERY, 0)
    message = found.message or "no reason was given"
    if what != _QUERY:
        raise _RefusedError(f"{what}: {message}", found.hint, 0)
    raise _RefusedError(message, found.hint, _unbound(written, text.piece(what), at))


def _unbound(query: str, bound: str, at: int) -> int:
    """The place in the user's text of a character of the bound one, where `:as_of` has become a literal."""
    literal = f"'{_AS_OF.isoformat(sep=' ')}'::timestamptz"
    before = bound.count(literal, 0, max(at, 0))
    return min(max(at - before * (len(literal) - len(":as_of")), 0), len(query))
