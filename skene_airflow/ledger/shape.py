"""The ledger's tables as its migrations leave them, for a database that has none: the same statements over nobody."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pglast import ast, enums, parser
from pglast.stream import RawStream

from skene_airflow.ledger.migrate import migrations
from skene_airflow.ledger.statements import in_schema

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def tables() -> Mapping[str, Mapping[str, str]]:
    """The columns of every table and their types, read from the migrations themselves."""
    found: dict[str, dict[str, str]] = {}
    for migration in migrations():
        for statement in parser.parse_sql(in_schema(migration.sql, "skene")):
            _follow(statement.stmt, found)
    return found


def empty_tables(prefix: str) -> str:
    """CTEs without rows, one for each table, each called ``prefix`` and its name; with a comma behind the last."""
    return "".join(f"{prefix}{name} AS (SELECT {_nulls(columns)} WHERE false),\n" for name, columns in tables().items())


def _nulls(columns: Mapping[str, str]) -> str:
    return ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())


def _follow(statement: Any, found: dict[str, dict[str, str]]) -> None:
    kind = type(statement)
    if kind is ast.CreateStmt:
        made: list[Any] = [each for each in statement.tableElts or () if isinstance(each, ast.ColumnDef)]
        found[statement.relation.relname] = {column.colname: _type(column) for column in made}
    elif kind is ast.AlterTableStmt:
        for change in statement.cmds:
            if change.subtype == enums.AlterTableType.AT_AddColumn:
                found[statement.relation.relname][change.def_.colname] = _type(change.def_)
            elif change.subtype == enums.AlterTableType.AT_DropColumn:
                del found[statement.relation.relname][change.name]


def _type(column: Any) -> str:
    kind: str = RawStream()(column.typeName)
    return kind
