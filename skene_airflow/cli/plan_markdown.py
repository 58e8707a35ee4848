"""A plan as GitHub-flavoured Markdown: for a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skene_airflow.cli.plan_shape import brakes, overlap, rate, samples, skipped, skips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.cli.plan_shape import Plan
    from skene_airflow.stages.plan import StepPlan


def markdown(plan: Plan) -> str:
    """A table of all steps, and what there is to say of each below it."""
    lines = [f"### Plan as of {plan.at:%Y-%m-%d %H:%M %Z}", "", f"Ledger: {plan.ledger}.", ""]
    if plan.steps:
        lines += ["| loop | candidates | send | hold out | skip | a day | |", "|---|--:|--:|--:|--:|--:|---|"]
        lines += [_row(step) for step in plan.steps]
    for step in plan.steps:
        lines += ["", *_step(step)]
    if plan.faults:
        lines += ["", "#### Broken", "", *(f"- {_code(str(fault))}" for fault in plan.faults)]
    return "\n".join(lines)


def _title(step: StepPlan) -> str:
    return step.loop_id if step.step_id == "main" else f"{step.loop_id} / {step.step_id}"


def _row(step: StepPlan) -> str:
    if step.error is not None:
        return f"| `{_title(step)}` | – | – | – | – | – | :x: cannot be judged |"
    verdicts, fresh = step.verdicts, step.rate["per_day"]
    state = ":no_entry: would be held" if step.brakes else ":x: would be refused" if step.refused else ""
    numbers = (step.candidates, verdicts["send"], verdicts["hold_out"], skipped(step))
    day = "?" if fresh is None else f"{fresh:,}"
    return f"| `{_title(step)}` | {' | '.join(f'{number:,}' for number in numbers)} | {day} | {state} |"


def _step(step: StepPlan) -> Iterator[str]:
    yield f"#### `{_title(step)}`"
    yield ""
    if step.error is not None:
        yield f":x: {_plain(step.error)}"
        return
    yield from (f"- :no_entry: {_plain(brake)}" for brake in brakes(step))
    yield f"- {_plain(rate(step))}"
    for name in ("segments", "variants"):
        shares = getattr(step, name)
        if shares and list(shares) != ["all"]:
            yield f"- {name}: " + ", ".join(f"`{key}` {rows:,}" for key, rows in shares.items())
    yield from (f"- overlap with `{loop_id}`: {words}" for loop_id, words in overlap(step))
    if step.duplicate_rows:
        yield f"- {step.duplicate_rows:,} further rows of the same candidates were left out"
    if step.unknown_zones:
        yield f"- {step.unknown_zones:,} have no known time zone; the trigger's counts for them"
    yield from (f"- {_plain(note)}" for note in step.notes)
    yield from _skips(step)
    yield from _samples(step)


def _skips(step: StepPlan) -> Iterator[str]:
    rows = list(skips(step))
    if rows:
        yield from ("", "| skipped | people | in all | because |", "|---|--:|--:|---|")
    for skip in rows:
        yield f"| `{skip.reason}` | {skip.rows:,} | {skip.met:,} | {_plain(skip.says)} |"


def _samples(step: StepPlan) -> Iterator[str]:
    found = list(samples(step))
    if not found:
        return
    yield from ("", "<details><summary>What they read</summary>", "")
    for whom, subject, text in found:
        # A fence is longer than any that stands in the mail.
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        yield from (f"{_code(whom)}: {_code(subject)}", "")
        if text:
            yield from (f"{fence}text", text, fence, "")
    yield "</details>"


def _plain(words: str) -> str:
    """Words that a table or list holds as they are."""
    return " ".join(words.replace("|", "\\|").replace("<", "&lt;").split())


def _code(words: str) -> str:
    line = " ".join(words.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"
