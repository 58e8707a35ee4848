"""What a loop asks its database beside who: audiences, `exit`, `goal`, `ready`, and `on_sent`. Nothing is executed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from skene_airflow.audience.condition import asking, bare, literals
from skene_airflow.audience.condition import describe as types_of
from skene_airflow.audience.text import Text
from skene_airflow.loop.sql_shape import SENT, behind_with, bind_update, relations
from skene_airflow.message.columns import uses_of
from skene_airflow.stages.describing import (
    BOOLEAN,
    NO_COLUMN,
    NO_PERSON,
    QUERY,
    WRONG_TYPE,
    RefusedError,
    describe,
    describe_in,
    instead,
    kind_of,
    question_of,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import psycopg

    from skene_airflow.audience.condition import Question
    from skene_airflow.loop.rules import Goal
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.nouns import Fault
    from skene_airflow.stages.describing import Column

_UNKNOWN: Final = 705  # the type of a NULL


def of_loop(conn: psycopg.Connection[Any], loop: Loop) -> Iterator[Fault]:
    """Faults of the queries of the whole loop: its named audiences, who left, who reached the goal."""
    yield from _audiences(conn, loop)
    if loop.exit is not None and loop.exit != "goal":
        yield from _people(conn, loop, "exit", loop.exit)
    if loop.goal is not None:
        yield from _goal(conn, loop, loop.goal)


def _audiences(conn: psycopg.Connection[Any], loop: Loop) -> Iterator[Fault]:
    """Each stands behind what it reads; one that reads a broken one can only be described when that is mended."""
    good: list[tuple[str, str]] = []
    broken: set[str] = set()
    for name, query in loop.audiences:
        if not broken & (relations(query) or frozenset()):
            try:
                describe(conn, replace(question_of(loop, query), audiences=tuple(good)))
            except RefusedError as refused:
                yield RefusedError(refused.message, refused.hint, refused.offset, name).fault(loop, "")
            else:
                good.append((name, query))
                continue
        broken.add(name)


def of_step(conn: psycopg.Connection[Any], loop: Loop, step: Step, condition: Question | None) -> Iterator[Fault]:
    """Faults of what a step asks beside its condition; without a sound one nothing is said about `on_sent`."""
    path = f"steps[{loop.steps.index(step)}]"
    if step.ready is not None:
        yield from _ready(conn, loop, step, f"{path}.ready.query", step.ready.query)
    if step.on_sent is not None and condition is not None:
        yield from _on_sent(conn, loop, step, f"{path}.on_sent", condition)


def _people(conn: psycopg.Connection[Any], loop: Loop, path: str, query: str) -> Generator[Fault, None, list[Column]]:
    """Faults of a query that names people by the key; its columns."""
    columns = yield from _columns(conn, loop, path, question_of(loop, query))
    if columns and loop.user.key not in {column.name for column in columns}:
        what = f"the query returns no column '{loop.user.key}', which is `user.key`"
        yield loop.fault(path, NO_PERSON, what, instead(loop.user.key, columns))
    return columns


def _goal(conn: psycopg.Connection[Any], loop: Loop, goal: Goal) -> Iterator[Fault]:
    path = "goal.query"
    columns = yield from _people(conn, loop, path, goal.query)
    if not columns:
        return
    if "at" not in {column.name for column in columns}:
        what, hint = "the query returns no column 'at'", "name the time of the goal so: created_at AS at"
        yield loop.fault(path, NO_COLUMN, what, hint)
        return
    try:
        kind_of(conn, question_of(loop, goal.query), "q.at::timestamptz", ours=True)
    except RefusedError:
        yield loop.fault(path, WRONG_TYPE, "the column 'at' is no time", "return a date or a timestamp as `at`")


def _ready(conn: psycopg.Connection[Any], loop: Loop, step: Step, path: str, query: str) -> Iterator[Fault]:
    columns = yield from _columns(conn, loop, path, question_of(loop, query, step))
    if columns and (len(columns) > 1 or columns[0].kind not in (BOOLEAN, _UNKNOWN)):
        what = f"the query returns {len(columns)} columns" if len(columns) > 1 else "this is not true or false"
        yield loop.fault(path, WRONG_TYPE, what, "write one SELECT of one boolean")


def _on_sent(conn: psycopg.Connection[Any], loop: Loop, step: Step, path: str, condition: Question) -> Iterator[Fault]:
    with asking(conn, condition):
        types = types_of(conn, bare(conn, condition), condition)
    used = {loop.user.key, *loop.entry_columns(step), *(use.column for use in uses_of(loop, step))}
    kept = sorted(used & types.keys())
    # An empty relation of the batch's shape: to describe is not to execute, and a table would have to be made.
    shape = ", ".join(f"NULL::{types[name]} AS {sql.Identifier(name).as_string(conn)}" for name in kept)
    written = step.on_sent or ""
    at = behind_with(written)

    def build(conn: psycopg.Connection[Any], question: Question) -> Text:
        bound = bind_update(written, literals(conn, question))
        text = Text().ours(bound[:at] if at else "WITH").ours(f' "{SENT}" AS (SELECT {shape}){"," if at else ""}\n')
        return text.theirs(bound[at:], QUERY)

    try:
        describe_in(conn, condition, build, written, skipped=at)
    except RefusedError as refused:
        refused.hint = refused.hint or f"relation `{SENT}` has {', '.join(kept)}: what the mail reads, and the key"
        yield refused.fault(loop, path, "UPDATE")


def _columns(
    conn: psycopg.Connection[Any], loop: Loop, path: str, question: Question
) -> Generator[Fault, None, list[Column]]:
    """The query's columns; a fault and none if the database refuses it."""
    try:
        return describe(conn, question)
    except RefusedError as refused:
        yield refused.fault(loop, path)
        return []
