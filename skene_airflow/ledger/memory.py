"""What the ledger remembers of a step and its earlier runs, for the rules of the next one. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.ledger.runs import address_key, one
from skene_airflow.nouns import Mode

if TYPE_CHECKING:
    from datetime import datetime

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names, Run


class Memory:
    """What one run may ask of the runs before it, through ``cur``."""

    def __init__(self, ledger: Ledger, cur: Cursor, run: Run) -> None:
        self._ledger, self.cur, self.run = ledger, cur, run

    def last_claimed(self, names: Names) -> tuple[str | None, str | None] | None:
        """The entry rule and key column that people last entered this step under; None before its first claim."""
        claims_as = Mode.REDIRECT if self.run.mode is Mode.REDIRECT else Mode.LIVE
        self.cur.execute(self._ledger.sql("runs", "last_claimed"), {**names.facts(), "claims_as": claims_as})
        row = self.cur.fetchone()
        return (row["entry_rule"], row["key_column"]) if row else None

    def usual_size(self, names: Names, *, idle: bool = False) -> float | None:
        """How many people recent live runs of the step mailed: the median; None before its first claim.

        ``idle``: runs that found nobody say nothing of it.
        """
        self.cur.execute(self._ledger.sql("runs", "usual_size"), {**names.facts(), "idle": idle})
        people: float | None = one(self.cur)["people"]
        return people

    def last_tick(self, names: Names) -> datetime | None:
        """For when the last scheduled run before this one was, of those that staged their audience."""
        self.cur.execute(self._ledger.sql("runs", "last_tick"), {**names.facts(), "as_of": self.run.as_of})
        found: datetime | None = one(self.cur)["as_of"]
        return found

    def address_key(self) -> bytes:
        """The installation's own key for the HMAC of addresses."""
        return address_key(self.cur, self._ledger)

    def now(self) -> datetime:
        """The database's time."""
        self.cur.execute(self._ledger.sql("runs", "now"))
        now: datetime = one(self.cur)["now"]
        return now


class Blank(Memory):
    """A database without a ledger: nothing happened yet."""

    def last_claimed(self, names: Names) -> None:
        """Nobody ever entered."""

    def usual_size(self, names: Names, *, idle: bool = False) -> None:
        """No run was live."""

    def last_tick(self, names: Names) -> None:
        """No run was scheduled."""

    def address_key(self) -> bytes:
        """Hashes of addresses are compared with each other alone."""
        return b"nothing is kept"
