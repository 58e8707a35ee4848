"""`list`: the loops of the folder in one table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import LOOPS, Verb, format_argument

if TYPE_CHECKING:
    import argparse

    from skene_airflow.loop.schema import Loop, Step


def run(args: argparse.Namespace) -> int:
    """Print one row for each step; 1 if a file of the folder is broken. Raises SettingsError without a folder."""
    from skene_airflow.cli import output
    from skene_airflow.cli.folder import check

    (folder,) = check((), args.loops)
    rows = [row for loop in folder.loops for row in _rows(loop)]
    if args.format == "json":
        print(output.as_json({"loops": rows, "errors": [output.as_record(fault) for fault in folder.faults]}))
    else:
        print(output.table([_shown(row) for row in rows]) or f"no loops in {folder.root}")
        broken = len({fault.file for fault in folder.faults})
        if broken:
            print(f"{output.count(broken, 'broken file')}: skene-airflow validate says why", file=sys.stderr)
    return 1 if folder.faults else 0


def _rows(loop: Loop) -> list[dict[str, Any]]:
    return [
        {
            "loop_id": loop.id,
            "step_id": step.id,
            "file": loop.file,
            "schedule": schedule(step),
            "segments": _segments(step),
            "channel": step.action.type,
            "connection": loop.email_connection(step) if step.action.type == "email" else None,
            "mode": loop.mode,
        }
        for step in loop.steps
    ]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    name = row["loop_id"] if row["step_id"] == "main" else f"{row['loop_id']}.{row['step_id']}"
    rest = {key: row[key] for key in ("schedule", "segments", "channel", "connection", "mode")}
    return {"loop": name, **rest, "segments": ", ".join(row["segments"])}


def schedule(step: Step) -> str:
    """What makes the step run, in a few words."""
    from skene_airflow.loop import schema

    match step.trigger:
        case schema.ScheduleTrigger(cron=cron, timezone=zone):
            return f"{cron} ({zone})" if zone else cron
        case schema.AssetTrigger(asset=assets):
            return f"asset {' and '.join(assets)}"
        case schema.DatabaseTrigger(table=table, event=events):
            return f"{' or '.join(events)} in {table}"
        case schema.AfterTrigger(step=parent, wait=wait):
            from skene_airflow.loop.forms import duration_text

            return f"{duration_text(wait)} after {parent or 'the first step'}"
        case _:
            return "manual"


def _segments(step: Step) -> list[str]:
    if step.segments is None:
        return ["all"]
    if isinstance(step.segments, tuple):
        return [segment.name for segment in step.segments]
    return list(step.segments.bands)


VERB = Verb(
    description="The loops of the folder: what makes them run, their segments, channel, connection and mode.",
    run=run,
    arguments=(format_argument("text", "json"), LOOPS),
    epilog="examples:\n  skene-airflow list\n  skene-airflow list --loops shop/loops --format json",
)
