"""Ready: is the data that the condition reads there yet?"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from skene_airflow.audience.condition import Question, asking, bare, describe, refused
from skene_airflow.errors import QueryError
from skene_airflow.ledger import runs

if TYPE_CHECKING:
    from skene_airflow.loop.conditions import Ready
    from skene_airflow.stages.job import Job

ONE_LOOK = timedelta(minutes=1)
"""The longest that the query may run each time it is asked."""


def ready(job: Job, asked: Ready) -> bool:
    """Whether the step's `ready` answers true; NULL and no row are no. A run that is staged waits for nothing more.

    Raises QueryError for what the database refuses, and for an answer that is not one boolean.
    """
    if job.settings.auto_migrate:
        job.ledger.migrate()
    run = runs.find(job.ledger, job.loop.id, job.step.id, job.run.run_id)
    if run is not None and run.staged:
        return True
    limit = min(asked.timeout, ONE_LOOK)
    question = Question(asked.query, job.run.as_of, job.timezone, limit, job.loop.audiences, what="query of `ready`")
    with closing(job.source()) as conn, asking(conn, question):
        text = bare(conn, question)
        kinds = list(describe(conn, text, question).values())
        if kinds != ["boolean"]:
            raise QueryError(f"The query of `ready` returns {', '.join(kinds) or 'nothing'}; write one boolean column.")
        try:
            rows = conn.execute(str(text).encode()).fetchmany(2)
        except psycopg.Error as error:
            raise refused(error.sqlstate, question) from None
    if len(rows) > 1:
        raise QueryError("The query of `ready` returns more than one row; write one SELECT of one boolean.")
    return bool(rows and rows[0][0])
