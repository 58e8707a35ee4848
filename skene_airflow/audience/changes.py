"""The rows of a table that changed, as relation `event` of a condition: typed by the table itself, on the source.

They come from the ledger, which may be another database: they travel into a temporary table of the session, made
within the condition's own transaction before that turns read-only. Only there do they get the table's types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from skene_airflow.errors import QueryError
from skene_airflow.loop.triggers import DatabaseTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from skene_airflow.loop.rules import UserColumns
    from skene_airflow.loop.schema import Step

OWN = ("op", "old", "new")
"""Columns of `event` beside those of the table; a column of the table of such a name is left out."""

_TABLE = '"skene changes"'
_MAKE = (
    f"CREATE TEMPORARY TABLE {_TABLE} (n bigint GENERATED ALWAYS AS IDENTITY, op text, old jsonb, new jsonb)"
    " ON COMMIT DROP"
)
_FILL = f"COPY {_TABLE} (op, old, new) FROM STDIN"
_EVENT = """\
SELECT {typed}c.op, c.old, c.new FROM pg_temp."skene changes" AS c
CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, coalesce(c.new, c.old)) AS r"""
_COLUMNS = """
SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_REFERENCES = """
SELECT a.attname FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_catalog.pg_attribute k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.contype = 'f' AND cardinality(c.conkey) = 1 AND c.conrelid = to_regclass(%s) AND c.confrelid = to_regclass(%s)
  AND k.attname = %s
ORDER BY a.attnum
"""


def _none() -> Iterable[Any]:
    return ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What a run takes of a table's changes. ``rows`` gives op, old and new in PostgreSQL's COPY text format."""

    table: str
    """With its schema, as ``qualified`` writes it."""
    rows: Callable[[], Iterable[Any]] = _none


def qualified(table: str) -> str:
    """A table of a loop file with its schema, folded as SQL folds it; without one it is of `public`."""
    folded = table.lower()
    return folded if "." in folded else f"public.{folded}"


def changes_of(step: Step) -> Changes | None:
    """The changes that a step is triggered by, none of them known yet; None for any other trigger."""
    trigger = step.trigger
    return Changes(qualified(trigger.table)) if isinstance(trigger, DatabaseTrigger) else None


def fill(conn: psycopg.Connection[Any], changes: Changes) -> None:
    """Make and fill the temporary table in the caller's transaction, which is read-only from then on.

    Raises QueryError where the session may not have such a table, as on a replica; psycopg's errors else.
    """
    with conn.cursor() as cur:
        try:
            cur.execute(_MAKE)
        except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege):
            words = (
                "A loop with a `database` trigger needs a temporary table on its source: not a read replica,"
                " and a role with the right TEMPORARY (GRANT TEMPORARY ON DATABASE … TO …)."
            )
            raise QueryError(words) from None
        with cur.copy(_FILL) as copy:
            for block in changes.rows():
                copy.write(block)
        cur.execute(f"ANALYZE {_TABLE}")
        cur.execute("SET TRANSACTION READ ONLY")


def relation(conn: psycopg.Connection[Any], changes: Changes) -> str:
    """The SELECT that is relation `event`. Raises psycopg's UndefinedTable if there is no such table."""
    name = sql.Identifier(*changes.table.split(".")).as_string(conn)
    with conn.cursor() as cur:
        cur.execute(_COLUMNS, [name])
        columns = [row[0] for row in cur.fetchall() if row[0] not in OWN]
    typed = "".join(f"r.{sql.Identifier(column).as_string(conn)}, " for column in columns)
    return _EVENT.replace("{typed}", typed).replace("{table}", name)


def person_columns(conn: psycopg.Connection[Any], changes: Changes, user: UserColumns) -> Sequence[str] | None:
    """Which columns of the table hold a person's key: that of `user.table` itself, or references to it.

    None if that cannot be told; then any column may.
    """
    people = qualified(user.table)
    if changes.table == people:
        return [user.key]
    with conn.cursor() as cur:
        cur.execute(_REFERENCES, [changes.table, people, user.key])
        return [row[0] for row in cur.fetchall()] or None
