"""Mark: the loop's one writing statement, `on_sent`, once for each settled batch, with its people in relation ``sent``.

It may run twice for a batch whose mark was not noted, so it is idempotent by contract; it never keeps mail from going.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from skene_airflow.errors import QueryError
from skene_airflow.ledger import control
from skene_airflow.loop.sql_shape import bind_update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Marked:
    """How many batches, and people in them, `on_sent` has run for."""

    batches: int = 0
    people: int = 0


def mark(job: Job) -> Marked:
    """Run `on_sent` for every settled batch of the step that it is owed for, of this run or an earlier one.

    Raises QueryError, in our own words, if the database refuses it; what was marked before stays marked.
    """
    done, after = Marked(), 0
    if job.step.on_sent is None:
        return done
    with closing(job.source()) as conn:
        while batch := control.next_unmarked(job.ledger, job.names, after):
            after = batch["batch_id"]
            if batch["people"]:
                _run(job, conn, batch)
                done.people += len(batch["people"])
            control.marked(job.ledger, after)
            done.batches += 1
    return done


def _run(job: Job, conn: psycopg.Connection[Any], batch: Mapping[str, Any]) -> None:
    conn.prepare_threshold = None
    key = job.loop.user.key
    rows = [{**(person["vars"] or {}), key: person["user_key"]} for person in batch["people"]]
    # The moment is that of the run whose people these are, not of the one that comes to mark them.
    statement = bind_update(job.step.on_sent or "", {"as_of": sql.Literal(batch["as_of"]).as_string(conn)})
    # A temporary table of the transaction is found before any table of the app that has the same name.
    shape = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in batch["columns"].items()
    )
    try:
        with conn.transaction(), conn.cursor() as cur:
            cur.execute("SELECT set_config('statement_timeout', '60s', true), set_config('lock_timeout', '5s', true)")
            cur.execute(sql.SQL("CREATE TEMP TABLE sent ({}) ON COMMIT DROP").format(shape))
            cur.execute("INSERT INTO sent SELECT * FROM jsonb_populate_recordset(NULL::sent, %s)", [Jsonb(rows)])
            cur.execute(statement.encode(), binary=True)  # the extended protocol runs one statement, never two
    except psycopg.Error as error:
        state = error.sqlstate or "no connection"
        words = f"on_sent failed (SQLSTATE {state}); the mail has left, and the next report or skene_upkeep marks it"
        raise QueryError(f"{words}. Run the UPDATE in psql to see the whole message.") from None
