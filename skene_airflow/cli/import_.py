"""`deliveries import`: people whom another tool has mailed hold their entry, so that nobody mails them again."""

from __future__ import annotations

import csv
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, Argument, Verb, format_argument
from skene_airflow.errors import QueryError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from skene_airflow.loop.schema import Loop, Step

    Row = Sequence[str | None]

_KEYS, _ENTRIES = ("user_key",), ("entry_key",)


def run(args: argparse.Namespace) -> int:
    """Import a file or the rows of a query, all or nothing. Raises SettingsError, QueryError and LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.cli.folder import named
    from skene_airflow.ledger import deliveries, runs

    loop = named(args.loop, args.loops)
    step = _step(loop, args.step)
    if (args.file is None) == (args.query is None):
        message = "name a file of person keys (- reads standard input), or --query"
        raise SettingsError(message)
    with acting.opened(args) as book:
        with book.transaction() as cur:
            key = runs.address_key(cur, book)
        reader = _File(args.file).rows if args.file else _Query(args, loop).rows
        people = _people(reader, loop, key)
        done = deliveries.import_people(book, loop.id, step.id, people, acting.deed(args), loop.version)
    if args.format == "json":
        print(output.as_json({"loop": loop.id, "step": step.id, **{f: getattr(done, f) for f in done.__slots__}}))
        return 0
    print(f"{done.people:,} people: {done.imported:,} now hold their entry, {done.held:,} held it already")
    if done.queued:
        print(
            f"{done.queued:,} of those are queued and will be mailed: skene-airflow stop {loop.id} cancels them first"
        )
    return 0


def _step(loop: Loop, step_id: str | None) -> Step:
    found = [step for step in loop.steps if step_id in (None, step.id)]
    if len(found) == 1:
        return found[0]
    message = f"name a step with --step: {loop.id} has {', '.join(step.id for step in loop.steps)}"
    raise SettingsError(message)


def _people(
    read: Callable[[Sequence[str], Sequence[str], Sequence[str]], Iterator[tuple[str, Row]]], loop: Loop, key: bytes
) -> Iterator[tuple[str, str, bytes | None]]:
    """Checked rows; addresses leave as their HMAC. Raises SettingsError for a row that names nobody."""
    entry = loop.entry
    if entry.each_run:
        message = f"{loop.id} has `entry: each_run`: every run is an entry of its own, so there is nothing to import"
        raise SettingsError(message)
    per = ", ".join(entry.per or ())
    for where, (person, entry_key, address) in read((*_KEYS, loop.user.key), _ENTRIES, ("email", loop.user.email)):
        if not person or "\0" in person + (entry_key or ""):
            message = f"{where}: there is no person key; nothing was imported"
            raise SettingsError(message)
        if per and entry_key is None:
            message = f"{loop.id} has `entry: per {per}`: give the column entry_key, as skene.deliveries_v writes it"
            raise SettingsError(message)
        if entry_key and not (per or entry.every):
            message = f"{where}: {loop.id} is entered once, so an entry_key must be empty; nothing was imported"
            raise SettingsError(message)
        yield person, entry_key or "", _hidden(address, key)


def _hidden(address: str | None, key: bytes) -> bytes | None:
    """As the gates hide it: trimmed, ASCII-lower-cased, HMAC-SHA256."""
    from skene_airflow.ledger.suppressions import address_hmac

    text = (address or "").strip(" \t\r\n")
    if not text:
        return None
    return address_hmac(key, text)


class _File:
    """A CSV file with a header that names the key's column, or one person key a line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def rows(self, keys: Sequence[str], entries: Sequence[str], addresses: Sequence[str]) -> Iterator[tuple[str, Row]]:
        lines = csv.reader(self._text().splitlines())
        places: list[int | None] | None = None
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if places is None:
                names = [cell.strip() for cell in cells]
                places = [_place(names, wanted) for wanted in (keys, entries, addresses)]
                if places[0] is not None:
                    width = len(cells)
                    continue
                if len(cells) > 1:
                    message = f"{self._name}: the first line must name the column {' or '.join(dict.fromkeys(keys))}"
                    raise SettingsError(message)
                places, width = [0, None, None], 1
            where = f"{self._name}:{lines.line_num}"
            if len(cells) != width:
                message = f"{where}: {len(cells)} columns instead of {width}; nothing was imported"
                raise SettingsError(message)
            yield where, [None if at is None else cells[at].strip() for at in places]

    def _text(self) -> str:
        try:
            raw = sys.stdin.buffer.read() if self._name == "-" else Path(self._name).read_bytes()
            return raw.decode("utf-8-sig")
        except OSError as error:
            message = f"{self._name} cannot be read: {error.strerror}"
            raise SettingsError(message) from None
        except UnicodeDecodeError:
            message = f"{self._name} is not UTF-8"
            raise SettingsError(message) from None


