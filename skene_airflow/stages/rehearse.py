"""A step's audience, judged as its next live run would judge it, in transactions that leave nothing behind.

The rows are staged in a temporary table of the ledger's session. Where the ledger takes none (a hot standby, a role
without the right), the same statement runs over the query itself, if both are one database.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from skene_airflow.audience.condition import asking, bare, check, describe, stream
from skene_airflow.audience.decision import decision
from skene_airflow.audience.staging import COLUMNS, entries
from skene_airflow.audience.staging import staging as staging_query
from skene_airflow.errors import LedgerError, QueryError, SkeneError
from skene_airflow.ledger import migrate
from skene_airflow.ledger.journeys import STAGED, Filling, Followed
from skene_airflow.ledger.ledger import exact
from skene_airflow.ledger.memory import Blank, Memory
from skene_airflow.ledger.runs import Run
from skene_airflow.ledger.shape import empty_tables
from skene_airflow.ledger.statements import statements
from skene_airflow.loop.sql_clock import asks_for_time, dated
from skene_airflow.message.contents import ALL
from skene_airflow.stages.candidates import fill, following_of, people_of
from skene_airflow.stages.evaluate import asked_of
from skene_airflow.stages.mode import read_conf, run_mode
from skene_airflow.stages.rules import edit_of, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from skene_airflow.audience.condition import Question
    from skene_airflow.audience.decision import Rules
    from skene_airflow.audience.text import Text
    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.journeys import Following
    from skene_airflow.ledger.ledger import Cursor
    from skene_airflow.nouns import Mode
    from skene_airflow.stages.evaluate import Asked
    from skene_airflow.stages.job import Job

DAY: Final = timedelta(days=1)
_STAGE: Final = "skene stage"
_BEFORE: Final = "skene before"
_ASKED: Final = "skene asked"
_DUE: Final = "skene due"
_NOBODY: Final = "no_ledger"
"""Stands for the schema where there is none; its tables are relations of the statement's own."""


