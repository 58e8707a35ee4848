"""`history --user KEY`: everything that one person got or nearly got, over all loops, in the order of time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.cli.verb import LEDGER, LOOPS, PERSON, Verb, format_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

_STAMPS: Final = ("sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")


def run(args: argparse.Namespace) -> int:
    """Print it. Raises SettingsError and LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.cli.deployment import ledger
    from skene_airflow.ledger import person
    from skene_airflow.stages.rehearse import ledger_exists

    key, book = acting.person(args.user), ledger(args.ledger)
    try:
        known = person.history(book, key) if ledger_exists(book) else {name: [] for name in person.LISTS}
    finally:
        book.close()
    events = sorted(_timeline(known), key=lambda event: event["at"])
    if args.format == "json":
        print(output.as_json(_ready({"user_key": key, "timeline": events, **known})))
    else:
        print(_text(key, events))
    return 0


def _timeline(known: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """One line for each thing that happened."""
    for row in known["decisions"]:
        # A live send has a delivery, which tells more.
        if row["verdict"] == "skip" or row["mode"] == "shadow":
            reason = f": {row['reason']}" if row["reason"] else ""
            would = "would have been " if row["mode"] == "shadow" and row["verdict"] != "skip" else ""
            what = {"skip": "skipped", "send": "sent", "hold_out": "held out"}[row["verdict"]]
            yield _event(row["decided_at"] or row["as_of"], row, f"{would}{what}{reason}", row["mode"])
    for row in known["deliveries"]:
        yield _event(row["queued_at"], row, _entered(row), row["mode"])
        for stamp in _STAMPS:
            if row[f"{stamp}_at"]:
                yield _event(row[f"{stamp}_at"], row, stamp, row["mode"])
    for row in known["goals"]:
        yield _event(row["at"], row, "reached the goal")
    for row in known["suppressions"]:
        by = "the address" if row["by_address"] else "the person"
        yield _event(row["created_at"], {}, f"{row['reason']}: no more mail ({row['scope']}) to {by}")


def _entered(row: Mapping[str, Any]) -> str:
    part = " / ".join(name for name in (row["segment"], row["variant"]) if name and name != "all")
    reason = f" ({row['reason'] or row['error_class']})" if row["reason"] or row["error_class"] else ""
    return f"entered{f', {part}' if part else ''}; now {row['status']}{reason}"


def _event(at: datetime, row: Mapping[str, Any], what: str, mode: str = "") -> dict[str, Any]:
    return {
        "at": at,
        "loop_id": row.get("loop_id"),
        "step_id": row.get("step_id"),
        "run_id": row.get("run_id"),
        "mode": mode or None,
        "what": what,
    }


def _ready(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _ready(part) for key, part in value.items()}
    return [_ready(part) for part in value] if isinstance(value, list) else value


def _text(key: str, events: list[dict[str, Any]]) -> str:
    from skene_airflow.cli.output import bold, table

    title = bold(f"person {key}")
    if not events:
        return f"{title}\nnothing: no run ever recorded this person"
    rows = [
        {
            "when": f"{event['at']:%Y-%m-%d %H:%M:%S}",
            "loop": "–" if event["loop_id"] is None else _loop(event),
            "what": event["what"] + (f" [{event['mode']}]" if event["mode"] not in (None, "live") else ""),
        }
        for event in events
    ]
    return f"{title}\n{table(rows)}"


def _loop(event: Mapping[str, Any]) -> str:
    return str(event["loop_id"]) if event["step_id"] == "main" else f"{event['loop_id']} / {event['step_id']}"


VERB = Verb(
    description="Print everything that one person got or nearly got, over all loops: decisions, deliveries and what "
    "became of them, goals, and what was said no to. already_entered, not_due and quiet_hours are only counted by "
    "runs, and stand in no history. No address is printed, and nothing is written.",
    run=run,
    arguments=(PERSON, format_argument("text", "json"), LEDGER, LOOPS),
    epilog="examples:\n  skene-airflow history --user 42\n  skene-airflow history --user 42 --format json\n"
    "exit codes: 0 printed (also if there is nothing), 2 wrong usage or the ledger cannot be reached or read",
)
