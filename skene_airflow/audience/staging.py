"""The one execution of a condition: its rows as the stage's columns, with all that gates read of the query beside them.

Whatever reads the query's columns (segments, consent, what once is per, exit) is computed here, on the source and
in the columns' own types; the ledger sees text, booleans and times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from skene_airflow.audience.condition import Part, literals, with_parts
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError
from skene_airflow.loop.conditions import Bands
from skene_airflow.loop.sql import bind, bind_expression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from skene_airflow.audience.condition import Question
    from skene_airflow.loop.conditions import Segment
    from skene_airflow.loop.rules import Goal, UserColumns

COLUMNS = (
    "n",
    "user_key",
    "entry_key",
    "address",
    "timezone",
    "locale",
    "segment",
    "consent",
    "exited",
    "goal_at",
    "due",
    "vars",
)
"""The columns of a stage, in the order of the staging query."""

_LONGEST = 1_000
"""The longest entry key, in characters: an index row has room for about 2,700 bytes. A longer one is its hash."""

_ALIAS = {"character": "bpchar"}
"""Names of types that would be cut to one character."""

_VALUES = "(SELECT to_jsonb(v) FROM (SELECT {kept}) AS v)"
_EXITS = "SELECT DISTINCT x.{key}::text AS key FROM (\n"
_GOALS = "SELECT x.{key}::text AS key, max(x.at)::timestamptz AS at FROM (\n"
_IN_ZONE = frozenset(("tstzrange", "tstzmultirange", "timestamp with time zone[]"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a step wants to know of each row of its condition.

    ``keep`` are the columns that mails read, ``per`` those that once is per (``each_run``: the moment that the run is
    for, also where only `every` keeps entries apart), ``consent`` the column of consent, ``leaves`` the query of those
    who have left, ``goal`` what those who reached it leave by. Where the step ``follows`` another, nobody is due by
    its condition alone.
    """

    user: UserColumns
    addressed: bool = True
    """Whether each person needs an address."""
    keep: Sequence[str] = ()
    segments: Sequence[Segment] | Bands | None = None
    per: Sequence[str] = ()
    each_run: bool = False
    consent: str | None = None
    leaves: str | None = None
    goal: Goal | None = None
    follows: bool = False

    def columns(self) -> list[str]:
        """The columns that the condition must return."""
        by = getattr(self.segments, "by", None)
        named = [self.user.key, self.user.email if self.addressed else None, *self.keep, *self.per, self.consent, by]
        return [name for name in named if name is not None]


def staging(
    conn: psycopg.Connection[Any],
    question: Question,
    columns: Mapping[str, str],
    wanted: Wanted,
    everybody: str,
    people: Sequence[str] | None = None,
) -> Text:
    """The statement that stages ``question``, whose columns have these types; ``everybody`` names the one segment of
    a step without segments, ``people`` has the keys of those who are asked for (None: all). Raises QueryError for a
    column that is missing or of the wrong type."""
    _check(columns, wanted)
    values = literals(conn, question)
    text = with_parts(Text(), question, values, _parts(wanted)).ours("SELECT ")
    text.ours(",\n       ".join(_outer(conn, question, columns, wanted)))
    text.ours('\nFROM (\nSELECT row_number() OVER () AS "skene n", ')
    _segment(text, wanted, values, everybody)
    text.ours(' AS "skene segment", q.* FROM (\n').theirs(bind(question.query, values), "the query")
    text.ours("\n) AS q")
    if people is not None:
        keys, kind = sql.Literal(list(people)).as_string(conn), columns[wanted.user.key]
        text.ours(f"\nWHERE q.{_name(wanted.user.key)} = ANY ({keys}::text[]::{_ALIAS.get(kind, kind)}[])")
    text.ours("\n) AS q")
    for part in _parts(wanted):
        text.ours(f'\nLEFT JOIN "{part.name}" ON "{part.name}".key = q.{_name(wanted.user.key)}::text')
    return text


def person(staged: Text, key: str | None) -> sql.Composed:
    """One row of what ``staging`` returns, of one person or the first: key, address, time zone, locale, values."""
    whose = sql.SQL("WHERE user_key = {}").format(sql.Literal(key)) if key is not None else sql.SQL("")
    return sql.SQL(
        "SELECT user_key, address, timezone, locale, vars\nFROM (\n{rows}\n) AS s ({columns})\n"
        "{whose} ORDER BY n LIMIT 1"
    ).format(
        rows=sql.SQL(str(staged)),
        columns=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
        whose=whose,
    )


