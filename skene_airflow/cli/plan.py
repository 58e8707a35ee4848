"""`plan [LOOP …]`: who would get what by the next run, why the others would not, and what would hold it."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LEDGER, LOOPS, PEOPLE, Argument, Verb, format_argument
from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from skene_airflow.cli.judging import Bench
    from skene_airflow.cli.plan_shape import Plan
    from skene_airflow.loop.load import Folder
    from skene_airflow.loop.schema import Loop
    from skene_airflow.nouns import Fault
    from skene_airflow.stages.plan import StepPlan


def run(args: argparse.Namespace) -> int:
    """Print the plan; 1 if a brake would hold or something is broken, 2 if a source cannot be reached.

    Raises SettingsError for an unknown loop, LedgerError for a ledger that cannot be read.
    """
    from skene_airflow.cli.folder import as_seen, loops_folder
    from skene_airflow.cli.judging import looking
    from skene_airflow.cli.plan_shape import Plan, as_plain
    from skene_airflow.stages.check import check_folder

    root = loops_folder(args.loops)
    folder = check_folder(root)
    chosen, faults = _chosen(folder, args.loop or [])
    with looking(args) as bench:
        schema = bench.ledger.schema if bench.exists else None
        plan = Plan(bench.now, schema, _steps(bench, chosen), as_seen(faults, root))
    if args.format == "json":
        from skene_airflow.cli.output import as_json

        print(as_json(as_plain(plan)))
    elif args.format == "markdown":
        from skene_airflow.cli.plan_markdown import markdown

        print(markdown(plan))
    else:
        from skene_airflow.cli.plan_text import text

        print(text(plan))
    return _code(plan)


def _chosen(folder: Folder, wanted: Sequence[str]) -> tuple[list[Loop], list[Fault]]:
    """The loops that are asked for, and the faults of those that are broken."""
    broken = {PurePosixPath(error.file).stem: error for error in folder.errors}
    known = {loop.id: loop for loop in folder.loops}
    for name in wanted:
        if name not in known and name not in broken:
            near = difflib.get_close_matches(name, [*known, *broken], 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there: {', '.join(sorted(known)) or 'none'}"
            message = f"there is no loop '{name}'{hint}"
            raise SettingsError(message)
    mine = wanted or [*known, *broken]
    faults = [fault for name, error in broken.items() if name in mine for fault in error.faults]
    return [loop for name, loop in known.items() if name in mine], faults


def _steps(bench: Bench, loops: Sequence[Loop]) -> list[StepPlan]:
    from skene_airflow.stages.plan import overlapping, plan_step

    jobs = (bench.job(loop, step) for loop in loops for step in loop.steps)
    return overlapping([plan_step(job, exists=bench.exists) for job in jobs])


def _code(plan: Plan) -> int:
    if any(step.unreachable for step in plan.steps):
        return 2
    return 1 if plan.faults or any(step.finding for step in plan.steps) else 0


VERB = Verb(
    description="Say who would get what by the next run of each loop, why the others would not, how many come at once "
    "and how many a day, which other loops mail the same people, and which brakes would hold. It is the decision of a "
    "live run over the present ledger, with nothing written; the samples name columns in place of people's values.",
    run=run,
    arguments=(
        Argument(("loop",), {"metavar": "LOOP", "nargs": "*", "help": "ids of loops (default: every loop)"}),
        format_argument("text", "json", "markdown"),
        LOOPS,
        PEOPLE,
        LEDGER,
    ),
    epilog="examples:\n  skene-airflow plan\n  skene-airflow plan re_engagement win_back\n"
    '  skene-airflow plan --format markdown >> "$GITHUB_STEP_SUMMARY"\n'
    "  skene-airflow plan --source postgresql://reader@db.example/app --ledger postgresql://reader@db.example/app\n"
    "exit codes: 0 fine, 1 a brake would hold or a loop is broken, 2 a database cannot be reached or read",
)
