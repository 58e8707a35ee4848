"""Goals: who reached what the loop is for, asked on the source in one SELECT and recorded in the ledger.

Each look asks for what is new since the one before; nothing of it decides about anybody's mail.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from psycopg import sql

from skene_airflow.audience.condition import Question, asking, bare, check, describe, literals, stream, with_parts
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError
from skene_airflow.ledger.goals import Measure, looking
from skene_airflow.loop.sql import bind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from skene_airflow.ledger import Ledger
    from skene_airflow.loop.rules import Goal
    from skene_airflow.loop.schema import Loop

log = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=10)
"""How long the goal's query may run: as long as a condition that names no timeout."""

_REACHED = "SELECT x.{key}::text, x.at::timestamptz FROM (\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One way to the databases: the source of the loop, the ledger, and the zone of the source's session."""

    source: Callable[[], psycopg.Connection[Any]]
    ledger: Ledger
    timezone: str = "UTC"


def measure(loop: Loop, goal: Goal) -> Measure:
    """The loop's goal as the ledger knows it."""
    text = f"{loop.user.key}\n{int(goal.within.total_seconds())}\n{goal.query}"
    return Measure((loop.id, *reversed(loop.was)), sha256(text.encode()).hexdigest(), goal.within)


def look_for_goals(loop: Loop, asked: Asked) -> int:
    """Record who reached the loop's goal since the last look. Returns how many deliveries that is.

    Nothing is done where the loop has no goal, nobody's window is open, or somebody else looks at this moment.
    Raises QueryError in our own words if the source refuses, LedgerError.
    """
    if loop.goal is None:
        return 0
    with looking(asked.ledger, measure(loop, loop.goal)) as look:
        if look is None:
            return 0
        found = 0
        if look.since is not None:
            question = Question(loop.goal.query, look.now, asked.timezone, PATIENCE, loop.audiences, "goal")
            with closing(asked.source()) as conn, asking(conn, question):
                text = reached(conn, question, loop.user.key, look.since)
                with look.rows() as rows:
                    for block in stream(conn, text, question):
                        rows.write(block)
            found = look.record()
        look.done()
    if found:
        log.info("goals: %s: %s reached the goal within %s", loop.id, found, loop.goal.within)
    return found


def reached(conn: psycopg.Connection[Any], question: Question, key: str, since: datetime) -> Text:
    """Who reached the goal between two moments, each time of it. Raises QueryError for a missing column."""
    columns = describe(conn, bare(conn, question), question)
    for name in (key, "at"):
        if name not in columns:
            what = "the person's key" if name == key else "when it was reached"
            raise QueryError(f"The query of `goal` does not return {what}, {name!r}; it returns: {', '.join(columns)}.")
    values = literals(conn, question)
    text = with_parts(Text(), question, values).ours(_REACHED.replace("{key}", sql.Identifier(key).as_string(conn)))
    text.theirs(bind(question.query, values), "the query").ours("\n) AS x WHERE x.at >= ")
    # Compared in the column's own type, so that an index on it serves.
    text.ours(f"{sql.Literal(since).as_string(conn)} AND x.at <= {sql.Literal(question.as_of).as_string(conn)}")
    check(conn, text, question)
    return text
