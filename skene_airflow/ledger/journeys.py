"""What a run stages: its condition's rows as they are, or for an `after` step once for each entry that is due."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger


@dataclass(frozen=True, slots=True)
class Following:
    """Whose turn it is: entries of the step before whose mail is older than ``wait`` and not older than ``until``.

    ``loop_ids`` and ``step_ids`` are the names of the step before, also earlier ones; ``claims_as`` and
    ``entry_prefix`` say whether its live or its redirected mail counts; ``as_of`` is the moment of the run.
    """

    loop_ids: Sequence[str]
    step_ids: Sequence[str]
    key_column: str
    claims_as: str
    entry_prefix: str
    as_of: datetime
    wait: timedelta
    until: timedelta

    def params(self) -> dict[str, object]:
        """The values that the statement `due` names."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "loop_ids": list(self.loop_ids),
            "step_ids": list(self.step_ids),
        }


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

    def finish(self) -> int:
        """Leave the table as it is to be judged. Returns its number of rows."""
        return self._copied


class Followed(Filling):
    """A stage table that takes its condition's rows once for each entry that is due."""

    def __init__(self, ledger: Ledger, cur: Cursor, table: sql.Identifier, following: Following) -> None:
        super().__init__(ledger, cur, table)
        self._into = sql.Identifier("pg_temp", "asked")
        due = ledger.sql("journeys", "due")
        cur.execute(f"CREATE TEMP TABLE due ON COMMIT DROP AS\n{due}", following.params())
        like = sql.Identifier(ledger.schema, "stage")
        cur.execute(sql.SQL("CREATE TEMP TABLE asked (LIKE {}) ON COMMIT DROP").format(like))
        cur.execute("ANALYZE pg_temp.due")

    def keys(self, most: int) -> Iterator[list[str]]:
        """The people who are due, ``most`` at a time. Raises LedgerError."""
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
        rows = self._ledger.sql("journeys", "followed")
        rows = rows.replace("/* asked */", "pg_temp.asked").replace("/* due */", "pg_temp.due")
        names = "n, user_key, entry_key, address, timezone, locale, segment, consent, exited, goal_at, due, vars"
        self._cur.execute(sql.SQL("INSERT INTO {} (" + names + ")\n" + rows).format(self._table))
        return self._cur.rowcount
