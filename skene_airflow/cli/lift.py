"""`lift`: did it work? Who was mailed against who was held out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LEDGER, LOOP, LOOPS, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from skene_airflow.insight.lift import Lift
    from skene_airflow.insight.statistics import Share
    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.goals import Measure
    from skene_airflow.loop.rules import Goal
    from skene_airflow.loop.schema import Loop, Step


def run(args: argparse.Namespace) -> int:
    """Print the comparison; warnings are part of it. Raises SettingsError for a loop without a goal or steps of that
    name, and where nobody has looked for its goals and nobody can."""
    from skene_airflow.cli import acting, output
    from skene_airflow.cli.folder import named
    from skene_airflow.errors import SettingsError
    from skene_airflow.insight.lift import lift
    from skene_airflow.ledger.runs import Names
    from skene_airflow.stages.goals import measure

    loop = named(args.loop, args.loops)
    if loop.goal is None:
        message = f"the loop '{loop.id}' has no goal: write `goal: {{query: SELECT …, within: 14d}}`"
        raise SettingsError(message)
    step = _step(loop, args.step)
    names = Names((loop.id, *reversed(loop.was)), (step.id, *reversed(step.was)))
    with acting.opened(args) as book:
        measured = measure(loop, loop.goal)
        looked_at = _look(loop, book, measured, args.source)
        found = lift(book, names, measured, looked_at, loop.holdout or 0.0, later=step is not loop.steps[0])
    if args.format == "json":
        print(output.as_json(found.plain()))
    else:
        print(_text(found, loop.goal))
    return 0


def _step(loop: Loop, wanted: str | None) -> Step:
    from skene_airflow.errors import SettingsError

    for step in loop.steps:
        if wanted in (None, step.id):
            return step
    known = ", ".join(step.id for step in loop.steps)
    message = f"the loop '{loop.id}' has no step '{wanted}'; it has: {known}"
    raise SettingsError(message)


def _look(loop: Loop, book: Ledger, measured: Measure, source: str | None) -> datetime:
    """Look for goals now, if that can be; else what is known counts, and a line on stderr says why."""
    from skene_airflow.cli.deployment import connector
    from skene_airflow.errors import SettingsError, SkeneError
    from skene_airflow.ledger.goals import looked_at
    from skene_airflow.stages.goals import Asked, look_for_goals

    trouble = "another look for its goals is under way"
    try:
        look_for_goals(loop, Asked(connector(source, loop.connections.source), book))
    except SkeneError as error:
        trouble = str(error)
        print(f"warning: goals are as they were last looked for: {trouble}", file=sys.stderr)
    known = looked_at(book, measured)
    if known is None:
        message = f"nobody has looked for the goals of '{loop.id}' yet, and it cannot be done now: {trouble}"
        raise SettingsError(message)
    return known


def _text(found: Lift, goal: Goal) -> str:
    from skene_airflow.cli import output
    from skene_airflow.insight.statistics import CONFIDENCE
    from skene_airflow.loop.forms import duration_text

    name = found.loop_id if found.step_id == "main" else f"{found.loop_id}.{found.step_id}"
    lines = [
        f"{name}: goal within {duration_text(goal.within)}, goals known until {found.looked_at:%Y-%m-%d %H:%M %Z}",
        "",
        output.table([_row("to be mailed", found.treated), _row("held out", found.held_out)]),
        "",
    ]
    if found.difference is not None and found.interval is not None:
        low, high = found.interval
        sure = f"{CONFIDENCE:.0%}: {_points(low)} to {_points(high)}"
        lines.append(f"difference     {_points(found.difference)} ({sure})")
        if found.relative is not None:
            lines.append(f"relative lift  {found.relative:+.1%}")
        lines.append(_meaning(found))
    lines.extend(f"warning: {warning}" for warning in found.warnings)
    return "\n".join(lines).rstrip()


def _row(name: str, share: Share) -> dict[str, object]:
    rate = "–" if share.rate is None else f"{share.rate:.2%}"
    return {"people": name, "number": f"{share.people:,}", "converted": f"{share.converted:,}", "conversion": rate}


def _points(share: float) -> str:
    return f"{share * 100:+.2f} points"


def _meaning(found: Lift) -> str:
    low, high = found.interval or (0.0, 0.0)
    if low > 0:
        return "More people reached the goal than would have without the mail."
    if high < 0:
        return "Fewer people reached the goal than would have without the mail."
    said = "No difference shows between those who were to be mailed and those who were held out."
    if not found.detectable:
        return said
    return f"{said} A true one below {found.detectable * 100:.2f} points would hardly show."


_STEP = Argument(("--step",), {"metavar": "ID", "default": None, "help": "the step (the first)"})
_SOURCE = Argument(
    ("--source",),
    {"metavar": "URI", "default": None, "help": "Postgres URI of the app's database (else the loop's connection)"},
)
VERB = Verb(
    description="Did it work? The conversion of those who were to be mailed, delivered or not, against those who were"
    " held out, each person once: the difference with its 95 % interval, and a warning where the split is off, the"
    " sample too small or windows are still open. It looks for goals first, and records them.",
    run=run,
    arguments=(LOOP, _STEP, format_argument("text", "json"), LOOPS, _SOURCE, LEDGER),
    epilog="examples:\n  skene-airflow lift win_back\n  skene-airflow lift win_back --format json",
)