class _Query:
    """The rows of one SELECT in the loop's source, in a read-only transaction; keys become text as in the ledger."""

    def __init__(self, args: argparse.Namespace, loop: Loop) -> None:
        from skene_airflow.cli.deployment import connector

        self._connect, self._query = connector(args.source or None, loop.connections.source), args.query

    def rows(self, keys: Sequence[str], entries: Sequence[str], addresses: Sequence[str]) -> Iterator[tuple[str, Row]]:
        import psycopg
        from psycopg import sql

        # One statement, read-only: the extended protocol takes no second one, and a sub-select no writing one.
        text = sql.SQL("SELECT {} FROM (\n{}\n) AS q")
        query = sql.SQL(self._query.strip().removesuffix(";"))
        state = ""
        try:
            with closing(self._connect()) as conn:
                conn.read_only = True
                names = _names(conn.execute(text.format(sql.SQL("*"), query) + sql.SQL(" LIMIT 0"), prepare=True))
                places = [_place(names, wanted) for wanted in (keys, entries, addresses)]
                if places[0] is None:
                    message = (
                        f"the query must return {' or '.join(dict.fromkeys(keys))}; it returns: {', '.join(names)}"
                    )
                    raise SettingsError(message)
                columns = sql.SQL(", ").join(
                    sql.SQL("NULL") if at is None else sql.SQL("q.{}::text").format(sql.Identifier(names[at]))
                    for at in places
                )
                with conn.cursor(name="skene_import") as cur:
                    cur.execute(text.format(columns, query))
                    yield from ((f"row {number}", row) for number, row in enumerate(cur, 1))
        except psycopg.Error as error:
            state = error.sqlstate or "no connection"
        if state:  # out here, so that the driver's words, which quote rows, are not even its context
            message = f"the database refuses the query (SQLSTATE {state}); nothing was imported. Run it in psql first."
            raise QueryError(message)


def _names(cur: Any) -> list[str]:
    return [column.name for column in cur.description or ()]


def _place(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


IMPORT = Verb(
    description="Let people whom another tool has mailed hold their entry, so that nobody mails them again. They read "
    "as `existing`, reason `imported`: the provider never answered us for them, so they are not `sent`. Running it "
    "twice changes nothing; an entry that somebody holds already stays as it is.",
    run=run,
    arguments=(
        Argument(("loop",), {"metavar": "LOOP", "help": "the loop's id"}),
        Argument(
            ("file",),
            {
                "metavar": "FILE",
                "nargs": "?",
                "default": None,
                "help": "person keys, one a line; or CSV whose header names user_key (or user.key), entry_key, email",
            },
        ),
        Argument(
            ("--query",), {"metavar": "SQL", "default": None, "help": "a SELECT with those columns, on the source"}
        ),
        Argument(("--step",), {"metavar": "ID", "default": None, "help": "the step (needed if there are several)"}),
        Argument(
            ("--source",),
            {
                "metavar": "URI",
                "default": None,
                "help": "Postgres URI of the source (else the loop's Airflow connection)",
            },
        ),
        Argument(("--reason",), {"metavar": "TEXT", "default": "", "help": "where they come from, for the audit"}),
        ACTOR,
        format_argument("text", "json"),
        LEDGER,
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow deliveries import re_engagement mailed.csv --reason 'sent with the old tool'\n"
    "  skene-airflow deliveries import re_engagement --query 'SELECT user_id AS user_key FROM old_mails'",
)
