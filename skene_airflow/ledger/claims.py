"""The claim: judge, claim, cut batches, record and count in one transaction under the step's lock."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from skene_airflow.ledger.changes import TEMPORARY
from skene_airflow.ledger.memory import Memory
from skene_airflow.ledger.runs import as_run, one
from skene_airflow.nouns import Mode, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skene_airflow.ledger.ledger import Ledger
    from skene_airflow.ledger.runs import Names, Run

MAX_SHARDS = 4
"""Mapped `send` tasks of one run: two to four saturate a provider; more gain nothing."""
SAMPLES = 3
"""Mails that whoever is asked sees."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a claim is cut into provider calls."""

    provider: str
    batch_size: int
    marks: bool = False
    """Whether `on_sent` is owed for each settled batch."""


@dataclass(frozen=True, slots=True)
class Settling:
    """That the run took changes of rows. ``each_run``: every run is an entry, so nothing is asked twice."""

    each_run: bool


class Claim(Memory):
    """A run that is about to be judged, with the step's lock held."""

    def answered(self, decision: str) -> str:
        """The decision after an answer: whoever was not put to somebody stays out."""
        return self._filled("answered").replace("/* decision */", decision)

    def commit(
        self,
        decision: str,
        params: Mapping[str, object],
        cut: Cut | None,
        brakes: Mapping[str, int] | None = None,
        settling: Settling | None = None,
        ask_above: int | None = None,
    ) -> Run:
        """Record what ``decision`` (a SELECT of judged candidates) says; with ``cut``, claim the audience.

        If it would mail more people than ``ask_above``, that is put to somebody instead: the run is not decided yet.

        ``params`` are the decision's own; ``now``, ``loop_ids`` and ``held`` also tell whether the claim counts.
        ``brakes`` has how many people each of the decision's brakes lets pass. With ``settling``, changes whose
        people got a verdict for good are settled.
        """
        facts: dict[str, object] = {**params, **self._facts(cut), **self._settles(settling)}
        # Sorts and hashes of a large audience fit in memory that the default of 4 MB would spill.
        self.cur.execute("SET LOCAL work_mem = '64MB'")
        # The statements are long and run once: compiling them would cost more than it gains.
        self.cur.execute("SET LOCAL jit = off")
        self._judge(decision, facts)
        if ask_above is not None and self._people() > ask_above:
            return self._ask(ask_above)
        if settling and cut:
            self.cur.execute(self._filled("settle"), facts)
        self.cur.execute(self._filled("claim" if cut else "shadow") + "\n" + self._filled("record"), facts)
        counted = self.cur.fetchall()
        braked = sum(row["braked"] for row in counted)
        if braked:
            facts["held"] = Reason.HELD
        facts |= {
            "brakes": Jsonb(_held(braked, brakes or {})) if braked else None,
            "candidates": sum(row["rows"] for row in counted),
            "unknown_zones": sum(row["unknown_zones"] for row in counted),
            "verdicts": Jsonb(_tally(counted)),
            "claims": cut is not None,
        }
        self.cur.execute(self._ledger.sql("runs", "decided"), facts)
        decided = as_run(one(self.cur))
        self.cur.execute(self._filled("forget"))
        return decided

    def _people(self) -> int:
        self.cur.execute(self._filled("count"))
        return int(one(self.cur)["people"])

    def _ask(self, limit: int) -> Run:
        """Note what is decided now, and what somebody has to know to answer."""
        self.cur.execute(self._filled("may_ask"))
        self.cur.execute(self._filled("ask"))
        counted = self.cur.fetchall()
        self.cur.execute(self._filled("judge_again"))
        sends = [row for row in counted if row["verdict"] == Verdict.SEND]
        approval = {
            "people": sum(row["rows"] for row in sends),
            "limit": limit,
            "verdicts": _tally(counted),
            "segments": _sums(sends, "segment"),
            "variants": _sums(sends, "variant"),
            "samples": list(islice(_samples(sends), SAMPLES)),
        }
        self.cur.execute(self._ledger.sql("runs", "asked"), {"run_no": self.run.run_no, "approval": Jsonb(approval)})
        return as_run(one(self.cur))

    def _judge(self, decision: str, params: Mapping[str, object]) -> None:
        """Keep what the decision says in a table, with statistics: its values stand in the text, as a statement that
        makes a table takes no parameters."""
        text = self._filled("judge").replace("/* decision */", decision)
        self.cur.execute(psycopg.ClientCursor(self.cur.connection).mogrify(text, params))
        self.cur.execute(self._filled("analyze"))

    def _filled(self, name: str) -> str:
        text, run_no = self._ledger.sql("decide", name), self.run.run_no
        for table in ("stage", "judged"):
            text = text.replace(f"/* {table} */", f"{self._ledger.schema}.{table}_{run_no}")
        return text

    def _facts(self, cut: Cut | None) -> dict[str, object]:
        run = self.run
        return {
            "run_no": run.run_no,
            "loop_id": run.loop_id,
            "step_id": run.step_id,
            "mode": run.mode,
            "expires_at": run.expires_at,
            "shards": MAX_SHARDS,
            "provider": cut.provider if cut else None,
            "batch_size": cut.batch_size if cut else None,
            "marks": bool(cut and cut.marks and run.mode is Mode.LIVE),
        }

    def _settles(self, settling: Settling | None) -> dict[str, object]:
        return {
            "temporary": list(TEMPORARY),
            "person_columns": list(self.run.person_columns) if self.run.person_columns is not None else None,
            "each_run": settling.each_run if settling else False,
        }


