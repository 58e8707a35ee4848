"""A loop in words, for the DAG's documentation in the Airflow UI."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from skene_airflow.loop.journeys import dags_of
from skene_airflow.loop.schema import AfterTrigger, AssetTrigger, DatabaseTrigger, EmailAction, ScheduleTrigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from skene_airflow.errors import LoopError
    from skene_airflow.loop.schema import Loop, Step

_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "m"), (timedelta(seconds=1), "s"))


def describe(loop: Loop, version: str, steps: Sequence[Step]) -> str:
    """Markdown: the opinion, when, who and what of each step, how often and how late, then the YAML as it stands.

    ``steps`` are those of one of the loop's DAGs; where the others run is told too.
    """
    said = [_listed(_of_step(loop, step), step.id if len(loop.steps) > 1 else "") for step in steps]
    said += [_elsewhere(loop, steps), _listed(_facts(loop))]
    file = f"`{loop.file}`, version `{version}`:\n\n{_fenced(loop.text, 'yaml')}\n"
    return "\n\n".join([loop.opinion, *filter(None, said), file])


def describe_faults(stem: str, error: LoopError) -> str:
    """Markdown for the DAG that stands in for a broken loop file."""
    faults = _fenced("\n".join(str(fault) for fault in error.faults), "text")
    return f"**The loop `{stem}` is broken and sends nothing until its file is mended.**\n\n{faults}\n"


def _listed(facts: Iterable[tuple[str, str]], step_id: str = "") -> str:
    heading = f"Step `{step_id}`:\n\n" if step_id else ""
    return heading + "\n".join(f"- **{name}**: {text}" for name, text in facts)


def _elsewhere(loop: Loop, here: Sequence[Step]) -> str:
    others = {dag_id: steps for dag_id, steps in dags_of(loop).items() if list(here) != steps}
    told = [f"{', '.join(f'`{step.id}`' for step in steps)} in the DAG `{dag_id}`" for dag_id, steps in others.items()]
    words = f"Other steps of this loop: {'; '.join(told)}. Pausing one of the DAGs does not pause the other."
    return words if told else ""


def _of_step(loop: Loop, step: Step) -> Iterator[tuple[str, str]]:
    yield "When", when(step)
    yield "Who", _who(loop, step)
    yield "What", _what(loop, step)


def _facts(loop: Loop) -> Iterator[tuple[str, str]]:
    yield "How often", _how_often(loop)
    yield "Not later than", f"{duration(loop.expires_after)} after the planned time"
    yield "Runs by hand", "decide and record only, unless started with mode `live`"
    if loop.mode != "live":
        yield "Mode", f"`{loop.mode}`: nothing is sent"


def when(step: Step) -> str:
    """What makes a step run, in a few words."""
    trigger = step.trigger
    if isinstance(trigger, AfterTrigger):
        parent = f"`{trigger.step}`" if trigger.step else "the first step"
        return f"{duration(trigger.wait)} after {parent} was sent to the person, until {duration(trigger.end)} after it"
    if isinstance(trigger, ScheduleTrigger) and trigger.timezone == "user":
        return f"`{trigger.cron}` by each person's own clock, looked at every hour"
    if isinstance(trigger, ScheduleTrigger):
        return f"`{trigger.cron}` ({trigger.timezone or 'the installation’s time zone'})"
    if isinstance(trigger, AssetTrigger):
        return "after an update of " + " and ".join(f"`{name}`" for name in trigger.asset)
    if isinstance(trigger, DatabaseTrigger):
        return f"seconds after {' or '.join(trigger.event)} of rows in `{trigger.table}`"
    return "only when somebody, or another DAG, starts it"


def _who(loop: Loop, step: Step) -> str:
    condition = loop.condition_of(step)
    limit = f" (at most {duration(condition.timeout)})" if condition else ""
    source, key = loop.connections.source, loop.user.key
    rows = "the rows of the condition" if step.condition else f"the rows of `{loop.user.table}`"
    rows += " that changed" if step.condition is None and isinstance(step.trigger, DatabaseTrigger) else ""
    whose = " of those whose turn it is" if isinstance(step.trigger, AfterTrigger) else ""
    return f"{rows}{whose}{limit}, read from `{source}`; people are told apart by `{key}`"


def _what(loop: Loop, step: Step) -> str:
    if isinstance(step.action, EmailAction):
        return f"email `{step.action.template}` through `{loop.email_connection(step)}`"
    return "a message in the app: a row in the ledger's `inbox`"


def _how_often(loop: Loop) -> str:
    entry = loop.entry
    if entry.each_run:
        return "once a run"
    per = f"once for each value of {', '.join(f'`{name}`' for name in entry.per)}" if entry.per else ""
    every = f"at most every {duration(entry.every)}" if entry.every else ""
    return ", ".join(part for part in (per, every) if part) or "once a person"


def duration(span: timedelta) -> str:
    """A duration as loop files write it: `90m`, `7d`."""
    for unit, letter in _UNITS:
        if span and span % unit == timedelta(0):
            return f"{span // unit}{letter}"
    return f"{span.total_seconds():g}s"


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
