"""`hasura apply | check | metadata`: event triggers, tracked relations, relationships and permissions of Hasura v2."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import LEDGER, LOOPS, Argument, Verb, below, format_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from skene_airflow.hasura.changes import Call
    from skene_airflow.hasura.client import Hasura
    from skene_airflow.hasura.wanted import Table, Wish
    from skene_airflow.ledger import Ledger
    from skene_airflow.loop.schema import Loop

_TRIES = 3
"""How often it begins anew where somebody else changed the metadata meanwhile."""


def apply(args: argparse.Namespace) -> int:
    """Make Hasura's metadata into what the loops need; 1 if something is left to mend. Raises SkeneError."""
    from skene_airflow.cli import acting
    from skene_airflow.hasura.wanted import wanted

    loops = _loops(args)
    with _book(args) if args.dry_run else acting.opened(args) as book, _hasura(args) as hasura:
        wish = _wish(args, loops, book)
        if not (args.dry_run or args.events_only):
            _show_people(book, loops)
        for left in reversed(range(_TRIES)):
            metadata, version = hasura.export()
            calls = _calls(metadata, wanted(wish), args.database)
            warnings = _warnings(args, loops, metadata, book)
            if args.dry_run or not calls or _done(hasura, calls, version, args.database, left):
                break
        found = [] if args.dry_run else hasura.inconsistent()
    _told(args, calls, warnings, found, "would be changed" if args.dry_run else "changed")
    return 1 if found else 0


def check(args: argparse.Namespace) -> int:
    """Whether Hasura has what the loops need; 1 if not. Nothing is changed. Raises SkeneError."""
    from skene_airflow.hasura.wanted import wanted

    loops = _loops(args)
    with _book(args) as book, _hasura(args) as hasura:
        metadata, _ = hasura.export()
        calls = _calls(metadata, wanted(_wish(args, loops, book)), args.database)
        warnings, found = _warnings(args, loops, metadata, book), hasura.inconsistent()
    _told(args, calls, warnings, found, "missing: run `skene-airflow hasura apply`")
    return 1 if calls or found else 0


def metadata(args: argparse.Namespace) -> int:
    """Write the files for `hasura metadata apply`, and the SQL that comes before it. Raises SettingsError."""
    from skene_airflow.cli.deployment import settings
    from skene_airflow.hasura.files import files
    from skene_airflow.hasura.wanted import PEOPLE, people, wanted
    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.hasura import text_of_view

    loops, folder = _loops(args), Path(args.out)
    book = Ledger(_nowhere, settings().schema)
    texts = files(folder, wanted(_wish(args, loops, None)), args.database)
    if not args.events_only:
        texts["skene_people.sql"] = text_of_view(book, *people(loops), PEOPLE)
    for name, text in texts.items():
        _write(folder / name, text)
        print(f"wrote {folder / name}")
    before = "" if args.events_only else "skene-airflow migrate; run skene_people.sql in the ledger's database; "
    print(f"next: {before}hasura metadata apply")
    return 0


def _book(args: argparse.Namespace) -> AbstractContextManager[Ledger]:
    """The ledger, for looking only: it is not migrated."""
    from skene_airflow.cli.deployment import ledger

    return closing(ledger(args.ledger))


def _show_people(book: Ledger, loops: Sequence[Loop]) -> None:
    """Make our view of the people. Raises SettingsError where their table is not in the ledger's database."""
    from skene_airflow.errors import LedgerError, SettingsError
    from skene_airflow.hasura.wanted import PEOPLE, people
    from skene_airflow.ledger.hasura import view_of_people

    table, key = people(loops)
    try:
        view_of_people(book, table, key, PEOPLE)
    except LedgerError as error:
        state = str(error).partition("SQLSTATE ")[2][:5]
        what = (
            f"{'.'.join(table)} with the column '{key}' (`user` of your loops) cannot be read in the ledger's database"
        )
        hint = "if the ledger has a database of its own, add --events-only"
        raise SettingsError(f"{what} (SQLSTATE {state}); {hint}") from None


def _nowhere() -> Any:
    raise AssertionError("nothing is asked of the ledger here")


def _write(path: Path, text: str) -> None:
    from skene_airflow.errors import SettingsError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None


def _loops(args: argparse.Namespace) -> list[Loop]:
    """Every good loop. Raises LoopError for a broken one: its triggers would be taken away."""
    from skene_airflow.cli.folder import as_seen, loops_folder
    from skene_airflow.errors import LoopError
    from skene_airflow.stages.check import check_folder

    root = loops_folder(args.loops)
    folder = check_folder(root)
    if folder.errors:
        raise LoopError(as_seen([fault for error in folder.errors for fault in error.faults], root))
    return list(folder.loops)


def _wish(args: argparse.Namespace, loops: Sequence[Loop], book: Ledger | None) -> Wish:
    from skene_airflow.cli.deployment import settings
    from skene_airflow.errors import SettingsError
    from skene_airflow.hasura.wanted import Wish, watched
    from skene_airflow.ledger import hasura as ledger_views

    deployment = settings()
    webhook = args.webhook or (f"{deployment.base_url}/hasura/events" if deployment.base_url else "")
    if watched(loops) and not webhook:
        raise SettingsError("[skene] base_url is not set: Hasura has to know where it posts the rows that change")
    wish = Wish(loops, deployment.schema, args.role, args.staff or "", webhook=webhook, events_only=args.events_only)
    there = ledger_views.relations(book) if book is not None else frozenset()
    return replace(wish, relations=wish.relations & there) if there else wish


def _hasura(args: argparse.Namespace) -> Hasura:
    from skene_airflow.cli.deployment import hasura

    return hasura(args.endpoint, args.connection)