def ledger_exists(ledger: Ledger) -> bool:
    """Whether the database has a ledger that this version can read. Raises LedgerError if that cannot be known."""
    try:
        with ledger.transaction() as cur:
            newest = migrate.applied(cur, ledger.schema)
    except LedgerError:
        raise
    except SkeneError as error:
        raise LedgerError(f"The ledger cannot be read: {error}") from None
    known = migrate.migrations()[-1].number
    if 0 < newest < known:
        words = f"The ledger is of an older version ({newest} of {known}): run `skene-airflow migrate`, then again."
        raise LedgerError(words)
    return newest > 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows stand: relations of ``cur``'s session, or of the statement itself (then ``parts`` has them)."""

    cur: Cursor
    stage: str
    before: str | None
    parts: str = ""
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One step, ready to be judged: its rules, and where its rows stand.

    ``edited`` is what was edited since people last entered; ``first_run``: nobody ever did. Templates have the numbers
    of ``asked.said``. ``yesterday`` says whether it is known who qualified a day earlier.
    """

    job: Job
    asked: Asked
    memory: Memory
    rules: Rules
    types: Mapping[str, str]
    edited: str | None
    first_run: bool
    schema: str
    place: Place

    @property
    def exists(self) -> bool:
        """Whether there is a ledger."""
        return self.schema != _NOBODY

    def ask(self, name: str, **params: object) -> list[dict[str, Any]]:
        """The rows of a statement of `plan.sql`, with the decision in it. Raises LedgerError and QueryError."""
        known, place = statements("plan", self.schema), self.place
        nobody = empty_tables(f"{_NOBODY}_") if self.schema == _NOBODY else ""
        text = known[name].replace("/* parts */", f"{nobody}/* theirs */")
        for mark, piece in {
            "/* decision */": decision(self.schema, place.stage, self.rules, explain=True),
            "/* fresh */": known["fresh"].removesuffix(";") if place.before else "NULL::bigint",
            "/* before */": place.before or "",
            "/* stage */": place.stage,
            f"{_NOBODY}.": f"{_NOBODY}_",  # relations of the statement's own have no schema
            "/* theirs */": place.parts,  # the user's text comes last, and stays as it is
        }.items():
            text = text.replace(mark, piece)
        place.cur.execute("SET LOCAL jit = off")
        place.cur.execute("SET LOCAL work_mem = '64MB'")
        try:
            place.cur.execute(text, {**place.params, **self.rules.params(), **params})
        except psycopg.errors.InsufficientPrivilege:
            raise LedgerError(
                "The ledger takes no temporary table, and the role of the query's connection may not read the schema"
                f" {self.job.ledger.schema}: grant it USAGE and SELECT there, or name another --ledger."
            ) from None
        return place.cur.fetchall()


@contextmanager
def rehearsing(job: Job, *, exists: bool, yesterday: bool = False, undue: bool = False) -> Iterator[Rehearsal]:
    """Stage what the step's query names now, for as long as the rehearsal lasts.

    ``exists``: whether there is a ledger. With ``yesterday`` the query is asked once more, as of a day earlier. With
    ``undue`` a step without a condition of its own judges everybody, and not only those whose turn it is. Raises
    QueryError, LoopError, LedgerError, and SkeneError where a database cannot be reached.
    """
    asked = asked_of(job)
    with job.ledger.transaction() as cur, closing(job.source()) as conn:
        # Whose turn it is to follow is not a matter of who qualified a day earlier.
        query = _described(conn, job, asked, yesterday=yesterday and not job.follows)
        following = following_of(job, _mode(job))
        if following is not None and undue:
            following = replace(following, everybody=False)
        with _placed(job, cur, conn, asked, query, following, exists=exists) as place:
            memory = (Memory if exists else Blank)(job.ledger, cur, _run(job, asked, query))
            yield Rehearsal(
                job=job,
                asked=asked,
                memory=memory,
                rules=rules_of(job, memory),
                types=query.types,
                edited=edit_of(job, memory),
                first_run=memory.last_claimed(job.names) is None,
                schema=job.ledger.schema if exists else _NOBODY,
                place=place,
            )


@dataclass(frozen=True, slots=True)
class _Query:
    """The staging statement with its columns, and the same as of a day earlier, reduced to keys, if it can be asked."""

    text: Text
    shape: Sequence[tuple[str, str]]
    types: Mapping[str, str]
    people: int | None
    earlier: tuple[Question, Text] | None


def _described(conn: psycopg.Connection[Any], job: Job, asked: Asked, *, yesterday: bool) -> _Query:
    question = asked.question
    with asking(conn, question):
        types = describe(conn, bare(conn, question), question)
        text = staging_query(conn, question, types, asked.wanted, ALL)
        found = check(conn, text, question)
        with conn.cursor() as cur:
            cur.execute("SELECT format_type(t, NULL) FROM unnest(%s::oid[]) AS t", [[oid for _, oid in found]])
            shape = list(zip(COLUMNS, (kind for (kind,) in cur.fetchall()), strict=True))
        people = people_of(conn, job, question)
    return _Query(text, shape, types, people, _earlier(conn, asked, types) if yesterday else None)


def _earlier(conn: psycopg.Connection[Any], asked: Asked, types: Mapping[str, str]) -> tuple[Question, Text] | None:
    """Keys of who qualified a day earlier by the rows as they are now; None where the query does not tell of time."""
    now = asked.question
    texts = [now.query, *(query for _, query in now.audiences)]
    then = [dated(text) for text in texts]
    if not any(map(asks_for_time, texts)) or None in then:
        return None
    query, *audiences = (text or "" for text in then)
    named = [(name, text) for (name, _), text in zip(now.audiences, audiences, strict=True)]
    question = replace(now, query=query, audiences=named, as_of=now.as_of - DAY)
    wanted = replace(asked.wanted, keep=(), segments=None, consent=None, leaves=None, goal=None)
    try:
        with asking(conn, question):
            text = entries(staging_query(conn, question, types, wanted, ALL))
            check(conn, text, question)
    except QueryError:  # it is an estimate; the plan does without
        return None
    return question, text


@contextmanager
def _placed(
    job: Job,
    cur: Cursor,
    conn: psycopg.Connection[Any],
    asked: Asked,
    query: _Query,
    following: Following | None,
    *,
    exists: bool,
) -> Iterator[Place]:
    if _made(cur, _STAGE, query.shape):
        table = sql.Identifier("pg_temp", _STAGE)
        known = following if exists else None
        filling = Filling(job.ledger, cur, table) if known is None else Followed(job.ledger, cur, table, known)
        # Without a ledger nobody is due, and a step without a condition of its own asks for nobody else.
        if known or following is None or not following.everybody:
            with asking(conn, asked.question):
                fill(filling, conn, asked, query.types)
        filling.finish()
        cur.execute(sql.SQL("ANALYZE {}").format(table))
        compared = query.earlier is not None and _copied_earlier(job, cur, conn, query)
        yield Place(cur, f'pg_temp."{_STAGE}"', f'pg_temp."{_BEFORE}"' if compared else None)
        return
    if _where(job, cur) != _where(job, conn.cursor(row_factory=dict_row)):
        raise LedgerError(
            "The ledger takes no temporary table (it is read-only, or the role lacks the right TEMPORARY), and the"
            " query is asked of another database: name a --ledger that takes one."
        )
    conn.rollback()
    exact(conn)
    parts = _cte(_STAGE if following is None else _ASKED, COLUMNS, query.text)
    if following is not None:
        due = job.ledger.sql("journeys", "due" if exists else "nobody_due")
        rows = following.candidates(job.ledger.sql, f'"{_ASKED}"', f'"{_DUE}"')
        parts += f'"{_DUE}" AS MATERIALIZED (\n{due}\n), "{_STAGE}" ({STAGED}) AS MATERIALIZED (\n{rows}\n), '
    if query.earlier:
        parts += _cte(_BEFORE, ("user_key", "entry_key"), query.earlier[1])
    with asking(conn, asked.question), conn.cursor(row_factory=dict_row) as own:
        params = following.params() if following else {}
        yield Place(own, f'"{_STAGE}"', f'"{_BEFORE}"' if query.earlier else None, parts, params)


def _made(cur: Cursor, name: str, shape: Sequence[tuple[str, str]]) -> bool:
    """Make a temporary table, if this session may."""
    columns = ", ".join(f"{column} {kind}" for column, kind in shape)
    try:
        with cur.connection.transaction():
            cur.execute(f'CREATE TEMPORARY TABLE "{name}" ({columns}) ON COMMIT DROP')
    except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege):
        return False
    return True


def _copied_earlier(job: Job, cur: Cursor, conn: psycopg.Connection[Any], query: _Query) -> bool:
    if query.earlier is None or not _made(cur, _BEFORE, [("user_key", "text"), ("entry_key", "text")]):
        return False
    question, text = query.earlier
    try:
        with cur.connection.transaction(), asking(conn, question):
            _copy(job, cur, conn, _BEFORE, text, question)
    except QueryError:  # it is an estimate; the plan does without
        return False
    return True


def _copy(job: Job, cur: Cursor, conn: psycopg.Connection[Any], name: str, text: Text, question: Question) -> None:
    try:
        with cur.copy(f'COPY pg_temp."{name}" FROM STDIN') as rows:
            for block in stream(conn, text, question):
                rows.write(block)
        cur.execute(f'ANALYZE pg_temp."{name}"')
    except psycopg.Error as error:  # here, or the query would be blamed for it
        raise job.ledger.refused(error) from None


def _cte(name: str, columns: Sequence[str], text: Text) -> str:
    doubled = str(text).replace("%", "%%")  # the statement around it has parameters
    return f'"{name}" ({", ".join(columns)}) AS MATERIALIZED (\n{doubled}\n), '


def _where(job: Job, cur: Cursor) -> dict[str, Any] | None:
    cur.execute(job.ledger.sql("plan", "same_database"))
    return cur.fetchone()


def _mode(job: Job) -> Mode:
    return run_mode(job.run.run_type, read_conf(job.run.conf), job.loop.mode, job.settings.max_mode)


def _run(job: Job, asked: Asked, query: _Query) -> Run:
    """The run as it would stand in the ledger between `evaluate` and `segment`."""
    loop, run, conf = job.loop, job.run, read_conf(job.run.conf)
    numbers = count()
    return Run(
        run_no=0,
        loop_id=loop.id,
        step_id=job.step.id,
        run_id=run.run_id,
        mode=_mode(job),
        as_of=run.as_of,
        expires_at=run.as_of + (conf.expires_after or loop.expires_after),
        contents=[arm.plain() for arm in asked.arms(lambda _: next(numbers))],
        columns={name: query.types[name] for name in (loop.user.key, *asked.keep)},
        candidates=None,
        duplicate_rows=None,
        verdicts=None,
        run_type=run.run_type,
        entry_rule=job.entry_rule,
        key_column=loop.user.key,
        unknown_zones=None,
        people=query.people,
        brakes=None,
        approval=None,
        staged=True,
        decided=False,
    )
