"""`stop [LOOP]` and `start [LOOP]`: no mail is claimed or leased until somebody starts it again. Audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse

    from skene_airflow.ledger import Ledger

_LOOP = Argument(
    ("loop",), {"metavar": "LOOP", "nargs": "?", "default": None, "help": "the loop's id (else all loops)"}
)


def stop(args: argparse.Namespace) -> int:
    """Stop a loop, or everything. An unknown id is warned of, and stopped all the same. Raises LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import control

    with acting.opened(args) as book:
        unknown = acting.warn_unknown(book, args.loop, args.loops)
        cancelled = control.stop(book, args.loop or control.ALL, acting.actor(args))
        waiting = control.in_doubt(book, args.loop or control.ALL)
        facts = _facts(book, args.loop) | {"cancelled": cancelled, "in_doubt": waiting, "known": not unknown}
    if args.format == "json":
        print(output.as_json(facts))
        return 0
    queued = output.count(cancelled, "queued delivery")
    print(f"{_name(args.loop)} stopped: {queued} cancelled, their entries given back")
    if waiting:
        print(f"{output.count(waiting, 'mail')} in calls that are under way or in doubt: doubt waits for `start`")
    return 0


def start(args: argparse.Namespace) -> int:
    """Undo `stop` of the same name. What else is stopped is said. Raises LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import control

    with acting.opened(args) as book:
        undone = control.start(book, args.loop or control.ALL, acting.actor(args))
        if not undone:
            acting.warn_unknown(book, args.loop, args.loops)
        facts = _facts(book, args.loop) | {"started": undone}
    if args.format == "json":
        print(output.as_json(facts))
        return 0
    print(f"{_name(args.loop)} started" if undone else f"{_name(args.loop)} not stopped by that name")
    for row in facts["stopped"]:
        everything = row["loop_id"] == control.ALL
        name, command = ("all loops are", "") if everything else (f"{row['loop_id']} is", f" {row['loop_id']}")
        print(f"{name} still stopped, by {row['actor']} since {row['stopped_at']}: skene-airflow start{command}")
    return 0


def _name(loop_id: str | None) -> str:
    return f"loop '{loop_id}' is" if loop_id else "all loops are"


def _facts(book: Ledger, loop_id: str | None) -> dict[str, Any]:
    from skene_airflow.ledger import control

    rows = [{**row, "stopped_at": row["stopped_at"].isoformat()} for row in control.stopped(book)]
    return {"loop": loop_id or control.ALL, "stopped": rows}


VERB = Verb(
    description="Stop sending at once, also inside running tasks. Nothing is claimed or leased any more; queued mail "
    "is cancelled and gives its entry back; calls in doubt wait for `start`.",
    run=stop,
    arguments=(_LOOP, ACTOR, format_argument("text", "json"), LEDGER, LOOPS),
    epilog="examples:\n  skene-airflow stop re_engagement\n  skene-airflow stop --format json\n"
    "A call that is under way when you stop ends by itself. Pausing a DAG stops its new runs only;\n"
    "`stop` stops what is queued too.",
)
START = Verb(
    description="Let a stopped loop send again. It undoes `stop` of the same name: `start` alone undoes `stop` alone.",
    run=start,
    arguments=(_LOOP, ACTOR, format_argument("text", "json"), LEDGER, LOOPS),
    epilog="examples:\n  skene-airflow start re_engagement\n  skene-airflow start",
)
