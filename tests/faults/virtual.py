"""Virtual time: to sleep is to move every moment that the ledger remembers into the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

_MOMENTS = {
    "batches": ("lease_until", "next_at", "frozen_at", "first_post_at", "expires_at"),
    "rate_limits": ("free_at",),
}


@dataclass
class Virtual:
    """A clock for senders and doubles, and a `sleep` that the ledger feels as well, through one connection that commits
    by itself: a connection for each sleep takes longer than all else in it."""

    conn: psycopg.Connection[Any]
    now: float = 1_000_000.0

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        self.now += seconds
        for table, moments in _MOMENTS.items():
            past = ", ".join(f"{moment} = {moment} - make_interval(secs => {seconds})" for moment in moments)
            self.conn.execute(f"UPDATE skene.{table} SET {past}")
