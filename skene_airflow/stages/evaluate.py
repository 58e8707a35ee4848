"""Evaluate: ask the condition once and stage its rows. A committed stage is kept, whatever is retried or cleared."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from skene_airflow.audience import condition
from skene_airflow.errors import SkeneError
from skene_airflow.ledger.runs import Run, RunHeader, staging
from skene_airflow.loop.schema import QueryCondition
from skene_airflow.message.template import compile_blueprint
from skene_airflow.stages.mode import read_conf, run_mode

if TYPE_CHECKING:
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """What `evaluate` did; safe to store anywhere."""

    mode: str
    rows: int

    def counts(self) -> dict[str, int | str]:
        """The same as plain data."""
        return asdict(self)


def evaluate(job: Job) -> Staged:
    """Stage the condition's rows for this run. Raises QueryError, LedgerError, LoopError or ConfError."""
    asked = read_conf(job.run.conf)
    if job.settings.auto_migrate:
        job.ledger.migrate()
    mode = run_mode(job.run.run_type, asked, job.loop.mode, job.settings.max_mode)
    header = RunHeader(
        job.loop.id,
        job.step.id,
        job.run.run_id,
        job.run.run_type,
        mode,
        job.run.as_of,
        job.run.as_of + (asked.expires_after or job.loop.expires_after),
        job.loop.version,
    )
    run = _stage(job, header)
    log.info("evaluate: %s rows staged, mode %s, as of %s", run.candidates, run.mode, run.as_of.isoformat())
    return Staged(run.mode, run.candidates or 0)


def _stage(job: Job, header: RunHeader) -> Run:
    blueprint = compile_blueprint(job.loop, job.step)
    user = job.loop.user
    columns = condition.UserColumns(user.key, user.email, user.timezone, user.locale)
    with staging(job.ledger, header) as stage:
        if stage.run.staged:
            log.info("evaluate: this run staged its audience before; it is kept")
            return stage.run
        with closing(job.source()) as conn, condition.asking(conn, _question(job)) as bound:
            types = condition.describe(conn, bound, _question(job))
            query = condition.staging_query(bound, types, columns, blueprint.columns)
            with stage.rows() as rows:
                for block in condition.stream(conn, query, _question(job)):
                    rows.write(block)
        kept = {name: types[name] for name in (user.key, *blueprint.columns)}
        return stage.commit(header, kept, (blueprint.sha256, blueprint.to_json()))


def _question(job: Job) -> condition.Question:
    asked = job.step.condition
    if not isinstance(asked, QueryCondition):
        raise SkeneError(f"Step {job.step.id} has no SQL condition to evaluate.")
    return condition.Question(asked.query, job.run.as_of, job.timezone, asked.timeout)
