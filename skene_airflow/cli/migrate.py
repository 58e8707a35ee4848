"""`migrate`: create the ledger's schema, or bring it up to date; safe to run twice, and by many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LEDGER, Argument, Verb

if TYPE_CHECKING:
    import argparse


def run(args: argparse.Namespace) -> int:
    """Migrate the ledger, or print the SQL that would. Raises SettingsError and LedgerError."""
    from skene_airflow.cli.deployment import ledger, settings

    if args.sql:
        from skene_airflow.ledger.migrate import sql

        print(sql(settings().schema))
        return 0
    book = ledger(args.ledger)
    for name in book.migrate():
        print(f"applied {name}")
    book.close()
    print(f"the ledger in schema {book.schema} is up to date")
    return 0


VERB = Verb(
    description="Create the ledger's schema, or bring it up to date. Safe to run twice, and by many at once.",
    run=run,
    arguments=(
        Argument(("--sql",), {"action": "store_true", "help": "print the SQL instead of running it"}),
        LEDGER,
    ),
    epilog="examples:\n  skene-airflow migrate --ledger postgresql://ledger@db.example/app\n"
    "  skene-airflow migrate --sql > ledger.sql",
)
