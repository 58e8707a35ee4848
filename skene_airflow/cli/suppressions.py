"""`suppressions`: who must not be mailed; add, remove, list, import and export. Changes are audited."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, Argument, Verb, below, format_argument
from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from datetime import datetime

    from skene_airflow.ledger.suppressions import Entry

_COLUMNS = ("user_key", "address_hmac", "scope", "reason", "source", "created_at", "expires_at")
_REASONS = ("manual", "bounced", "complained", "unsubscribed", "erased")
_SCOPE = re.compile(r"all|marketing|topic:[a-z][a-z0-9_]*")
_HIDDEN = re.compile(r"[0-9a-f]{64}")


def add(args: argparse.Namespace) -> int:
    """Add one person. Raises SettingsError and LedgerError."""
    from skene_airflow.channels.safety import scrub
    from skene_airflow.cli import acting
    from skene_airflow.ledger import suppressions

    entry = _entry({"user_key": args.user, "address": args.address, "scope": args.scope}, "suppressions add")
    with acting.opened(args) as book:
        added = suppressions.add(book, [entry], acting.actor(args), scrub(args.reason))
    print("added" if added else "was there already")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Remove one person. Raises SettingsError and LedgerError."""
    from skene_airflow.channels.safety import scrub
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import suppressions

    found = {"user_key": args.user, "address": args.address, "scope": args.scope or "all"}
    entry = _entry(found, "suppressions remove")
    with acting.opened(args) as book:
        gone = suppressions.remove(book, entry, args.scope, acting.actor(args), scrub(args.reason), erased=args.erased)
    print(f"{output.count(gone, 'suppression')} removed")
    return 0


def list_(args: argparse.Namespace) -> int:
    """Print them. Raises LedgerError."""
    from skene_airflow.cli import acting, output

    with acting.opened(args) as book:
        rows = _rows(book, args)
    print(output.as_json(rows) if args.format == "json" else output.table(rows) or "nobody is suppressed")
    return 0


def export(args: argparse.Namespace) -> int:
    """Print them as CSV, for `import`. Raises LedgerError."""
    from skene_airflow.cli import acting

    with acting.opened(args) as book:
        rows = _rows(book, args)
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return 0


def import_(args: argparse.Namespace) -> int:
    """Add the people of a CSV file, all or none. Raises SettingsError and LedgerError."""
    from skene_airflow.channels.safety import scrub
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import suppressions

    try:
        with Path(args.file).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error):
        raise SettingsError(f"{args.file} cannot be read as a CSV file in UTF-8") from None
    entries = [_entry(line, f"{args.file}:{number}") for number, line in enumerate(lines, 2)]
    with acting.opened(args) as book:
        added = suppressions.add(book, entries, acting.actor(args), scrub(args.reason))
    print(f"{output.count(added, 'suppression')} added, {len(entries) - added} there already")
    return 0


def _entry(found: Mapping[str, Any], where: str) -> Entry:
    from skene_airflow.cli import acting
    from skene_airflow.ledger.suppressions import Entry

    user, address, hidden, scope, reason = (
        (found.get(name) or "").strip() for name in ("user_key", "address", "address_hmac", "scope", "reason")
    )
    if not (user or address or hidden) or "\0" in user:
        raise SettingsError(f"{where}: name the person by key or by address; nothing was changed")
    if address:
        address = acting.address(address)
    if hidden and not _HIDDEN.fullmatch(hidden):
        raise SettingsError(f"{where}: address_hmac has 64 digits, as `suppressions export` writes it")
    if scope and not _SCOPE.fullmatch(scope):
        raise SettingsError(f"{where}: the scope is all, marketing or topic:<name>; nothing was changed")
    if reason and reason not in _REASONS:
        raise SettingsError(f"{where}: the reason is one of {', '.join(_REASONS)}; nothing was changed")
    ends = _time(found.get("expires_at") or "", where)
    return Entry(user or None, address or None, bytes.fromhex(hidden) or None, scope or "all", reason or "manual", ends)


def _time(text: str, where: str) -> datetime | None:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text) if text.strip() else None
    except ValueError:
        raise SettingsError(f"{where}: expires_at is a time as `suppressions export` writes it, or empty") from None


def _rows(book: Any, args: argparse.Namespace) -> list[dict[str, Any]]:
    from skene_airflow.ledger import suppressions
    from skene_airflow.ledger.suppressions import Entry

    rows = suppressions.listed(book, Entry(args.user, args.address))
    return [{name: _cell(row[name]) for name in _COLUMNS} for row in rows]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else value


_WHO = (
    Argument(("--user",), {"metavar": "KEY", "default": None, "help": "the person's key"}),
    Argument(("--address",), {"metavar": "ADDRESS", "default": None, "help": "the address; only its HMAC is kept"}),
)
_WHY = Argument(("--reason",), {"metavar": "TEXT", "required": True, "help": "why, for the audit (no addresses)"})
_ERASED = Argument(
    ("--erased",),
    {"action": "store_true", "help": "also what `forget` left: the person came back by themselves and asked for mail"},
)
_SCOPES = {"metavar": "SCOPE", "help": "all, marketing or topic:NAME"}
VERB = below(
    "Who must not be mailed. The ledger holds person keys and HMACs of addresses.",
    {
        "add": Verb(
            "Suppress a person, by key, by address or by both.", add,
            (*_WHO, Argument(("--scope",), _SCOPES | {"default": "all"}), _WHY, ACTOR, LEDGER, LOOPS),
        ),
        "remove": Verb(
            "Let a person be mailed again. What `forget` left stays without --erased.", remove,
            (*_WHO, Argument(("--scope",), _SCOPES | {"default": None}), _ERASED, _WHY, ACTOR, LEDGER, LOOPS),
        ),
        "list": Verb("Show suppressions.", list_, (*_WHO, format_argument("text", "json"), LEDGER, LOOPS)),
        "import": Verb(
            "Add the people of a CSV file. Columns: user_key, address or address_hmac; if you like scope, reason and "
            "expires_at.",
            import_,
            (Argument(("file",), {"metavar": "FILE", "help": "the CSV file"}), _WHY, ACTOR, LEDGER, LOOPS),
        ),
        "export": Verb("Write suppressions as CSV to standard output.", export, (*_WHO, LEDGER, LOOPS)),
    },
    "example:\n  skene-airflow suppressions add --address ada@acme.example --reason \"asked by phone\"",
)  # fmt: skip