def _calls(metadata: Mapping[str, Any], tables: Sequence[Table], source: str) -> list[Call]:
    from skene_airflow.errors import SettingsError
    from skene_airflow.hasura.changes import changes

    try:
        return changes(metadata, tables, source)
    except LookupError as error:
        what = f"Hasura has no database named '{source}'; it has: {error}. Name one with --database"
        raise SettingsError(what) from None


def _done(hasura: Hasura, calls: Sequence[Call], version: int, source: str, left: int) -> bool:
    """Change the metadata, all or nothing; False if somebody else changed it since it was read."""
    from skene_airflow.hasura.client import HasuraError

    try:
        hasura.metadata("bulk", calls, source=source, resource_version=version)
    except HasuraError as error:
        if error.code == "conflict" and left:
            return False
        if error.code == "not-exists" and "no such table" in str(error):
            what = f"{error}. Is the ledger (or the loop's table) in another database than Hasura's '{source}'?"
            raise HasuraError(what, error.code) from None
        raise
    return True


def _warnings(args: argparse.Namespace, loops: Sequence[Loop], metadata: Mapping[str, Any], book: Ledger) -> list[str]:
    """Where `on_sent` would fire triggers: once for each person who was mailed."""
    from skene_airflow.hasura.changes import listening
    from skene_airflow.hasura.wanted import qualified
    from skene_airflow.ledger import hasura as ledger_views
    from skene_airflow.loop.sql_shape import updated_table

    found = []
    for loop in loops:
        for step in loop.steps:
            if step.on_sent is None:
                continue
            table = qualified(updated_table(step.on_sent))
            names = listening(metadata, args.database, table)
            with suppress(Exception):  # only where the app's table is in the ledger's database
                names += [name for name in ledger_views.row_triggers(book, table) if not any(n in name for n in names)]
            if names:
                found.append(
                    f"{loop.file}: on_sent of step '{step.id}' updates {'.'.join(table)}: each person mailed fires "
                    f"{', '.join(names)}; limit the trigger to the columns it needs, or leave on_sent out"
                )
    return found


def _told(
    args: argparse.Namespace, calls: Sequence[Call], warnings: Sequence[str], found: Sequence[str], what: str
) -> None:
    from skene_airflow.cli import output
    from skene_airflow.hasura.changes import words

    if args.format == "json":
        facts = {"calls": list(calls), "warnings": list(warnings), "inconsistent": list(found)}
        print(output.as_json(facts))
        return
    for call in calls:
        print(words(call))
    print(f"{output.count(len(calls), 'thing')} {what}" if calls else "nothing is missing")
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    for line in found:
        print(f"inconsistent metadata: {line}", file=sys.stderr)


_EVENTS_ONLY = Argument(
    ("--events-only",),
    {"action": "store_true", "help": "event triggers alone: the ledger is in a database that Hasura does not have"},
)
_SHARED = (
    Argument(
        ("--role",),
        {"metavar": "NAME", "default": "user", "help": "the app's role: reads its own rows by X-Hasura-User-Id (user)"},
    ),
    Argument(
        ("--staff",), {"metavar": "NAME", "default": None, "help": "a role that may read all rows (no addresses)"}
    ),
    Argument(
        ("--webhook",),
        {
            "metavar": "URL",
            "default": None,
            "help": "where Hasura posts, if it reaches Airflow by another name than [skene] base_url (…/hasura/events)",
        },
    ),
    Argument(
        ("--database",), {"metavar": "NAME", "default": "default", "help": "Hasura's name of the database (default)"}
    ),
    _EVENTS_ONLY,
    LOOPS,
)
_WHERE = (
    Argument(
        ("--connection",),
        {"metavar": "ID", "default": "hasura_default", "help": "the Airflow connection of Hasura (hasura_default)"},
    ),
    Argument(
        ("--endpoint",),
        {
            "metavar": "URL",
            "default": None,
            "help": "Hasura's URL instead of a connection; the secret is $HASURA_GRAPHQL_ADMIN_SECRET",
        },
    ),
)
_CODES = (
    "exit codes: 0 fine, 1 something is missing or inconsistent, 2 wrong usage, or Hasura or the ledger not reached"
)
_APPLY = (
    "Create what the loops need in Hasura, and change nothing else: an event trigger for each table that a loop's "
    "`database` trigger names, the ledger's views and inbox with relationships to the people and select permissions. "
    "Twice is once. An event trigger of ours that no loop needs any more is taken away."
)
_CHECK = "Say what `apply` would do. Nothing is changed."
_METADATA = (
    "Write the same as files of a Hasura project, for `hasura metadata apply`; tables that are there are added to. "
    "No Hasura and no database is asked."
)
VERB = below(
    "What loops need of a Hasura v2. (DDN has no metadata API: use its CLI; everything else works on its database.)",
    {
        "apply": Verb(
            _APPLY,
            apply,
            (
                *_SHARED,
                *_WHERE,
                LEDGER,
                Argument(("--dry-run",), {"action": "store_true", "help": "say what would be changed"}),
                format_argument("text", "json"),
            ),
            f"examples:\n  skene-airflow hasura apply --dry-run\n  skene-airflow hasura apply --role user\n{_CODES}",
        ),
        "check": Verb(_CHECK, check, (*_SHARED, *_WHERE, LEDGER, format_argument("text", "json")), _CODES),
        "metadata": Verb(
            _METADATA,
            metadata,
            (
                *_SHARED,
                Argument(
                    ("--out",),
                    {"metavar": "DIR", "default": "metadata", "help": "the project's metadata folder (metadata)"},
                ),
            ),
            "examples:\n  skene-airflow hasura metadata --out hasura/metadata",
        ),
    },
)
