"""What people and the hourly upkeep do to the ledger: stop and start, expire, erase, share a rate limit. Audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from skene_airflow.ledger import changes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names, Run

ALL = "*"
"""Stands for every loop."""


def note(ledger: Ledger, cur: Cursor, actor: str, action: str, **details: object) -> None:
    """Write down what a person did, in the same transaction as the deed. No addresses in ``details``."""
    facts = {"actor": actor, "action": action, "details": Jsonb(details)}
    cur.execute(ledger.sql("control", "note"), facts)


def stop(ledger: Ledger, loop_id: str, actor: str) -> int:
    """Stop a loop (or ALL) at once, also inside running tasks. Returns how many queued people were cancelled."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "stop"), {"loop_id": loop_id, "actor": actor})
        cur.execute(ledger.sql("control", "cancel_open"), {"loop_id": loop_id})
        cancelled = cur.rowcount
        note(ledger, cur, actor, "stop", loop=loop_id, cancelled=cancelled)
    return cancelled


def start(ledger: Ledger, loop_id: str, actor: str) -> bool:
    """Undo `stop` of the same name. False if it was not stopped."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "start"), {"loop_id": loop_id})
        undone = cur.rowcount > 0
        if undone:
            changes.forgive(ledger, cur, loop_id)
            note(ledger, cur, actor, "start", loop=loop_id)
    return undone


def stopped(ledger: Ledger) -> list[dict[str, Any]]:
    """What is stopped: loop_id (`*` for all), actor, stopped_at."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "stopped"))
        return cur.fetchall()


def in_doubt(ledger: Ledger, loop_id: str) -> int:
    """How many people are in calls of the loop (or ALL) that are under way or in doubt."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "in_doubt"), {"loop_id": loop_id})
        row = cur.fetchone()
    return int(row["people"]) if row else 0


def tidy(ledger: Ledger, windows: Mapping[str, timedelta | None], retention_days: int) -> dict[str, int]:
    """Expire what is late, give up on doubts that cannot be asked about, erase what is old. Returns counts.

    ``windows`` maps each provider to how long it replays a key (None: it cannot be asked).
    """
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "expire_open"))
        counts = {"expired": cur.rowcount, "uncertain": 0}
        for provider, window in windows.items():
            cur.execute(ledger.sql("control", "doubt_closed"), {"provider": provider, "window": window})
            counts["uncertain"] += cur.rowcount
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "erase"), {"days": retention_days})
        counts["erased"] = cur.rowcount
        cur.execute(ledger.sql("control", "end_suppressions"), {"days": retention_days})
        cur.execute(ledger.sql("inbox", "erase"), {"days": retention_days})
        cur.execute(ledger.sql("control", "old_stages"), {"schema": ledger.schema, "days": retention_days})
        for row in cur.fetchall():
            cur.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(ledger.schema, row["name"])))
    return counts


def take(ledger: Ledger, connection: str, seconds: float, longest: float) -> float | None:
    """Reserve ``seconds`` of a connection's time, shared by all workers. Returns how many seconds to wait first.

    None, and nothing is reserved, if that would be more than ``longest``.
    """
    facts = {"connection": connection, "seconds": seconds, "longest": longest}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "take"), facts)
        row = cur.fetchone()
    return float(row["wait"]) if row else None


def ahead(ledger: Ledger, connection: str) -> float:
    """How many seconds ahead the connection's next free turn is."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "ahead"), {"connection": connection})
        row = cur.fetchone()
    return float(row["wait"]) if row else 0.0


def next_unmarked(ledger: Ledger, names: Names, after: int) -> dict[str, Any] | None:
    """The next settled batch that `on_sent` is owed for: batch_id, columns, as_of, and its ``sent`` people."""
    with ledger.transaction() as cur:
        facts = {**names.facts(), "after": after}
        cur.execute(ledger.sql("control", "unmarked"), facts)
        batch = cur.fetchone()
        if batch is None:
            return None
        cur.execute(ledger.sql("control", "sent_members"), batch)
        return {**batch, "people": cur.fetchall()}


def marked(ledger: Ledger, batch_id: int) -> None:
    """`on_sent` has run for this batch."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("control", "marked"), {"batch_id": batch_id})


def answer(ledger: Ledger, run: Run, approved: bool, by: str) -> None:
    """Keep what was said of a run that had to be approved; ``by`` is empty if nobody said anything in time."""
    facts = {"run_no": run.run_no, "answer": Jsonb({"approved": approved, "by": by})}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "answer"), facts)
        if cur.rowcount and by:
            deed = "approve" if approved else "reject"
            note(ledger, cur, by, deed, loop=run.loop_id, step=run.step_id, run=run.run_id)


def has_open(ledger: Ledger, names: Names, mode: str = "live") -> bool:
    """Whether mail of the step in this mode is still to be sent, or to be asked about."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("batches", "open_batches"), {**names.facts(), "mode": mode})
        row = cur.fetchone()
    return bool(row and row["batches"])