def _held(people: int, brakes: Mapping[str, int]) -> dict[str, Any]:
    return {"people": people, "held": {name: most for name, most in brakes.items() if people > most}}


def _sums(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for row in rows:
        if row[name] is not None:
            sums[row[name]] += row["rows"]
    return dict(sums)


def _samples(sends: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows to make samples of: one of each segment and variant, the largest first, before a second of any."""
    for place in range(SAMPLES):
        for row in sends:
            if place < len(row["some"]):
                yield {"n": row["some"][place], **{name: row[name] for name in ("segment", "variant", "template_no")}}


def _tally(rows: list[dict[str, Any]]) -> dict[str, Any]:
    skips = _sums([row for row in rows if row["verdict"] == Verdict.SKIP], "reason")
    counts = _sums([row for row in rows if row["verdict"] != Verdict.SKIP], "verdict")
    return {Verdict.SEND: 0, Verdict.HOLD_OUT: 0, **counts, Verdict.SKIP: dict(sorted(skips.items()))}


@contextmanager
def claiming(ledger: Ledger, run: Run, names: Names, *, capped: bool = False) -> Iterator[Claim]:
    """Take the step's lock and read the run again: a copy of the task that came first may have decided it.

    The lock is that of the step's oldest name, so that an old file still running somewhere waits as well. ``capped``
    loops take one lock over all loops before it.
    """
    key = {"loop_id": run.loop_id, "step_id": run.step_id, "run_id": run.run_id}
    with ledger.transaction() as cur:
        if capped:
            cur.execute(ledger.sql("runs", "cap_lock"))
        cur.execute(ledger.sql("runs", "step_lock"), {"loop_id": names.loop_ids[-1], "step_id": names.step_ids[-1]})
        cur.execute(ledger.sql("runs", "get_locked"), key)
        yield Claim(ledger, cur, as_run(one(cur)))


def open_shards(ledger: Ledger, run: Run, names: Names) -> list[int]:
    """The shard numbers `send` is mapped over: none if nothing of the step and mode is open."""
    if run.mode is Mode.SHADOW:
        return []
    facts = {**names.facts(), "mode": run.mode}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("batches", "open_batches"), facts)
        return list(range(min(MAX_SHARDS, int(one(cur)["batches"]))))
