"""What the ledger holds of one person: for `explain` and `history`. Reads only; no address is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger.runs import as_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names, Run

Rows = list[dict[str, Any]]
LISTS = ("deliveries", "decisions", "events", "goals", "suppressions")


@dataclass(frozen=True, slots=True)
class Seen:
    """What gates look at, of one person and step at one moment. Rows as `explain.sql` names them."""

    entries: Rows = field(default_factory=list)
    counted: Rows = field(default_factory=list)
    listed: Rows = field(default_factory=list)
    stopped: Rows = field(default_factory=list)
    sharing: Rows = field(default_factory=list)


def seen(
    ledger: Ledger,
    cur: Cursor,
    names: Names,
    user_key: str,
    hidden: Sequence[bytes],
    at: datetime,
    window: timedelta | None = None,
) -> Seen:
    """Look through ``cur``. ``hidden`` are HMACs of the person's addresses, ``window`` that of the frequency cap."""
    facts = {**names.facts(), "user_key": user_key, "hidden": list(hidden), "at": at, "window": window}
    found: dict[str, Rows] = {}
    for name in Seen.__dataclass_fields__:
        cur.execute(ledger.sql("explain", name), facts)
        found[name] = cur.fetchall()
    return Seen(**found)


def entries_of(ledger: Ledger, cur: Cursor, names: Names, user_key: str, at: datetime) -> Rows:
    """The person's entries of another step, at a moment."""
    cur.execute(ledger.sql("explain", "entries"), {**names.facts(), "user_key": user_key, "at": at})
    return cur.fetchall()


def run_at(ledger: Ledger, cur: Cursor, names: Names, at: datetime) -> tuple[Run, datetime] | None:
    """The last run of a step that was decided at a moment, and when that was."""
    cur.execute(ledger.sql("explain", "run_at"), {**names.facts(), "at": at})
    row = cur.fetchone()
    return (as_run(row), row["decided_at"]) if row else None


def decided(ledger: Ledger, cur: Cursor, run: Run, user_key: str) -> Rows:
    """What a run recorded of a person: one row for each entry."""
    cur.execute(ledger.sql("explain", "decided"), {"run_no": run.run_no, "user_key": user_key})
    return cur.fetchall()


def hidden_of(ledger: Ledger, cur: Cursor, user_key: str) -> list[bytes]:
    """The HMACs of the addresses that the ledger knows a person by."""
    cur.execute(ledger.sql("people", "hidden"), {"user_key": user_key})
    return [bytes(row["address_hmac"]) for row in cur.fetchall()]


def history(ledger: Ledger, user_key: str) -> Mapping[str, Rows]:
    """Everything about a person over all loops: the LISTS, each in the order of time."""
    found: dict[str, Rows] = {}
    with ledger.transaction() as cur:
        for name in LISTS:
            cur.execute(ledger.sql("history", name), {"user_key": user_key})
            found[name] = cur.fetchall()
    return found