def entries(staged: Text) -> Text:
    """Of what ``staging`` returns, the keys of persons and entries alone."""
    text = Text().ours("SELECT user_key, entry_key FROM (\n").ours(str(staged))
    return text.ours(f"\n) AS s ({', '.join(COLUMNS)})")


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _check(columns: Mapping[str, str], wanted: Wanted) -> None:
    missing = [name for name in wanted.columns() if name not in columns]
    if missing:
        known = ", ".join(sorted(columns))
        raise QueryError(f"The condition does not return the column {missing[0]!r}; it returns: {known}.")
    if wanted.consent is not None and columns[wanted.consent] != "boolean":
        kind = columns[wanted.consent]
        raise QueryError(f"The column of `consent`, {wanted.consent!r}, is {kind} and not boolean; compare it with AS.")
    for name in wanted.per:
        if columns[name] in _IN_ZONE:
            raise QueryError(f"`entry.per` names {name!r} ({columns[name]}), whose text depends on the time zone.")


def _parts(wanted: Wanted) -> list[Part]:
    """Who has left, and who reached the goal, each person once."""
    key, found = _name(wanted.user.key), []
    if wanted.leaves is not None:
        found.append(Part("skene exits", "`exit`", _EXITS.replace("{key}", key), wanted.leaves, ") AS x"))
    if wanted.goal is not None:
        before = _GOALS.replace("{key}", key)
        found.append(Part("skene goals", "`goal`", before, wanted.goal.query, ") AS x GROUP BY 1"))
    return found


def _outer(conn: psycopg.Connection[Any], question: Question, columns: Mapping[str, str], wanted: Wanted) -> list[str]:
    user = wanted.user

    def column(name: str) -> str:
        return f"q.{_name(name)}::text" if name in columns else "NULL::text"

    kept = ", ".join(f"q.{_name(name)}" for name in wanted.keep)
    return [
        'q."skene n"',
        column(user.key),
        _entry_key(conn, question, columns, wanted),
        column(user.email),
        column(user.timezone),
        column(user.locale),
        'q."skene segment"',
        f"q.{_name(wanted.consent)} IS TRUE" if wanted.consent else "NULL::boolean",
        '"skene exits".key IS NOT NULL' if wanted.leaves is not None else "false",
        '"skene goals".at' if wanted.goal is not None else "NULL::timestamptz",
        "false" if wanted.follows else "true",
        _VALUES.replace("{kept}", kept) if kept else "'{}'::jsonb",
    ]


def _entry_key(conn: psycopg.Connection[Any], question: Question, columns: Mapping[str, str], wanted: Wanted) -> str:
    """UTC text of what once is per. A JSON array tells NULL from every text, and one column from two."""
    if wanted.each_run:
        return f"(({sql.Literal(question.as_of).as_string(conn)})::timestamptz AT TIME ZONE 'UTC')::text"
    if not wanted.per:
        return "''::text"
    texts = ", ".join(_utc(name, columns[name]) for name in sorted(wanted.per))
    key = f"jsonb_build_array({texts})::text"
    long = f"'sha256:' || encode(sha256(convert_to({key}, 'UTF8')), 'hex')"
    return f"CASE WHEN length({key}) > {_LONGEST} THEN {long} ELSE {key} END"


def _utc(name: str, kind: str) -> str:
    column = f"q.{_name(name)}"
    if kind == "timestamp with time zone":
        return f"({column} AT TIME ZONE 'UTC')::text"
    return f"trim_scale({column})::text" if kind == "numeric" else f"{column}::text"  # 5.0 and 5.00 are one value


def _segment(text: Text, wanted: Wanted, values: Mapping[str, str], everybody: str) -> None:
    """The name of the first segment that a row falls into, in sight of the query's columns alone."""
    segments = wanted.segments
    if segments is None:
        text.ours(f"'{everybody}'::text")
    elif isinstance(segments, Bands):
        _bands(text, segments, values["as_of"])
    else:
        text.ours("CASE")
        for segment in segments:
            text.ours(" WHEN (\n" if segment.when is not None else " WHEN true")
            if segment.when is not None:
                text.theirs(bind_expression(segment.when, values), f"the segment '{segment.name}'").ours("\n)")
            text.ours(f" THEN '{segment.name}'::text")
        text.ours(" END")


def _bands(text: Text, segments: Bands, as_of: str) -> None:
    text.ours("CASE WHEN false THEN NULL")
    for name, age in segments.bands.items():
        if age == "rest":
            text.ours(f" ELSE '{name}'::text")
        else:
            seconds = int(age.total_seconds())
            young = f"q.{_name(segments.by)} >= ({as_of})::timestamptz - make_interval(secs => {seconds})"
            text.ours(f" WHEN {young} THEN '{name}'::text")
    text.ours(" END")
