"""`forget`: erase a person from the ledger, and see to it that they are not mailed again. Audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, PERSON, WHY, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse

    from skene_airflow.ledger.people import Forgotten


def run(args: argparse.Namespace) -> int:
    """Forget one person. Raises SettingsError and LedgerError."""
    from dataclasses import asdict

    from skene_airflow.channels.safety import scrub
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import people

    key = acting.person(args.user)
    addresses = [acting.address(text) for text in args.address or ()]
    with acting.opened(args) as book:
        done = people.forget(book, key, acting.actor(args), scrub(args.reason), addresses)
    print(output.as_json({"user": key, **asdict(done)}) if args.format == "json" else _said(done))
    return 0


def _said(done: Forgotten) -> str:
    from skene_airflow.cli.output import count

    held = count(done.deliveries, "delivery")
    lines = [
        f"forgotten: {held} erased, {count(done.cancelled, 'queued mail')} cancelled"
        if done.deliveries or done.staged
        else "the ledger held nothing of this person",
        f"suppressed for good: the person key and {count(done.addresses, 'address hash')}",
    ]
    if done.staged:
        lines.insert(1, f"{count(done.staged, 'row')} taken out of runs that wait to be judged")
    if done.in_doubt:
        lines.append(
            f"{count(done.in_doubt, 'mail')} in calls that are under way or in doubt stay frozen until it is known how "
            "those ended (a day at most): for the others in them they can only be repeated as they are"
        )
    return "\n".join(lines)


VERB = Verb(
    description="Erase a person's addresses and values from the ledger, cancel their queued mail, and leave a "
    "tombstone, the person key and HMACs of the addresses, so that they are never mailed again. Forget the person in "
    "your application first: what its queries return is read at every run.",
    run=run,
    arguments=(
        PERSON,
        Argument(
            ("--address",),
            {
                "metavar": "ADDRESS",
                "action": "append",
                "default": None,
                "help": "an address of theirs that the ledger may not know; only its HMAC is kept (may be repeated)",
            },
        ),
        WHY,
        ACTOR,
        format_argument("text", "json"),
        LEDGER,
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow forget --user 42\n"
    "  skene-airflow forget --user 42 --address ada@acme.example --reason 'ticket 1815' --format json\n"
    "exit codes: 0 forgotten (also if nothing was held), 2 wrong usage or the ledger cannot be reached",
)
