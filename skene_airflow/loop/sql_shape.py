"""What a user's SQL is about, read from its syntax tree: the relations it reads, the columns it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pglast import ast

from skene_airflow.loop import codes
from skene_airflow.loop.sql import (
    COMMENTS,
    SqlFault,
    bind_checked,
    check_statement,
    harms,
    kind_of,
    scan,
    statement_of,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SENT: Final = "sent"
_UPDATE: Final = "write UPDATE users u SET … FROM sent WHERE u.id = sent.id"


def relations(text: str) -> frozenset[str] | None:
    """The names without a schema that a good SELECT reads, its own CTEs left out; None for a text that is none."""
    statement = statement_of(text)
    return None if statement is None else _relations(statement)


def own_names(text: str) -> frozenset[str]:
    """The names that a good SELECT gives to CTEs of its own."""
    statement = statement_of(text)
    nodes = walk(statement) if statement is not None else ()
    return frozenset(str(node.ctename) for node in nodes if isinstance(node, ast.CommonTableExpr))


def columns(text: str) -> tuple[str, ...] | None:
    """The names of a good SELECT's columns, where every one of them is written in it; None where one is not."""
    statement = statement_of(text)
    while isinstance(statement, ast.SelectStmt) and statement.larg is not None:
        statement = statement.larg  # a UNION has the names of its first SELECT
    rows = getattr(statement, "valuesLists", None)
    if rows:  # VALUES (1), (2)
        return tuple(f"column{number}" for number in range(1, len(rows[0]) + 1))
    targets = getattr(statement, "targetList", None)
    if not targets:
        return None
    names = [_name(target) for target in targets]
    return None if None in names else tuple(name for name in names if name is not None)


def count_columns(text: str) -> int | None:
    """How many columns a good SELECT returns; None where that is not written in it."""
    targets = getattr(statement_of(text), "targetList", None)
    stars = any(isinstance(node, ast.A_Star) for target in targets or () for node in _fields(target))
    return None if not targets or stars else len(targets)


def check_update(text: str) -> list[SqlFault]:
    """Every reason why this text is not one UPDATE joined with relation ``sent``; an empty list if it is one."""
    return check_statement(text, _update_faults, "on_sent is one UPDATE; delete the rest")


def updated_table(text: str) -> str:
    """The table that a good UPDATE changes, with its schema if that is written."""
    found: list[Any] = []

    def note(statement: Any) -> Iterator[SqlFault]:
        found.append(statement.relation)
        yield from ()

    check_statement(text, note, "")
    return ".".join(part for part in (found[0].schemaname, found[0].relname) if part) if found else ""


def bind_update(text: str, literals: Mapping[str, str]) -> str:
    """The UPDATE with its parameters replaced by SQL literals. Raises ValueError for one that is refused."""
    return bind_checked(text, check_update(text), literals)


def behind_with(text: str) -> int:
    """Where one more CTE could stand first in a statement that begins with WITH; 0 in any other."""
    words = [token for token in scan(text) if token.name not in COMMENTS][:2]
    if not words or words[0].text.lower() != "with":
        return 0
    return words[-1].end if words[-1].text.lower() == "recursive" else words[0].end


def _name(target: Any) -> str | None:
    if target.name is not None:
        return str(target.name)
    fields = _fields(target)
    last = fields[-1] if fields else None
    return str(last.sval) if isinstance(last, ast.String) else None


def _fields(target: Any) -> tuple[Any, ...]:
    return tuple(target.val.fields or ()) if isinstance(target.val, ast.ColumnRef) else ()


def _relations(statement: ast.Node) -> frozenset[str]:
    nodes = list(walk(statement))
    own = {str(node.ctename) for node in nodes if isinstance(node, ast.CommonTableExpr)}
    read = {str(node.relname) for node in nodes if isinstance(node, ast.RangeVar) and node.schemaname is None}
    return frozenset(read - own)


def _update_faults(statement: ast.Node) -> Iterator[SqlFault]:
    if not isinstance(statement, ast.UpdateStmt):
        what = f"this is {kind_of(statement)}, not an UPDATE"
        yield SqlFault(0, what, _UPDATE, codes.SQL_NOT_UPDATE)
        return
    target: Any = statement.relation
    for part in (statement.targetList, statement.fromClause, statement.whereClause, statement.withClause):
        for node in part if isinstance(part, tuple) else (part,):
            yield from harms(node) if node is not None else ()
    if target.relname == SENT and target.schemaname is None:
        what = "'sent' holds who got the mail; it cannot be updated"
        yield SqlFault(target.location, what, _UPDATE, codes.SQL_NO_SENT)
    elif SENT not in _read_by(statement):
        yield SqlFault(0, "the UPDATE does not join 'sent', those who got the mail", _UPDATE, codes.SQL_NO_SENT)
    elif statement.whereClause is None:
        yield SqlFault(0, "an UPDATE without WHERE changes every row", _UPDATE, codes.SQL_NO_SENT)


def _read_by(statement: Any) -> frozenset[str]:
    parts = (*(statement.fromClause or ()), statement.whereClause, statement.withClause, *statement.targetList)
    return frozenset(name for part in parts if part is not None for name in _relations(part))
