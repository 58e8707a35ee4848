"""`export`: all that the ledger holds of a person, for the person. Audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, PERSON, WHY, Verb, format_argument

if TYPE_CHECKING:
    import argparse


def run(args: argparse.Namespace) -> int:
    """Print it. Raises SettingsError and LedgerError."""
    from skene_airflow.channels.safety import scrub
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import people

    key = acting.person(args.user)
    with acting.opened(args) as book:
        held = people.export(book, key, acting.actor(args), scrub(args.reason))
    print(output.as_json(held) if args.format == "json" else _said(held))
    return 0


def _said(held: dict[str, Any]) -> str:
    from skene_airflow.cli.output import as_json

    lines = [f"user_key: {held['user_key']}"]
    for name, rows in held.items():
        if not isinstance(rows, list):
            continue
        lines += ["", f"{name}: {len(rows)}"]
        for row in rows:
            facts = [
                f"{key}: {as_json(value) if isinstance(value, dict) else value}"
                for key, value in row.items()
                if value is not None
            ]
            lines += [("  - " if index == 0 else "    ") + fact for index, fact in enumerate(facts)]
    return "\n".join(lines)


VERB = Verb(
    description="Print all that the ledger holds of a person, addresses and values too: deliveries, decisions, rows "
    "that wait to be judged, events, suppressions, and what was done by hand. JSON unless --format text.",
    run=run,
    arguments=(PERSON, WHY, ACTOR, format_argument("json", "text"), LEDGER, LOOPS),
    epilog="examples:\n  skene-airflow export --user 42 > person.json\n  skene-airflow export --user 42 --format text\n"
    "exit codes: 0 printed (also if nothing is held: the lists are empty), 2 wrong usage or the ledger cannot be "
    "reached",
)
