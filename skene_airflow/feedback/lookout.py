"""Looks out for changes that a loop has not taken yet, and says when a run is worth beginning."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger import Ledger, changes

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from skene_airflow.feedback.outbox import Outbox
    from skene_airflow.ledger.changes import Fresh, Wanted

RECENT = timedelta(minutes=15)
"""How far back a look goes as a rule: longer than any transaction that writes a change. The first goes all the way."""
PATIENCE = 30.0
"""Seconds until a run that was called for, and has not begun, is called for again when more changes come."""

RARELY = 60.0
"""Seconds between two looks for an outbox where there was none."""


class Lookout:
    """One step's. ``open`` first; whatever the database refuses ends it, and another is opened later.

    The ledger tells of changes over the very connection that is asked; ``sockets`` become readable then.
    """

    def __init__(
        self,
        wanted: Wanted,
        connect: Callable[[], psycopg.Connection[Any]],
        schema: str,
        *,
        migrate: bool = True,
        outbox: Outbox | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted, self._connect, self._migrate, self._clock = wanted, connect, migrate, clock
        self._outbox, self._outbox_at = outbox, 0.0
        self._ledger = Ledger(self._opened, schema)
        self._conn: psycopg.Connection[Any] | None = None
        self._told = self._everything = True
        self._called: Fresh | None = None
        self._called_at = 0.0

    def open(self) -> None:
        """Open the connection and listen. Raises LedgerError and what ``connect`` raises."""
        if self._migrate:
            self._ledger.migrate()
        with self._ledger.statement() as cur:
            cur.execute(f"LISTEN {changes.channel(self._ledger.schema)}")

    @property
    def sockets(self) -> list[int]:
        """What becomes readable when the database has something to tell."""
        own = [self._conn.fileno()] if self._conn is not None and not self._conn.closed else []
        return own + (self._outbox.sockets if self._outbox is not None else [])

    @property
    def told(self) -> bool:
        """Whether the database has told of something that was not looked at yet."""
        return self._told or (self._outbox is not None and self._outbox.told)

    def look(self) -> int:
        """How many changes a run should begin for now; 0 if there are none, or one was called for already.

        What the app's database has noted by itself is fetched first. Raises LedgerError and QueryError.
        """
        self._fetch()
        window = self._wanted.window if self._everything else min(self._wanted.window, RECENT)
        self._told = self._everything = False
        fresh = changes.fresh(self._ledger, replace(self._wanted, window=window))
        if not self._is_news(fresh):
            return 0
        self._called, self._called_at = fresh, self._clock()
        return fresh.events

    def close(self) -> None:
        """Close the connections."""
        self._ledger.close()
        if self._outbox is not None:
            self._outbox.close()

    def _fetch(self) -> None:
        """Empty the outbox; where there is none, look for one from time to time and keep no connection."""
        outbox = self._outbox
        if outbox is None or (not outbox.sockets and self._clock() < self._outbox_at):
            return
        if not outbox.sockets and not outbox.listen():
            self._outbox_at = self._clock() + RARELY
            outbox.close()
            return
        outbox.empty_into(self._ledger)

    def _is_news(self, fresh: Fresh) -> bool:
        """Whether there is more than the last call was for. What has only grown old is no news."""
        last = self._called
        if not fresh.events:
            return False
        if last is None:
            return True
        waits = fresh.last_run == last.last_run and self._clock() < self._called_at + PATIENCE
        return not waits and (fresh.newest != last.newest or fresh.events > last.events)

    def _opened(self) -> psycopg.Connection[Any]:
        self._conn = self._connect()
        self._conn.add_notify_handler(self._hear)
        return self._conn

    def _hear(self, notify: psycopg.Notify) -> None:
        self._told = True
        self._everything |= notify.payload == changes.EVERYTHING
