"""Changes of the app's rows: each written once, and due to every loop on its table until that loop has settled it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names

TEMPORARY = ("not_due", "quiet_hours", "frequency_capped", "held", "not_approved", "stopped")
"""Reasons that say something of the moment or of the whole run, and not of the person: the event stays due."""

EVERYTHING = "*"
"""What is told to those who listen when older changes may be due again; else it is the table."""


@dataclass(frozen=True, slots=True)
class Told:
    """One change. ``body`` is the JSON text that has the rows ``old`` and ``new``."""

    event_id: str
    op: str
    at: datetime
    table: str
    body: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes a step waits for. ``claims_as`` is live or redirect; ``window`` how long they stay due."""

    names: Names
    table: str
    ops: Sequence[str]
    source: str
    window: timedelta
    claims_as: str

    def facts(self) -> dict[str, object]:
        """The same as parameters of a statement."""
        return {
            **self.names.facts(),
            "table": self.table,
            "ops": list(self.ops),
            "source": self.source,
            "window": self.window,
            "claims_as": self.claims_as,
        }


@dataclass(frozen=True, slots=True)
class Fresh:
    """What no run of a step has ever taken: how many, the number of the newest; and the last run that staged."""

    events: int
    newest: int | None
    last_run: int | None


def channel(schema: str) -> str:
    """Where the ledger tells (NOTIFY) that there are changes."""
    return f"{schema}_events"


def write(
    ledger: Ledger,
    provider: str,
    told: Sequence[Told],
    path: Sequence[str] = (),
    source: str | None = None,
    *,
    noted: bool = False,
) -> int:
    """Write changes down, all or none. Returns how many of them are new.

    ``path`` leads within each body to the object that has the rows. ``noted``: their time was taken by the
    database they happened in, and they are due from then on; else from now on. Raises LedgerError.
    """
    facts: dict[str, object] = {
        "provider": provider,
        "source": source,
        "noted": noted,
        "path": list(path),
        "event_ids": [each.event_id for each in told],
        "ops": [each.op for each in told],
        "ats": [each.at for each in told],
        "tables": [each.table for each in told],
        "bodies": [each.body for each in told],
    }
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("changes", "write"), facts)
        written = cur.rowcount
        for table in {each.table for each in told} if written else ():
            tell(ledger, cur, table)
    return written


def tell(ledger: Ledger, cur: Cursor, what: str) -> None:
    """Wake whoever listens, when the transaction commits."""
    cur.execute(ledger.sql("changes", "tell"), {"channel": channel(ledger.schema), "what": what})


def take(ledger: Ledger, cur: Cursor, wanted: Wanted, loop_id: str, step_id: str, run_no: int) -> int:
    """Give everything that is due to a run. Returns how many."""
    facts = {**wanted.facts(), "loop_id": loop_id, "step_id": step_id, "run_no": run_no}
    cur.execute(_due(ledger, "take"), facts)
    return cur.rowcount


def analyze(ledger: Ledger) -> None:
    """Count what was taken, so that the claim is planned for as many."""
    with ledger.statement() as cur:
        cur.execute(ledger.sql("changes", "analyze"))


def taken(ledger: Ledger, cur: Cursor, run_no: int) -> Iterator[Any]:
    """What a run has taken: op, old and new in PostgreSQL's COPY text format, block by block."""
    with cur.copy(ledger.sql("changes", "taken"), {"run_no": run_no}) as out:
        yield from out


def look_at(ledger: Ledger, cur: Cursor, wanted: Wanted) -> Iterator[Any]:
    """The same of everything that is due, for those who take nothing."""
    with cur.copy(_due(ledger, "look_at"), wanted.facts()) as out:
        yield from out


def seen(ledger: Ledger, wanted: Wanted) -> Iterator[Any]:
    """The same in a transaction of its own; nothing where there is no ledger yet."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("changes", "there"), {"schema": ledger.schema})
        if cur.fetchone() is not None:
            yield from look_at(ledger, cur, wanted)


def owed(ledger: Ledger, wanted: Wanted) -> int:
    """How many changes are due to a step."""
    with ledger.transaction() as cur:
        cur.execute(_due(ledger, "owed"), wanted.facts())
        row = cur.fetchone()
    return int(row["events"]) if row else 0


def fresh(ledger: Ledger, wanted: Wanted) -> Fresh:
    """What no run of a step has ever taken."""
    with ledger.transaction() as cur:
        cur.execute(_due(ledger, "fresh"), wanted.facts())
        row = cur.fetchone()
    return Fresh(int(row["events"]), row["newest"], row["last_run"]) if row else Fresh(0, None, None)


def forgive(ledger: Ledger, cur: Cursor, loop_id: str) -> None:
    """Let the changes whose people were only stopped be due again; ``loop_id`` may be ``*``."""
    cur.execute(ledger.sql("changes", "forgive"), {"loop_id": loop_id})
    if cur.rowcount:
        tell(ledger, cur, EVERYTHING)


def erase(ledger: Ledger, days: int, window: timedelta) -> int:
    """Erase the rows of changes older than ``days`` that are due nowhere: ``window`` is the longest they may be."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("changes", "erase"), {"days": days, "window": window})
        row = cur.fetchone()
    return int(row["events"]) if row else 0


def _due(ledger: Ledger, name: str) -> str:
    due = ledger.sql("changes", "due")
    return ledger.sql("changes", name).replace("/* due */", due)
