"""A plan for a person at a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from skene_airflow.cli.output import as_text, bold, count
from skene_airflow.cli.plan_shape import brakes, overlap, rate, samples, skipped, skips

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.cli.plan_shape import Plan
    from skene_airflow.stages.plan import StepPlan

_LABEL: Final = 18
_WIDTH: Final = 100
_LINES: Final = 8
"""Lines of a sample's text that are shown."""


def text(plan: Plan) -> str:
    """The whole plan."""
    blocks = [f"as of {plan.at:%Y-%m-%d %H:%M %Z} · ledger: {plan.ledger}"]
    blocks += ["\n".join(_step(step)) for step in plan.steps]
    if plan.faults:
        blocks.append("\n".join(map(as_text, plan.faults)))
    return "\n\n".join([*blocks, _summary(plan)])


def _step(step: StepPlan) -> Iterator[str]:
    title = step.loop_id if step.step_id == "main" else f"{step.loop_id} / {step.step_id}"
    yield bold(title)
    if step.error is not None:
        yield from _wrapped("cannot judge", step.error)
        return
    yield from _counts(step)
    yield from _wrapped("rate", rate(step))
    for name in ("segments", "variants"):
        shares: Mapping[str, int] = getattr(step, name)
        if shares and list(shares) != ["all"]:
            yield from _wrapped(name, " · ".join(f"{key} {rows:,}" for key, rows in shares.items()))
    for loop_id, words in overlap(step):
        yield from _wrapped("overlap", f"{loop_id}: {words}")
    for note in step.notes:
        yield from _wrapped("note", note)
    for brake in brakes(step):
        yield from _wrapped("WOULD HOLD", brake)
    yield from _samples(step)


def _counts(step: StepPlan) -> Iterator[str]:
    verdicts = step.verdicts
    doubled = f", {count(step.duplicate_rows, 'row')} more of the same" if step.duplicate_rows else ""
    rows = [
        ("candidates", step.candidates, f"named by the query{doubled}"),
        ("send", verdicts["send"], "would get a mail"),
        ("hold out", verdicts["hold_out"], "would be kept without mail, to measure against"),
        ("skip", skipped(step), ""),
    ]
    for label, number, words in rows:
        if number or label in ("candidates", "send"):
            yield f"  {label:<{_LABEL}}{number:>9,}   {words}".rstrip()
    for skip in skips(step):
        met = f" ({skip.met:,} in all)" if skip.met != skip.rows else ""
        yield f"    {skip.reason:<{_LABEL - 2}}{skip.rows:>9,}   {skip.says}{met}"
    if step.unknown_zones:
        yield f"  {'no time zone':<{_LABEL}}{step.unknown_zones:>9,}   the trigger's counts for them"


def _samples(step: StepPlan) -> Iterator[str]:
    for whom, subject, body in samples(step):
        yield f"  {'sample':<{_LABEL}}{whom}: {bold(subject)}"
        lines = [row for line in body.splitlines() for row in textwrap.wrap(line, _WIDTH - _LABEL) or [""]]
        shown = lines[:_LINES] + ["…"] * (len(lines) > _LINES)
        yield from (f"  {'':<{_LABEL}}│ {line}".rstrip() for line in shown)


def _wrapped(label: str, words: str) -> Iterator[str]:
    lines = textwrap.wrap(words, _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        yield f"  {'' if number else label:<{_LABEL}}{line}"


def _summary(plan: Plan) -> str:
    told = [step for step in plan.steps if step.error is None]
    people = sum(step.rate["now"] for step in told)
    held = sum(bool(step.brakes) for step in told)
    failed = len(plan.steps) - len(told)
    parts = [count(len(told), "step"), f"{count(people, 'mail')} would go"]
    parts += [f"{count(held, 'run')} would be held"] * bool(held)
    parts += [f"{count(failed, 'step')} could not be judged"] * bool(failed)
    parts += [count(len(plan.faults), "fault")] * bool(plan.faults)
    return ", ".join(parts)
