"""Whom a step judges: its condition's rows, and for an `after` step those of them whose turn it is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from skene_airflow.audience.changes import person_columns
from skene_airflow.audience.condition import asking, bare, check, count_rows, describe, stream
from skene_airflow.audience.decision import REDIRECTED
from skene_airflow.audience.staging import COLUMNS
from skene_airflow.audience.staging import staging as staging_query
from skene_airflow.ledger.journeys import Following
from skene_airflow.loop.schema import AfterTrigger
from skene_airflow.message.contents import ALL
from skene_airflow.nouns import Mode
from skene_airflow.stages.mode import read_conf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from skene_airflow.audience.condition import Question
    from skene_airflow.ledger.journeys import Filling
    from skene_airflow.ledger.runs import Stage
    from skene_airflow.stages.evaluate import Asked
    from skene_airflow.stages.job import Job

AT_A_TIME = 50_000
"""Keys in one question of an `after` step without a condition of its own."""


def stage_candidates(
    job: Job, stage: Stage, asked: Asked, mode: Mode
) -> tuple[dict[str, str], int | None, Sequence[str] | None]:
    """Stage what the step asks for. Returns the columns of the condition with their types, what people_of says, and
    which columns of a table that changed hold a person's key.

    Raises QueryError and LedgerError.
    """
    question, wanted = asked.question, asked.wanted
    with (
        stage.filling(following_of(job, mode)) as filling,
        closing(job.source()) as conn,
        asking(conn, _taking(job, stage, question, mode)),
    ):
        types = describe(conn, bare(conn, question), question)
        # A fault in a segment or in `exit` is told before anything is read.
        check(conn, staging_query(conn, question, types, wanted, ALL), question)
        fill(filling, conn, asked, types)
        holders = person_columns(conn, question.changes, job.loop.user) if question.changes else None
        return types, people_of(conn, job, question), holders


def _taking(job: Job, stage: Stage, question: Question, mode: Mode) -> Question:
    """The question over the changes that this run takes, if it is about changes."""
    wanted = job.changes(mode, read_conf(job.run.conf).expires_after or job.loop.expires_after)
    if question.changes is None or wanted is None:
        return question
    return replace(question, changes=replace(question.changes, rows=partial(stage.changes, wanted, mode)))


def fill(filling: Filling, conn: psycopg.Connection[Any], asked: Asked, types: Mapping[str, str]) -> None:
    """Ask the source for what a step asks for, and put it there. Raises QueryError and LedgerError."""
    for people in filling.people(AT_A_TIME):
        text = staging_query(conn, asked.question, types, asked.wanted, ALL, people)
        with filling.rows(COLUMNS) as rows:
            for block in stream(conn, text, asked.question):
                rows.write(block)


def people_of(conn: psycopg.Connection[Any], job: Job, question: Question) -> int | None:
    """How many rows the table of people has, if a brake asks. Raises QueryError."""
    guard = job.loop.guard
    return count_rows(conn, job.loop.user.table, question) if guard and guard.max_share else None


def following_of(job: Job, mode: Mode) -> Following | None:
    """What makes people due for an `after` step in a run of this mode; None for the first step."""
    trigger, parent = job.step.trigger, job.loop.parent_of(job.step)
    if not isinstance(trigger, AfterTrigger) or parent is None:
        return None
    redirected = mode is Mode.REDIRECT
    return Following(
        job.names_of(parent),
        job.loop.user.key,
        claims_as=(Mode.REDIRECT if redirected else Mode.LIVE).value,
        entry_prefix=REDIRECTED if redirected else "",
        as_of=job.run.as_of,
        wait=trigger.wait,
        until=trigger.end,
        everybody=job.step.condition is None,
    )
