"""One piece of a loop's SQL, described by its database and never executed; what it says against it as a fault."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg

from skene_airflow.audience.changes import changes_of
from skene_airflow.audience.condition import Question, Refusal, asking, bare, literals, parsed, with_parts
from skene_airflow.audience.text import Text
from skene_airflow.errors import QueryError, SettingsError
from skene_airflow.loop.audiences import FOLDER
from skene_airflow.loop.schema import Loop, QueryCondition, Step
from skene_airflow.loop.sql import bind, bind_expression
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[psycopg.Connection[Any], Question], Text]

QUERY_REFUSED: Final = "SK251"
TWO_COLUMNS: Final = "SK252"
NO_PERSON: Final = "SK253"
NO_COLUMN: Final = "SK254"
WRONG_TYPE: Final = "SK255"

TITLES: Final[dict[str, str]] = {
    QUERY_REFUSED: "The database refuses the query",
    TWO_COLUMNS: "The query returns two columns of one name",
    NO_PERSON: "The query does not return the person's key or address",
    NO_COLUMN: "A column is read that the query does not return",
    WRONG_TYPE: "A query or column of the wrong type",
}

QUERY: Final = "the query"
"""What `Text` calls the piece of the user's that a description is about."""

BOOLEAN: Final = 16
"""PostgreSQL's number of the type."""

# The moment does not matter: nothing is executed. One that no query is likely to hold as text of its own.
_AS_OF: Final = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
_PATIENCE: Final = timedelta(minutes=1)


class Column(NamedTuple):
    """A column of a query: its name, and PostgreSQL's number of its type."""

    name: str
    kind: int


class RefusedError(Exception):
    """The database's answer to a description: its words speak of the SQL alone, since no row was read.

    ``audience`` is the named audience that is wrong, if it is not the user's own piece.
    """

    def __init__(self, message: str, hint: str, offset: int, audience: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.offset, self.audience = message, hint, offset, audience

    def fault(self, loop: Loop, path: str, what: str = "query") -> Fault:
        """The fault of the value at ``path``, or of the named audience's file."""
        if self.audience is not None:
            file = f"{loop.root.name}/{FOLDER}/{self.audience}.sql"
            before = dict(loop.audiences)[self.audience][: self.offset]
            line, column = before.count("\n") + 1, self.offset - (before.rfind("\n") + 1) + 1
            message = f"the database refuses the audience: {self.message}"
            return Fault(file, line, column, "", QUERY_REFUSED, message, self.hint)
        file, line, column = loop.place(path, self.offset)
        fault = loop.fault(path, QUERY_REFUSED, f"the database refuses the {what}: {self.message}", self.hint)
        return replace(fault, file=file, line=line, column=column)


def question_of(loop: Loop, query: str, step: Step | None = None) -> Question:
    """A query of the loop, with the zone and the patience of the step that asks it."""
    asked = loop.condition_of(step) if step is not None else None
    timeout = asked.timeout if isinstance(asked, QueryCondition) else _PATIENCE
    zone = loop.zone_of(step) if step is not None else None
    changes = changes_of(step) if step is not None else None
    return Question(query, _AS_OF, zone or "UTC", timeout, loop.audiences, changes=changes)


def describe(conn: psycopg.Connection[Any], question: Question) -> list[Column]:
    """The query's columns. Raises RefusedError or SettingsError."""
    return describe_in(conn, question, bare, question.query)


def kind_of(conn: psycopg.Connection[Any], question: Question, expression: str, *, ours: bool = False) -> int:
    """The type of an expression, the user's or ours, over the columns of the query.

    Raises RefusedError or SettingsError.
    """

    def build(conn: psycopg.Connection[Any], question: Question) -> Text:
        values = literals(conn, question)
        text = with_parts(Text(), question, values).ours("SELECT (\n")
        text = text.ours(expression) if ours else text.theirs(bind_expression(expression, values), QUERY)
        return text.ours("\n) FROM (\n").theirs(bind(question.query, values), "the condition").ours("\n) AS q")

    (found,) = describe_in(conn, question, build, expression)
    return found.kind


def describe_in(
    conn: psycopg.Connection[Any], question: Question, build: Build, written: str, *, skipped: int = 0
) -> list[Column]:
    """The columns of the statement that ``build`` makes around the user's ``written``, from ``skipped`` on.

    Raises RefusedError or SettingsError.
    """
    try:
        with asking(conn, question):
            text = build(conn, question)
            found = parsed(conn, text)
    except QueryError as error:
        raise SettingsError(f"the database cannot be asked: {error}") from None
    except psycopg.Error:
        raise SettingsError("the database cannot be asked: the connection broke; try again") from None
    if not isinstance(found, Refusal):
        return [Column(*column) for column in found]
    what, at = text.find(found.position) or (QUERY, -1)
    message = found.message or "no reason was given"
    for name, query in question.audiences:
        if what == f"the audience '{name}'":
            raise RefusedError(message, found.hint, _unbound(query, text.piece(what), at), name)
    is_theirs = what == QUERY and at >= 0
    offset = skipped + _unbound(written[skipped:], text.piece(what), at) if is_theirs else 0
    raise RefusedError(message, found.hint, offset)


def instead(name: str, columns: list[Column]) -> str:
    """What to write instead of a column that is not there."""
    names = sorted({column.name for column in columns})
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"it returns {', '.join(names) or 'nothing'}"


def _unbound(query: str, bound: str, at: int) -> int:
    """The place in the user's text of a character of the bound one, where `:as_of` has become a literal."""
    literal = f"'{_AS_OF.isoformat(sep=' ')}'::timestamptz"
    before = bound.count(literal, 0, max(at, 0))
    return min(max(at - before * (len(literal) - len(":as_of")), 0), len(query))
