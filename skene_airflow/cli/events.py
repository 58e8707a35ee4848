"""`events install TABLE`: rows that change start loops without Hasura, by triggers in the app's own database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import LOOPS, Argument, Verb, below

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import psycopg

_TABLE = Argument(("table",), {"metavar": "TABLE", "help": "the table, such as users or billing.invoices"})
_SOURCE = Argument(
    ("--source",),
    {"metavar": "URI", "default": None, "help": "Postgres URI of the app's database (else connection skene_source)"},
)
_SQL = Argument(("--sql",), {"action": "store_true", "help": "print the SQL instead of running it"})


def install(args: argparse.Namespace) -> int:
    """Write the triggers. Raises SettingsError."""
    from skene_airflow.cli.deployment import settings
    from skene_airflow.feedback.outbox import install_sql

    table, schema = _table(args.table), settings().schema
    ops = _ops(args.event) if args.event else _asked_for(args.loops, table)
    text = install_sql(schema, table, ops, args.reader or "", notify=not args.no_notify)
    if args.sql:
        print(_script(text))
        return 0
    with closing(_connected(args.source)) as conn:
        _run(conn, text, table)
    print(f"{table}: {', '.join(ops)} noted in {schema}_outbox.changes; `events uninstall {args.table}` ends it")
    return 0


def uninstall(args: argparse.Namespace) -> int:
    """Drop the triggers, and with the last of them all that was made. Raises SettingsError."""
    from skene_airflow.cli.deployment import settings
    from skene_airflow.feedback.outbox import noted, uninstall_sql
    from skene_airflow.ledger.statements import statements

    table, schema = _table(args.table), settings().schema
    text = uninstall_sql(schema, table)
    if args.sql:
        print(_script(text))
        return 0
    with closing(_connected(args.source)) as conn:
        _run(conn, text, table)
        rest = noted(conn, schema)
        if not rest:
            _run(conn, [statements("outbox", schema)["drop_all"]], table)
    print(f"{table}: no change is noted any more" + ("" if rest else f"; {schema}_outbox is gone"))
    return 0


def _table(name: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from skene_airflow.audience.changes import qualified
    from skene_airflow.errors import SettingsError
    from skene_airflow.loop.fields import Table

    try:
        return qualified(TypeAdapter(Table).validate_python(name))
    except ValidationError:
        message = f"{name!r} is not a table name: write the bare name, such as users or app.users"
        raise SettingsError(message) from None


def _ops(text: str) -> list[str]:
    from skene_airflow.errors import SettingsError
    from skene_airflow.feedback.outbox import OPS

    named = [part.strip().lower() for part in text.split(",") if part.strip()]
    wrong = [part for part in named if part not in OPS]
    if wrong or not named:
        message = f"--event says {text!r}: write insert, update or delete, several with commas"
        raise SettingsError(message)
    return [op for op in OPS if op in named]


def _asked_for(loops: str | None, table: str) -> list[str]:
    """The changes that the loops in the folder wait for; all of them if no loop names the table."""
    from skene_airflow.audience.changes import qualified
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.errors import SettingsError
    from skene_airflow.feedback.outbox import OPS
    from skene_airflow.loop.load import load_folder
    from skene_airflow.loop.schema import DatabaseTrigger

    try:
        found = load_folder(loops_folder(loops)).loops
    except SettingsError:  # no folder of loops where this is run
        found = ()
    triggers = [step.trigger for loop in found for step in loop.steps if isinstance(step.trigger, DatabaseTrigger)]
    named = {op for trigger in triggers if qualified(trigger.table) == table for op in trigger.event}
    return [op for op in OPS if op in named] or list(OPS)


def _connected(uri: str | None) -> psycopg.Connection[Any]:
    from skene_airflow.cli.deployment import connector
    from skene_airflow.hooks.settings import DEFAULT_LEDGER

    return connector(uri, DEFAULT_LEDGER)()


def _run(conn: psycopg.Connection[Any], text: Sequence[str], table: str) -> None:
    import psycopg

    from skene_airflow.errors import SettingsError

    words = {
        "42P01": f"there is no table {table}",
        "3F000": f"there is no table {table}",
        "42809": f"{table} is no table: triggers are for tables",
        "42501": "the role lacks a right: it must own the table and may create a schema (--sql prints it for a DBA)",
        "55P03": f"{table} is locked by others for more than five seconds: try again",
    }
    try:
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '5s'")  # or every write would queue up behind us
            for statement in text:
                conn.execute(statement.encode())
    except psycopg.Error as error:
        state = error.sqlstate or "no connection"
        message = words.get(state, f"the database refused it: {str(error).splitlines()[0]}")
        raise SettingsError(f"{message} (SQLSTATE {state})") from None


def _script(text: Sequence[str]) -> str:
    return "\n".join(["BEGIN;", "SET LOCAL lock_timeout = '5s';", *text, "COMMIT;"])


VERB = below(
    "Let rows that change in a plain Postgres start loops, without Hasura.",
    {
        "install": Verb(
            description="Note what changes in a table. Triggers write each change into an outbox beside the app's "
            "tables; the ledger fetches it from there within seconds. The app's own writes never fail because of it, "
            "and its role needs no new right. Safe to run twice: afterwards exactly the named changes are noted.",
            run=install,
            arguments=(
                _TABLE,
                Argument(
                    ("--event",),
                    {
                        "metavar": "KINDS",
                        "default": None,
                        "help": "insert, update, delete, several with commas (what the loops ask for, else all)",
                    },
                ),
                Argument(
                    ("--reader",),
                    {"metavar": "ROLE", "default": None, "help": "the role of the Airflow connection, if not this one"},
                ),
                Argument(
                    ("--no-notify",),
                    {
                        "action": "store_true",
                        "help": "no NOTIFY in the app's transactions (two-phase commit refuses it); "
                        "changes are then found within some ten seconds",
                    },
                ),
                _SOURCE,
                LOOPS,
                _SQL,
            ),
            epilog="examples:\n  skene-airflow events install users --source postgresql://owner@db.example/app\n"
            "  skene-airflow events install billing.invoices --event insert,update --reader skene --sql > events.sql",
        ),
        "uninstall": Verb(
            description="Note nothing of a table any more. With the last table the outbox goes too, and what is "
            "still in it.",
            run=uninstall,
            arguments=(_TABLE, _SOURCE, _SQL),
            epilog="example:\n  skene-airflow events uninstall users",
        ),
    },
)
