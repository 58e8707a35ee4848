"""Who has left the loop by `exit` since the audience was claimed: asked on the source just before each freeze."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from skene_airflow.audience.condition import Question, asking, bare, describe, literals, with_parts
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError
from skene_airflow.loop.sql import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skene_airflow.stages.job import Job

MOST = 5_000
"""Keys in one question."""
MOST_PATIENCE = timedelta(minutes=10)
"""How long the question may run where the step has no condition of its own."""
FRESH = 30.0
"""Seconds for which an answer counts."""


class Leavers:
    """What the source said of people's leaving; no answer counts for longer than FRESH seconds.

    ``clock`` counts seconds and is there for tests.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._job, self._clock = job, clock
        self._asked: dict[str, float] = {}
        self._gone: set[str] = set()
        self._type: str | None = None

    def unknown(self, keys: Sequence[str]) -> bool:
        """Whether somebody of these has to be asked for; never in a loop without `exit`."""
        oldest = self._clock() - FRESH
        return self._job.loop.exit is not None and any(self._asked.get(key, oldest) <= oldest for key in keys)

    def has_left(self, key: str) -> bool:
        """What was last said of this person."""
        return key in self._gone

    def ask(self, keys: Sequence[str]) -> None:
        """Ask for these people, of whom there are at most MOST. Raises QueryError."""
        question = self._question()
        with closing(self._job.source()) as conn, asking(conn, question), conn.cursor() as cur:
            if self._type is None:
                self._type = self._key_type(describe(conn, bare(conn, question), question))
            values = literals(conn, question)
            key = sql.Identifier(self._job.loop.user.key).as_string(conn)
            text = with_parts(Text(), question, values).ours(_ASK.replace("{key}", key))
            text.theirs(bind(question.query, values), f"`{question.what}`").ours("\n) AS x WHERE ")
            some = f"{sql.Literal(list(keys)).as_string(conn)}::text[]::{self._type}[]"
            text.ours(f"x.{key} = ANY ({some})")
            if self._job.loop.exit == "goal" and self._job.loop.goal is not None:
                seconds = int(self._job.loop.goal.within.total_seconds())
                text.ours(f" AND x.at > clock_timestamp() - make_interval(secs => {seconds})")
            cur.execute(sql.SQL(str(text)))
            gone = {str(row[0]) for row in cur}
        asked = self._clock()
        self._asked = {key: at for key, at in self._asked.items() if at > asked - FRESH} | dict.fromkeys(keys, asked)
        self._gone = (self._gone - set(keys)) | gone

    def _question(self) -> Question:
        job, loop = self._job, self._job.loop
        query = loop.goal.query if loop.exit == "goal" and loop.goal is not None else loop.exit or ""
        what = "goal" if loop.exit == "goal" else "exit"
        timeout = job.step.condition.timeout if job.step.condition else MOST_PATIENCE
        return Question(query, job.run.as_of, job.timezone, timeout, loop.audiences, what)

    def _key_type(self, columns: dict[str, str]) -> str:
        key = self._job.loop.user.key
        if key not in columns:
            what = "goal" if self._job.loop.exit == "goal" else "exit"
            raise QueryError(f"The query of `{what}` does not return the person's key, {key!r}.")
        return columns[key]


_ASK = "SELECT DISTINCT x.{key}::text FROM (\n"
