"""The claim: judge, claim, cut batches, record and count in one transaction under the step's lock."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from skene_airflow.ledger.runs import Run, as_run, one
from skene_airflow.nouns import Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.ledger.ledger import Cursor, Ledger

MAX_SHARDS = 4
"""Mapped `send` tasks of one run: two to four saturate a provider; more gain nothing."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a claim is cut into provider calls."""

    provider: str
    batch_size: int
    marks: bool = False
    """Whether `on_sent` is owed for each settled batch."""


class Claim:
    """A run that is about to be judged, with the step's lock held."""

    def __init__(self, ledger: Ledger, cur: Cursor, run: Run) -> None:
        self._ledger, self.cur, self.run = ledger, cur, run

    def commit(self, decision: str, params: Mapping[str, object], cut: Cut | None) -> Run:
        """Record what ``decision`` (a SELECT of judged candidates) says; with ``cut``, claim the audience."""
        shape = self._ledger.sql("decide", "claim" if cut else "shadow").replace("/* decision */", decision)
        run = self.run
        facts: dict[str, object] = {
            **params,
            "run_no": run.run_no,
            "loop_id": run.loop_id,
            "step_id": run.step_id,
            "mode": run.mode,
            "template_no": run.template_no,
            "expires_at": run.expires_at,
            "shards": MAX_SHARDS,
            "provider": cut.provider if cut else None,
            "batch_size": cut.batch_size if cut else None,
            "marks": bool(cut and cut.marks and run.mode is Mode.LIVE),
        }
        # Both sorts of a large audience fit in memory that the default of 4 MB would spill.
        self.cur.execute("SET LOCAL work_mem = '64MB'")
        self.cur.execute(shape + "\n" + self._ledger.sql("decide", "record"), facts)
        counted = self.cur.fetchall()
        self.cur.execute(
            self._ledger.sql("runs", "decided"),
            {
                "run_no": run.run_no,
                "candidates": sum(row["rows"] for row in counted),
                "verdicts": Jsonb(_tally(counted)),
            },
        )
        decided = as_run(one(self.cur))
        self.cur.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(self._ledger.schema, run.stage_table)))
        return decided


def _tally(rows: list[dict[str, Any]]) -> dict[str, Any]:
    skips = {row["reason"]: row["rows"] for row in rows if row["verdict"] == Verdict.SKIP}
    counts = {row["verdict"]: row["rows"] for row in rows if row["verdict"] != Verdict.SKIP}
    return {Verdict.SEND: 0, Verdict.HOLD_OUT: 0, **counts, Verdict.SKIP: dict(sorted(skips.items()))}


@contextmanager
def claiming(ledger: Ledger, run: Run) -> Iterator[Claim]:
    """Take the step's lock and read the run again: a copy of the task that came first may have decided it."""
    key = {"loop_id": run.loop_id, "step_id": run.step_id, "run_id": run.run_id}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "step_lock"), key)
        cur.execute(ledger.sql("runs", "get_locked"), key)
        yield Claim(ledger, cur, as_run(one(cur)))


def open_shards(ledger: Ledger, run: Run) -> list[int]:
    """The shard numbers `send` is mapped over: none if nothing of the step and mode is open."""
    if run.mode is Mode.SHADOW:
        return []
    facts = {"loop_id": run.loop_id, "step_id": run.step_id, "mode": run.mode}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("batches", "open_batches"), facts)
        return list(range(min(MAX_SHARDS, int(one(cur)["batches"]))))
