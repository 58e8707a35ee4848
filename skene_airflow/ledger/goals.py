"""Who reached the goal of a loop within its window: recorded once, the first time, whoever looks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from skene_airflow.ledger.runs import one

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names

AGAIN = timedelta(days=1)
"""How far each look goes back behind the one before, and how often one goes back to the beginning of every window."""
LATE = timedelta(days=3)
"""How much later than it happened a goal may come into the database and still be seen by those looks."""
FEW = 100_000
"""Up to so many rows every look goes back to the first window: what comes late is then seen within the hour."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The goal of a loop: what it is called and was, its rule in words that change with any edit, its window."""

    loop_ids: Sequence[str]
    rule: str
    within: timedelta

    def facts(self) -> dict[str, object]:
        """The same as parameters of a statement."""
        return {
            "loop_id": self.loop_ids[0],
            "loop_ids": list(self.loop_ids),
            "rule": self.rule,
            "within": self.within,
            "again": AGAIN,
            "late": LATE,
            "few": FEW,
        }


class Look:
    """One look for goals; ``since`` is None where there is nobody to look for, ``now`` the ledger's time."""

    def __init__(self, ledger: Ledger, cur: Cursor, facts: dict[str, object]) -> None:
        self._ledger, self._cur, self._facts = ledger, cur, facts
        cur.execute(ledger.sql("goals", "look"), facts)
        row = one(cur)
        facts |= {**row, "rows": 0}
        self.since: datetime | None = row["since"]
        self.now: datetime = row["now"]

    @contextmanager
    def rows(self) -> Iterator[psycopg.Copy]:
        """Take person keys and times in PostgreSQL's COPY text format."""
        self._cur.execute(self._ledger.sql("goals", "reached_table"))
        try:
            with self._cur.copy(self._ledger.sql("goals", "reached_copy")) as copy:
                yield copy
        except psycopg.Error as error:  # here, or the source that is being read meanwhile would seem to have failed
            raise self._ledger.refused(error) from None
        self._facts["rows"] = self._cur.rowcount

    def record(self) -> int:
        """Keep the first of them in each window. Returns how many deliveries have reached the goal since."""
        self._cur.execute("ANALYZE reached")
        self._cur.execute(self._ledger.sql("goals", "record"), self._facts)
        return self._cur.rowcount

    def done(self) -> None:
        """Note until when goals are known. The caller's transaction makes it final."""
        self._cur.execute(self._ledger.sql("goals", "looked"), self._facts)


@contextmanager
def looking(ledger: Ledger, measure: Measure) -> Iterator[Look | None]:
    """One transaction in which nobody else looks for this loop's goals; None while somebody does."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("goals", "lock"), {"loop_id": measure.loop_ids[-1]})
        if not one(cur)["mine"]:
            yield None
            return
        cur.execute(ledger.sql("goals", "edited"), measure.facts())
        yield Look(ledger, cur, measure.facts())


def looked_at(ledger: Ledger, measure: Measure) -> datetime | None:
    """Until when the goals of this rule are known; None if nobody has looked for them yet."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("goals", "looked_at"), measure.facts())
        found: datetime | None = one(cur)["looked_at"]
    return found


def compare(
    ledger: Ledger, names: Names, measure: Measure, looked_at: datetime, holdout: float
) -> list[dict[str, Any]]:
    """Everybody whom live runs of a step assigned, each once, in groups: verdict, share, closed, people, converted.

    ``holdout`` stands for the share of runs that did not note theirs.
    """
    facts = {**measure.facts(), **names.facts(), "looked_at": looked_at, "holdout": holdout}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("goals", "compare"), facts)
        return cur.fetchall()
