"""What the verbs that change the ledger share: whose act it is, what is known, and what is said of unknown loops."""

from __future__ import annotations

import difflib
import getpass
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.deliveries import Deed


def actor(args: argparse.Namespace) -> str:
    """``--actor``, else who is logged in, for the audit."""
    if args.actor:
        return str(args.actor)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return "unknown"


def person(key: str) -> str:
    """A person key as it was given. Raises SettingsError for what no person can have."""
    if not key.strip() or "\0" in key:
        from skene_airflow.errors import SettingsError

        raise SettingsError("name the person by the key that your loops know them by: --user KEY")
    return key


def address(text: str) -> str:
    """The one address in ``text``. Raises SettingsError if it cannot be one: its hash would stop nobody."""
    from skene_airflow.channels.safety import mailbox
    from skene_airflow.errors import SettingsError

    if found := mailbox(text):
        return found.address
    stripped = text.strip()
    if stripped.count("@") != 1 or any(char.isspace() or char in '<>,;"' for char in stripped):
        raise SettingsError("name one address, such as ada@acme.example; nothing was changed")
    return stripped


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Ledger]:
    """The deployment's ledger, migrated if it may be. Raises SettingsError and LedgerError."""
    from skene_airflow.cli.deployment import ledger, settings

    book = ledger(args.ledger)
    try:
        if settings().auto_migrate:
            book.migrate()
        yield book
    finally:
        book.close()


def warn_unknown(book: Ledger, loop_id: str | None, loops: str | None) -> bool:
    """Whether neither the loops folder nor the ledger knows this loop; then a line on stderr says so."""
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.errors import SettingsError
    from skene_airflow.ledger import deliveries
    from skene_airflow.loop.load import loop_files

    if loop_id is None:
        return False
    known = deliveries.known_loops(book)
    with suppress(SettingsError):  # without a folder the ledger alone knows
        known |= {path.stem for path in loop_files(loops_folder(loops))}
    if loop_id in known:
        return False
    near = difflib.get_close_matches(loop_id, sorted(known), 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    print(f"warning: no loop '{loop_id}' in the loops folder or the ledger{hint}", file=sys.stderr)
    return True


def deed(args: argparse.Namespace) -> Deed:
    """Who does it and why, without addresses; and what each provider can be asked about."""
    from skene_airflow.channels import CHANNELS
    from skene_airflow.channels.safety import scrub
    from skene_airflow.ledger.deliveries import Deed

    return Deed(actor(args), scrub(args.reason), {name: kind.window for name, kind in CHANNELS.items()})
