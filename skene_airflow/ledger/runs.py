"""What a run is, what it staged and what it decided: each committed once, and kept whatever is retried or cleared."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from skene_airflow.ledger import changes
from skene_airflow.ledger.journeys import Filling, Followed
from skene_airflow.nouns import Mode, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from skene_airflow.ledger.journeys import Following
    from skene_airflow.ledger.ledger import Cursor, Ledger


@dataclass(frozen=True, slots=True)
class Names:
    """What a loop and a step are called, and were: today's name first, the oldest last."""

    loop_ids: Sequence[str]
    step_ids: Sequence[str]

    def facts(self) -> dict[str, object]:
        """The names as parameters of a statement."""
        return {"loop_ids": list(self.loop_ids), "step_ids": list(self.step_ids)}


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run says of itself before it stages its audience."""

    loop_id: str
    step_id: str
    run_id: str
    run_type: str
    mode: Mode
    as_of: datetime
    expires_at: datetime
    loop_version: str
    entry_rule: str = ""
    """What once is per, in words that change whenever keys do."""
    key_column: str = ""
    transactional: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A row of ``runs``: ``staged`` and ``decided`` say how far it came; counts are None until then."""

    run_no: int
    loop_id: str
    step_id: str
    run_id: str
    mode: Mode
    as_of: datetime
    expires_at: datetime
    contents: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str]
    candidates: int | None
    duplicate_rows: int | None
    verdicts: Mapping[str, Any] | None
    run_type: str
    entry_rule: str | None
    key_column: str | None
    unknown_zones: int | None
    people: int | None
    brakes: Mapping[str, Any] | None
    approval: Mapping[str, Any] | None
    staged: bool
    decided: bool
    person_columns: Sequence[str] | None = None

    @property
    def approved(self) -> bool | None:
        """What somebody said of the run; None if nobody was asked, or has answered yet."""
        said: bool | None = (self.approval or {}).get("approved")
        return said

    @property
    def stage_table(self) -> str:
        """The table that holds the run's rows between `evaluate` and `segment`."""
        return f"stage_{self.run_no}"

    def count(self, verdict: Verdict) -> int:
        """How many candidates got this verdict (skips: over all reasons)."""
        value = (self.verdicts or {}).get(verdict, 0)
        return sum(value.values()) if isinstance(value, dict) else int(value)


def as_run(row: Mapping[str, Any]) -> Run:
    names = (
        "run_no",
        "loop_id",
        "step_id",
        "run_id",
        "as_of",
        "expires_at",
        "contents",
        "columns",
        "candidates",
        "duplicate_rows",
        "verdicts",
        "run_type",
        "entry_rule",
        "key_column",
        "unknown_zones",
        "people",
        "brakes",
        "person_columns",
        "approval",
    )
    facts = {name: row[name] for name in names}
    return Run(
        mode=Mode(row["mode"]), staged=row["staged_at"] is not None, decided=row["decided_at"] is not None, **facts
    )


