"""Segment: judge the staged candidates through the gates, and claim the audience if the run is live."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from skene_airflow.audience.decision import decision
from skene_airflow.errors import BrakeHeld, SettingsError
from skene_airflow.ledger.claims import Cut, Settling, claiming, open_shards
from skene_airflow.ledger.inbox import AT_ONCE, PROVIDER
from skene_airflow.loop.schema import DatabaseTrigger
from skene_airflow.nouns import Mode, Reason, Verdict
from skene_airflow.stages.brakes import question_above, told
from skene_airflow.stages.checklist import refuse_unready
from skene_airflow.stages.rules import edit_of, rules_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.channels.base import Channel
    from skene_airflow.ledger.runs import Run
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segmented:
    """What `segment` decided; safe to store anywhere. ``shards`` is what `send` is mapped over."""

    mode: str
    candidates: int
    duplicate_rows: int
    verdicts: Mapping[str, Any]
    shards: list[int]
    brakes: Mapping[str, Any] | None = None
    """Where a brake held: the number of people, and how many each brake that held lets pass."""
    waits: bool = False
    """Whether somebody is asked first: nobody is claimed yet, and the verdicts are what was put to them."""

    def counts(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def refuse_held(self) -> None:
        """Raise BrakeHeld if a brake holds the run and it is no shadow run."""
        if self.brakes is not None and self.mode != Mode.SHADOW:
            raise BrakeHeld(told(self.brakes))


def segment(job: Job, channel: Channel | None) -> Segmented:
    """Judge and claim, or put the audience to somebody first: then nobody is claimed until there is an answer.

    Judged once: a retry or Clear finds the committed decision. Raises SettingsError before the first claim if the mail
    could not lawfully or technically be sent. Shadow runs and messages in the app need no ``channel``.
    """
    run = job.recorded()
    if not run.decided:
        run = _decide(job, run, channel)
    shards = open_shards(job.ledger, run, job.names) if run.decided else []
    _tell(run)
    asked = None if run.decided else run.approval
    verdicts = dict((asked["verdicts"] if asked else run.verdicts) or {})
    return Segmented(
        run.mode, run.candidates or 0, run.duplicate_rows or 0, verdicts, shards, run.brakes, asked is not None
    )


def _decide(job: Job, run: Run, channel: Channel | None) -> Run:
    cut = None
    if run.mode is not Mode.SHADOW:
        cut = _cut(job, run.mode, channel)
    with claiming(job.ledger, run, job.names, capped=job.capped) as claim:
        if claim.run.decided:
            return claim.run
        rules = rules_of(job, claim)
        if edited := edit_of(job, claim):
            log.warning("segment: `%s` was edited: whoever qualifies in this run is recorded and not mailed", edited)
        approved = claim.run.approved
        if approved is not None:
            # The brakes have let this audience pass before somebody was asked, and it does not grow.
            rules = replace(rules, brakes={}, held=None if approved else Reason.NOT_APPROVED)
        judged = decision(job.ledger.schema, f"{job.ledger.schema}.{run.stage_table}", rules)
        if approved is not None:
            judged = claim.answered(judged)
        above = question_above(job, claim.run) if approved is None else None
        settling = Settling(job.loop.entry.each_run) if isinstance(job.step.trigger, DatabaseTrigger) else None
        return claim.commit(judged, rules.params(), cut, rules.brakes, settling, above)


def _cut(job: Job, mode: Mode, channel: Channel | None) -> Cut:
    marks = job.step.on_sent is not None
    if job.in_app:
        return Cut(PROVIDER, AT_ONCE, marks)
    if channel is None:
        message = "This run sends, so its email connection must exist."
        raise SettingsError(message)
    refuse_unready(job, mode, channel)  # before the first claim: nobody is held by mail that cannot leave
    return Cut(channel.name, channel.batch_size, marks)


def _tell(run: Run) -> None:
    if not run.decided and run.approval:
        people, limit = run.approval["people"], run.approval["limit"]
        log.info("segment: %s people would get mail, and guard.approve_above lets %s pass unasked", people, limit)
        return
    skips = dict((run.verdicts or {}).get(Verdict.SKIP, {}))
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(skips.items(), key=lambda item: -item[1]))
    would = "would get mail (shadow: nobody does)" if run.mode is Mode.SHADOW else "claimed to get mail"
    log.info(
        "segment: %s candidates, %s %s, %s skipped%s",
        run.candidates,
        run.count(Verdict.SEND),
        would,
        run.count(Verdict.SKIP),
        f" ({why})" if why else "",
    )
    if run.brakes:
        log.warning("segment: %s", told(run.brakes))
    if run.unknown_zones:
        log.info("segment: %s people have no known time zone; the trigger's counts for them", run.unknown_zones)
