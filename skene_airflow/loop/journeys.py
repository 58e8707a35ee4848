"""Loops of several steps: which of their DAGs a step runs in."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from croniter import croniter

from skene_airflow.loop.schema import AfterTrigger, ScheduleTrigger
from skene_airflow.loop.triggers import PRESETS

if TYPE_CHECKING:
    from skene_airflow.loop.schema import Loop, Step

AFTER: Final = "__after"
"""Behind a loop's id: the DAG of those of its steps that its first step's schedule comes round too seldom for."""

LOOKS: Final = timedelta(hours=1)
"""How often that DAG looks who is due, and the DAG of a schedule by each person's own clock."""

_BEGIN: Final = datetime(2023, 12, 31)  # noqa: DTZ001 - the clock on the wall, where a day always has 24 hours
_ENOUGH: Final = datetime(2025, 3, 1)  # noqa: DTZ001 - a leap year, and two months for what crosses its end


def dags_of(loop: Loop) -> dict[str, list[Step]]:
    """The loop's DAG ids, each with the steps that run in it."""
    dags: dict[str, list[Step]] = {loop.id: []}
    for step in loop.steps:
        dags.setdefault(dag_id_of_step(loop, step), []).append(step)
    return dags


def dag_id_of_step(loop: Loop, step: Step) -> str:
    """The DAG that a step runs in: the first step's, if that comes round at least once in the step's `wait`."""
    root, trigger = loop.steps[0].trigger, step.trigger
    if not isinstance(trigger, AfterTrigger):
        return loop.id
    if isinstance(root, ScheduleTrigger):
        often = LOOKS if root.timezone == "user" else longest_pause(root.cron)
        return loop.id if often <= trigger.wait else loop.id + AFTER
    return loop.id + AFTER


@lru_cache(maxsize=1024)
def longest_pause(cron: str) -> timedelta:
    """The longest time between two times of a cron expression, by the clock on the wall."""
    minutes, hours, *_ = croniter.expand(PRESETS.get(cron, cron))[0]
    of_day = [
        timedelta(hours=int(hour), minutes=int(minute))
        for hour in (range(24) if hours == ["*"] else sorted(hours))
        for minute in (range(60) if minutes == ["*"] else sorted(minutes))
    ]
    within = max((later - earlier for earlier, later in pairwise(of_day)), default=timedelta(0))
    return max(within, _longest_without_a_day(PRESETS.get(cron, cron).split()[2:]) + of_day[0] - of_day[-1])


def _longest_without_a_day(fields: list[str]) -> timedelta:
    """From one day that the fields for day, month and weekday name to the next: the longest such time."""
    if fields == ["*", "*", "*"]:
        return timedelta(days=1)
    days = croniter(" ".join(["0", "0", *fields]), _BEGIN)
    last, longest = days.get_next(datetime), timedelta(0)
    while last < _ENOUGH:
        following = days.get_next(datetime)
        longest, last = max(longest, following - last), following
    return longest