class Stage:
    """A run that is about to stage its audience, with its row locked until the transaction ends."""

    def __init__(self, ledger: Ledger, cur: Cursor, run: Run) -> None:
        self._ledger, self._cur, self.run = ledger, cur, run

    def changes(self, wanted: changes.Wanted, mode: Mode) -> Iterator[Any]:
        """Everything that is due, in COPY text format: this run's from now on, unless it is a shadow run."""
        run = self.run
        try:
            if mode is Mode.SHADOW:
                yield from changes.look_at(self._ledger, self._cur, wanted)
            else:
                changes.take(self._ledger, self._cur, wanted, run.loop_id, run.step_id, run.run_no)
                yield from changes.taken(self._ledger, self._cur, run.run_no)
        except psycopg.Error as error:  # here, or the source that they are for would seem to have failed
            raise self._ledger.refused(error) from None

    @contextmanager
    def filling(self, following: Following | None = None) -> Iterator[Filling]:
        """The run's own stage table, empty, while it is filled; for a step that follows another with ``following``."""
        table = sql.Identifier(self._ledger.schema, self.run.stage_table)
        like = sql.Identifier(self._ledger.schema, "stage")
        self._cur.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(table, like))
        made = Filling if following is None else partial(Followed, following=following)
        filling = made(self._ledger, self._cur, table)
        yield filling
        self.copied = filling.finish()
        self._cur.execute(sql.SQL("ANALYZE {}").format(table))

    def keep(self, sha256: str, content: str) -> int:
        """Keep a compiled template; the same text is kept once. Returns its number."""
        self._cur.execute(self._ledger.sql("runs", "keep_template"), {"sha256": sha256, "content": content})
        return int(one(self._cur)["template_no"])

    def commit(
        self,
        header: RunHeader,
        columns: Mapping[str, str],
        contents: Sequence[Mapping[str, Any]],
        people: int | None = None,
        person_columns: Sequence[str] | None = None,
    ) -> Run:
        """Note what was staged, and what each segment and variant says. The caller's transaction makes it final.

        ``people`` is the size of the table of people, where a brake needs it; ``person_columns`` are those of a
        changed table that hold a person's key.
        """
        facts = {
            "run_no": self.run.run_no,
            "rows": self.copied,
            "columns": Jsonb(dict(columns)),
            "contents": Jsonb(list(contents)),
            "mode": header.mode,
            "as_of": header.as_of,
            "expires_at": header.expires_at,
            "loop_version": header.loop_version,
            "entry_rule": header.entry_rule,
            "key_column": header.key_column,
            "transactional": header.transactional,
            "people": people,
            "person_columns": list(person_columns) if person_columns is not None else None,
        }
        self._cur.execute(self._ledger.sql("runs", "staged"), facts)
        return as_run(one(self._cur))


def one(cur: Cursor) -> dict[str, Any]:
    row = cur.fetchone()
    if row is None:  # every caller names a row that exists; without it the schema is not ours
        raise psycopg.DataError("a row of the ledger is gone")
    return row


@contextmanager
def staging(ledger: Ledger, header: RunHeader) -> Iterator[Stage]:
    """Lock the run's row (made if new): who comes second waits, and then finds ``run.staged``."""
    key = {name: getattr(header, name) for name in RunHeader.__dataclass_fields__}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "begin"), key)
        cur.execute(ledger.sql("runs", "get_locked"), key)
        yield Stage(ledger, cur, as_run(one(cur)))


def find(ledger: Ledger, loop_id: str, step_id: str, run_id: str) -> Run | None:
    """The run as the ledger knows it; None if its `evaluate` never began."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "get"), {"loop_id": loop_id, "step_id": step_id, "run_id": run_id})
        row = cur.fetchone()
    return as_run(row) if row else None


def template(cur: Cursor, ledger: Ledger, template_no: int) -> str:
    """The compiled template as it was when the audience was decided."""
    cur.execute(ledger.sql("runs", "template"), {"template_no": template_no})
    return str(one(cur)["content"])


def sample(ledger: Ledger, run: Run, n: int) -> dict[str, Any] | None:
    """A row of the stage by its number: timezone, locale, vars; None if it is gone."""
    stage = f"{ledger.schema}.{run.stage_table}"
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("decide", "sample").replace("/* stage */", stage), {"n": n})
        return cur.fetchone()


def address_key(cur: Cursor, ledger: Ledger) -> bytes:
    """The installation's own key for the HMAC of addresses; it never changes."""
    cur.execute(ledger.sql("runs", "address_key"))
    return bytes(one(cur)["value"])


def finish(ledger: Ledger, run: Run) -> dict[str, int]:
    """Note that the run is over; return how many of its rows stand in each status."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "finished"), {"run_no": run.run_no})
        return _statuses(ledger, cur, run)


def statuses(ledger: Ledger, run: Run) -> dict[str, int]:
    """How many of the run's rows stand in each status."""
    with ledger.transaction() as cur:
        return _statuses(ledger, cur, run)


def _statuses(ledger: Ledger, cur: Cursor, run: Run) -> dict[str, int]:
    cur.execute(ledger.sql("runs", "statuses"), {"run_no": run.run_no})
    return {str(k): int(v) for k, v in one(cur)["statuses"].items()}


def open_causes(ledger: Ledger, run: Run) -> dict[str, int]:
    """How many people of the run still wait, or are uncertain, after which answer of the provider."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("runs", "open_causes"), {"run_no": run.run_no})
        return {str(row["error_class"]): int(row["people"]) for row in cur.fetchall()}
