"""What a run stages: its condition's rows as they are, or for an `after` step once for each entry that is due."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names


STAGED = "n, user_key, entry_key, address, timezone, locale, segment, consent, exited, goal_at, due, vars"
"""The columns of the statement `followed`."""


@dataclass(frozen=True, slots=True)
class Following:
    """Whose turn it is: entries of the step before whose mail is older than ``wait`` and not older than ``until``.

    ``after`` has the names of the step before, also earlier ones; ``claims_as`` and ``entry_prefix`` say whether its
    live or its redirected mail counts; ``as_of`` is the moment of the run. ``everybody``: the step has no condition
    of its own, and asks only for those who are due.
    """

    after: Names
    key_column: str
    claims_as: str
    entry_prefix: str
    as_of: datetime
    wait: timedelta
    until: timedelta
    everybody: bool = False

    def params(self) -> dict[str, object]:
        """The values that the statement `due` names."""
        return {
            "after_loops": list(self.after.loop_ids),
            "after_steps": list(self.after.step_ids),
            "key_column": self.key_column,
            "claims_as": self.claims_as,
            "entry_prefix": self.entry_prefix,
            "as_of": self.as_of,
            "wait": self.wait,
            "until": self.until,
        }

    def candidates(self, known: Callable[[str, str], str], asked: str, due: str) -> str:
        """The SELECT of the step's candidates over the relations of its rows and of the due entries; ``known`` gives
        the ledger's statements."""
        text = known("journeys", "followed").replace("/* asked */", asked).replace("/* due */", due)
        return text.replace("/* or */", "INNER" if self.everybody else "LEFT")


class Filling:
    """A stage table that takes its rows as they come."""

    def __init__(self, ledger: Ledger, cur: Cursor, table: sql.Identifier) -> None:
        self._ledger, self._cur, self._table = ledger, cur, table
        self._into, self._copied = table, 0

    @contextmanager
    def rows(self, names: Sequence[str]) -> Iterator[psycopg.Copy]:
        """Take rows, columns ``names``, in PostgreSQL's COPY text format. Raises LedgerError."""
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        try:
            with self._cur.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(self._into, columns)) as copy:
                yield copy
        except psycopg.Error as error:  # here, or the source that is being read meanwhile would seem to have failed
            raise self._ledger.refused(error) from None
        self._copied += self._cur.rowcount

    def people(self, most: int) -> Iterator[list[str] | None]:  # noqa: ARG002 - as below
        """Whom to ask for, ``most`` at a time; None: everybody at once. Raises LedgerError."""
        yield None

    def finish(self) -> int:
        """Leave the table as it is to be judged. Returns its number of rows."""
        return self._copied


class Followed(Filling):
    """A stage table that takes its condition's rows once for each entry that is due."""

    def __init__(self, ledger: Ledger, cur: Cursor, table: sql.Identifier, following: Following) -> None:
        super().__init__(ledger, cur, table)
        self._following = following
        self._into = sql.Identifier("pg_temp", "asked")
        due = ledger.sql("journeys", "due")
        cur.execute(f"CREATE TEMP TABLE due ON COMMIT DROP AS\n{due}", following.params())
        like = sql.Identifier(ledger.schema, "stage")
        cur.execute(sql.SQL("CREATE TEMP TABLE asked (LIKE {}) ON COMMIT DROP").format(like))
        cur.execute("ANALYZE pg_temp.due")

    def people(self, most: int) -> Iterator[list[str] | None]:
        if not self._following.everybody:
            yield None
            return
        after = ""
        while True:
            try:
                self._cur.execute(self._ledger.sql("journeys", "due_keys"), {"after": after, "most": most})
                found = [row["user_key"] for row in self._cur.fetchall()]
            except psycopg.Error as error:
                raise self._ledger.refused(error) from None
            if not found:
                return
            yield found
            after = found[-1]

    def finish(self) -> int:
        self._cur.execute("ANALYZE pg_temp.asked")
        rows = self._following.candidates(self._ledger.sql, "pg_temp.asked", "pg_temp.due")
        self._cur.execute(sql.SQL("INSERT INTO {} (" + STAGED + ")\n" + rows).format(self._table))
        return self._cur.rowcount
