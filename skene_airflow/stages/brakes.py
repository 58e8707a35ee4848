"""The brakes of `guard`: how many people each lets pass, and what is said where one holds."""

from __future__ import annotations

import json
from decimal import Decimal
from math import floor
from typing import TYPE_CHECKING

from skene_airflow.loop.schema import ScheduleTrigger
from skene_airflow.nouns import Mode
from skene_airflow.stages.mode import read_conf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from skene_airflow.ledger.memory import Memory
    from skene_airflow.ledger.runs import Run
    from skene_airflow.stages.job import Job

SMALL = 100
"""Up to so many people, growth is no reason to hold anything: five people after one are no accident."""


def brakes_of(job: Job, claim: Memory) -> dict[str, int]:
    """The most people whom each brake lets pass, of the brakes that the run's conf does not release.

    Where nobody can be asked, what has to be approved is held like anything else that is too large.
    """
    guard = job.loop.guard
    if guard is None:
        return {}
    usual = claim.usual_size(job.names, idle=_is_often_idle(job)) if guard.max_growth is not None else None
    limits = {
        "max": guard.max,
        "max_share": _share(guard.max_share, claim.run.people),
        "max_growth": None if usual is None else max(SMALL, _times(guard.max_growth, usual) or 0),
        "approve_above": None if _asks(job, claim.run) else guard.approve_above,
    }
    released = read_conf(job.run.conf).release
    return {name: most for name, most in limits.items() if most is not None and name not in released}


def _is_often_idle(job: Job) -> bool:
    """Whether most runs of the step find nobody, because they only look whose time has come."""
    trigger = job.step.trigger
    return job.follows or (isinstance(trigger, ScheduleTrigger) and trigger.timezone == "user")


def question_above(job: Job, run: Run) -> int | None:
    """Above how many people somebody is asked; None if nobody is."""
    guard = job.loop.guard
    released = "approve_above" in read_conf(job.run.conf).release
    return guard.approve_above if guard and _asks(job, run) and not released else None


def _asks(job: Job, run: Run) -> bool:
    return job.run.asks and run.mode is not Mode.SHADOW


def _share(share: float | None, people: int | None) -> int | None:
    return None if people is None else _times(share, people)


def _times(factor: float | None, number: float) -> int | None:
    # In decimals: a share of 29 % of 100 people is 29, where floating point makes it 28.999….
    return None if factor is None else floor(Decimal(str(factor)) * Decimal(str(number)))


def release(brakes: Mapping[str, Any]) -> str:
    """The conf that would let the same audience pass."""
    return json.dumps({"mode": "live", "release": sorted(brakes["held"])})


def told(brakes: Mapping[str, Any]) -> str:
    """What held, in numbers, and how to go on."""
    held = ", ".join(f"guard.{name} lets {most} pass" for name, most in brakes["held"].items())
    return (
        f"A brake holds this run: {brakes['people']} people would get mail, and {held}. Nobody was claimed or mailed."
        f" If the audience is right, trigger a run with conf {release(brakes)}; if not, mend the condition."
    )
