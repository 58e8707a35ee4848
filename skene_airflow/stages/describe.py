"""Loops against their databases: each query described, never executed, and every column that is read of one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop import codes
from skene_airflow.loop.conditions import Bands
from skene_airflow.loop.schema import QueryCondition, ScheduleTrigger
from skene_airflow.message.columns import uses_of
from skene_airflow.stages.describe_beside import of_loop, of_step
from skene_airflow.stages.describing import (
    BOOLEAN,
    NO_COLUMN,
    NO_PERSON,
    TWO_COLUMNS,
    WRONG_TYPE,
    Column,
    RefusedError,
    describe,
    instead,
    kind_of,
    question_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import psycopg

    from skene_airflow.audience.condition import Question
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.nouns import Fault

    Source = Callable[[], psycopg.Connection[Any]]

# PostgreSQL's numbers of tstzrange, tstzmultirange and timestamptz[].
_IN_ZONE: Final = frozenset((3910, 4534, 1185))


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
                found.update(of_loop(conn, loop))
                for step in loop.steps:
                    found.update(_step(conn, loop, step))
    return sorted(found)


def _step(conn: psycopg.Connection[Any], loop: Loop, step: Step) -> Iterator[Fault]:
    asked = loop.condition_of(step)
    if not isinstance(asked, QueryCondition):
        yield from of_step(conn, loop, step, None)
        return
    path = loop.query_path(step)
    question = question_of(loop, asked.query, step)
    try:
        columns = describe(conn, question)
    except RefusedError as refused:
        yield refused.fault(loop, path)
        yield from of_step(conn, loop, step, None)
        return
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in twice:
        hint = "give one of them another name with AS, or name the columns instead of `*`"
        yield loop.fault(path, TWO_COLUMNS, f"the query returns two columns named '{name}'", hint)
    yield from _person(loop, step, path, columns)
    yield from _rules(loop, step, columns)
    if not twice:
        yield from _segments(conn, loop, step, question)
    yield from of_step(conn, loop, step, None if twice else question)
    for use in uses_of(loop, step):
        if use.column not in names:
            yield use.fault(NO_COLUMN, f"the query returns no column '{use.column}'", instead(use.column, columns))


def _person(loop: Loop, step: Step, path: str, columns: list[Column]) -> Iterator[Fault]:
    names = {column.name for column in columns}
    for key in ("key",) if step.action.type == "in_app" else ("key", "email"):
        name = getattr(loop.user, key)
        if name not in names:
            where = f"user.{key}" if loop.written(("user", key)) is not None else path
            what = f"the query returns no column '{name}', which is `user.{key}`"
            yield loop.fault(where, NO_PERSON, what, instead(name, columns))
    for key in ("timezone", "locale"):
        name, written = getattr(loop.user, key), loop.written(("user", key))
        # A folder's defaults may name what only some of its queries return.
        if name not in names and written is not None and written.source.file == loop.file:
            what = f"the query returns no column '{name}', which is `user.{key}`"
            yield loop.fault(f"user.{key}", NO_COLUMN, what, instead(name, columns))


def _rules(loop: Loop, step: Step, columns: list[Column]) -> Iterator[Fault]:
    """Columns that the loop's own rules read."""
    kinds = {column.name: column.kind for column in columns}
    for path, name in _named(loop, step):
        if name not in kinds:
            yield loop.fault(path, NO_COLUMN, f"the query returns no column '{name}'", instead(name, columns))
        elif path == "consent" and kinds[name] != BOOLEAN:
            hint = f"make it true or false in the query: … AS {name}"
            yield loop.fault(path, WRONG_TYPE, f"the column '{name}' is not true or false", hint)
        elif path.startswith("entry.per") and kinds[name] in _IN_ZONE:
            hint = "name a column of a plain type, such as lower(…) of a range"
            yield loop.fault(path, WRONG_TYPE, f"the text of the column '{name}' depends on the time zone", hint)


def _named(loop: Loop, step: Step) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(loop.entry_columns(step)):
        yield f"entry.per[{number}]", name
    if loop.consent is not None:
        yield "consent", loop.consent
    at = f"steps[{loop.steps.index(step)}]"
    if isinstance(step.segments, Bands):
        yield f"{at}.segments.by", step.segments.by
    if isinstance(step.trigger, ScheduleTrigger) and step.trigger.timezone == "user":
        yield f"{at}.trigger.timezone", loop.user.timezone


def _segments(conn: psycopg.Connection[Any], loop: Loop, step: Step, question: Question) -> Iterator[Fault]:
    """What the database says against each segment, over the columns of the query."""
    path = f"steps[{loop.steps.index(step)}].segments"
    if isinstance(step.segments, Bands):
        name = step.segments.by.replace('"', '""')
        try:
            kind_of(conn, question, f'q."{name}" >= now()', ours=True)
        except RefusedError as refused:
            if not refused.message.startswith("column"):  # that it is not there is said already
                what = f"the column '{step.segments.by}' is no time"
                yield loop.fault(f"{path}.by", WRONG_TYPE, what, "name a column of a date or a timestamp")
        return
    for number, segment in enumerate(step.segments or ()):
        if segment.when is None:
            continue
        where = f"{path}[{number}].when"
        try:
            kind = kind_of(conn, question, segment.when)
        except RefusedError as refused:
            yield refused.fault(loop, where, "expression")
            continue
        if kind != BOOLEAN:
            what = "this is not true or false"
            yield loop.fault(where, codes.SQL_BOOLEAN, what, "write one condition, such as plan = 'pro' AND seats > 5")
