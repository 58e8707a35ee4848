"""Evaluate: ask the condition once and stage its rows. A committed stage is kept, whatever is retried or cleared."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from skene_airflow.audience.assignment import ranges
from skene_airflow.audience.decision import Arm
from skene_airflow.audience.staging import Wanted
from skene_airflow.ledger import changes, runs
from skene_airflow.ledger.runs import Run, RunHeader, staging
from skene_airflow.loop.actions import InAppAction
from skene_airflow.loop.conditions import GraphqlCondition
from skene_airflow.loop.schema import DatabaseTrigger
from skene_airflow.message.contents import contents
from skene_airflow.message.template import compile_blueprint
from skene_airflow.nouns import Mode
from skene_airflow.stages.candidates import stage_candidates
from skene_airflow.stages.mode import read_conf, run_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from skene_airflow.audience.condition import Question
    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.message.blueprint import Blueprint
    from skene_airflow.message.contents import Content
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
    if mode is Mode.REDIRECT and job.in_app:
        log.info("evaluate: messages in the app go to no address, so that none can be redirected: a shadow run")
        mode = Mode.SHADOW
    header = RunHeader(
        job.loop.id,
        job.step.id,
        job.run.run_id,
        job.run.run_type,
        mode,
        job.run.as_of,
        job.run.as_of + (asked.expires_after or job.loop.expires_after),
        job.loop.version,
        job.entry_rule,
        job.loop.user.key,
        job.loop.class_ == "transactional",
    )
    run = _stage(job, header)
    if isinstance(job.step.trigger, DatabaseTrigger) and run.mode is not Mode.SHADOW:
        changes.analyze(job.ledger)
    log.info("evaluate: %s rows staged, mode %s, as of %s", run.candidates, run.mode, run.as_of.isoformat())
    return Staged(run.mode, run.candidates or 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step asks its source for, and what its mails say: one content and blueprint for each segment and variant.

    ``keep`` are the columns that mails and `on_sent` read.
    """

    said: Sequence[tuple[Content, Blueprint]]
    keep: Sequence[str]
    question: Question
    wanted: Wanted

    def arms(self, keep: Callable[[Blueprint], int]) -> Iterator[Arm]:
        """The segments and variants with their shares; ``keep`` gives each template its number."""
        for segment, group in groupby(self.said, lambda pair: pair[0].segment):
            each = list(group)
            for (content, made), (low, high) in zip(each, ranges([c.weight for c, _ in each]), strict=True):
                yield Arm(segment, content.variant, keep(made), made.required, low, high)


def asked_of(job: Job) -> Asked:
    """What the step of a job asks for. Raises LoopError and SkeneError."""
    said = [(content, compile_blueprint(job.loop, job.step, content)) for content in contents(job.loop, job.step)]
    entry = job.loop.entry_columns(job.step) if job.step.on_sent else ()  # relation `sent` has them
    keep = sorted({*entry, *(column for _, blueprint in said for column in blueprint.columns)})
    return Asked(said, keep, job.question(), wanted_of(job.loop, job.step, keep))


def _stage(job: Job, header: RunHeader) -> Run:
    if (done := _staged_before(job)) is not None:  # an endpoint is not asked again
        return done
    asked = asked_of(job)
    job.fetch()
    with staging(job.ledger, header) as stage:
        if stage.run.staged:
            log.info("evaluate: this run staged its audience before; it is kept")
            return stage.run
        types, people, holders = stage_candidates(job, stage, asked, header.mode)
        kept = {name: types[name] for name in (job.loop.user.key, *asked.keep)}
        arms = asked.arms(lambda made: stage.keep(made.sha256, made.to_json()))
        return stage.commit(header, kept, [arm.plain() for arm in arms], people, holders)


def _staged_before(job: Job) -> Run | None:
    if not isinstance(job.step.condition, GraphqlCondition):
        return None
    run = runs.find(job.ledger, job.loop.id, job.step.id, job.run.run_id)
    return run if run is not None and run.staged else None


def wanted_of(loop: Loop, step: Step, keep: Sequence[str]) -> Wanted:
    """What a step wants to know of each row of its condition; ``keep`` are the columns that its mails read."""
    entry, follows = loop.entry, loop.parent_of(step) is not None
    return Wanted(
        user=loop.user,
        addressed=not isinstance(step.action, InAppAction),
        keep=keep,
        segments=step.segments,
        per=loop.entry_columns(step),
        # Whoever follows enters under the entry key of the step before.
        each_run=not follows and (entry.each_run or (entry.every is not None and not entry.per)),
        consent=None if loop.class_ == "transactional" else loop.consent,
        leaves=None if loop.exit == "goal" else loop.exit,
        goal=loop.goal if loop.exit == "goal" else None,
        follows=follows,
    )
