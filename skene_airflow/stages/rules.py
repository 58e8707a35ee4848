"""The rules of one run: what its loop says, and what the ledger remembers of the runs before it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from skene_airflow.audience.decision import Arm, Rules
from skene_airflow.audience.zones import Window, zones
from skene_airflow.errors import ConfError
from skene_airflow.loop.schema import ScheduleTrigger
from skene_airflow.nouns import Mode
from skene_airflow.stages.brakes import brakes_of
from skene_airflow.stages.mode import read_conf

if TYPE_CHECKING:
    from skene_airflow.ledger.memory import Memory
    from skene_airflow.stages.job import Job

TICK = timedelta(hours=1)
"""How often a loop by its people's own clocks looks who is due."""
BY_THE_CLOCK = frozenset({"scheduled", "backfill"})
"""Run types in which only those are due whose local time has come; in every other one everybody is."""


def rules_of(job: Job, claim: Memory) -> Rules:
    """What the gates need to know. Raises ConfError if `user.key` was edited and the run's conf does not say so."""
    loop, run = job.loop, claim.run
    now = claim.now()
    quiet = None if loop.class_ == "transactional" else loop.quiet_hours
    window = _window(job, claim)
    return Rules(
        loop_ids=job.names.loop_ids,
        step_ids=job.names.step_ids,
        topic=loop.topic,
        transactional=loop.class_ == "transactional",
        mode=run.mode,
        now=now,
        expires_at=run.expires_at,
        address_key=claim.address_key(),
        contents=[Arm.read(content) for content in run.contents],
        types=run.columns,
        every=None if job.follows else loop.entry.every,
        existing=_existing(job, claim),
        consent=loop.consent is not None,
        sample=loop.sample,
        holdout=loop.holdout,
        cap=loop.frequency_cap,
        addressed=not job.in_app,
        several=job.follows or bool(loop.entry.per),
        goal_within=loop.goal.within if loop.goal and loop.exit == "goal" else None,
        zones=zones(now, quiet, window),
        brakes=brakes_of(job, claim),
        elsewhere=next(iter(zones(now, quiet, window, [job.timezone]))),
    )


def _window(job: Job, claim: Memory) -> Window | None:
    """Which local times of a `timezone: user` schedule this run is for."""
    trigger, run = job.step.trigger, claim.run
    if not isinstance(trigger, ScheduleTrigger) or trigger.timezone != "user" or run.run_type not in BY_THE_CLOCK:
        return None
    last = claim.last_tick(job.names) or run.as_of - TICK
    return Window(trigger.cron, max(last, run.as_of - job.loop.expires_after), run.as_of)


def edit_of(job: Job, claim: Memory) -> str | None:
    """What was edited since people last entered, so that everybody's entry is a new one: `entry` or `user.key`.

    Never in a step that follows another: its entries are those of the step before, whatever is edited.
    """
    last = claim.last_claimed(job.names)
    if last is None or job.follows:
        return None
    entry_rule, key_column = last
    if key_column not in (None, claim.run.key_column):
        return "user.key"
    return None if entry_rule in (None, claim.run.entry_rule) else "entry"


def _existing(job: Job, claim: Memory) -> bool:
    """Whether whoever qualifies now is only recorded: at the first claim, or the first under other keys.

    Never in a step that follows: whoever is due was mailed by the loop, so it is not their first time.
    """
    if job.follows:
        return False
    last = claim.last_claimed(job.names)
    if last is None:
        return job.loop.entry.existing == "skip"
    edited = edit_of(job, claim)
    if edited == "user.key" and claim.run.mode is not Mode.SHADOW and not read_conf(job.run.conf).rekey:
        raise _rekeyed(job, last[1])
    return edited is not None


def _rekeyed(job: Job, before: str | None) -> ConfError:
    return ConfError(
        f"`user.key` of this loop was {before!r} and is {job.loop.user.key!r} now: everybody would be somebody new."
        ' Write the old column again, or trigger one run with conf {"mode": "live", "rekey": true}: it records whoever'
        " qualifies as existing and mails nobody of them."
    )
