"""The GraphQL of a loop, checked where it stands, without an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.loop.faults import node_fault
from skene_airflow.loop.nodes import path_text
from skene_airflow.loop.sql_checks import wanted_columns
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Loc, Node


def check_graphql(root: Node) -> Iterator[Fault]:
    """The faults of every GraphQL condition."""
    for index, step in enumerate((root.get("steps") or root).items()):
        kind = step.get("condition", "type")
        if kind is not None and kind.value == "graphql":
            yield from _faults(root, step, index)


def _faults(root: Node, step: Node, index: int) -> Iterator[Fault]:
    from skene_airflow.loop.graphql import faults  # it imports a parser that few loops need

    loc: Loc = ("steps", index, "condition", "query")
    query, path = step.get("condition", "query"), step.get("condition", "path")
    text = query.text() if query is not None else None
    if query is None or text is None:
        return
    given = step.get("condition", "variables")
    names = list(given.value) if given is not None and isinstance(given.value, dict) else []
    columns = [name for name, _ in wanted_columns(root, step)]
    for problem in faults(text, path.text() if path is not None else None, names, columns):
        if problem.at is None:
            where = (*loc[:-1], "path" if path is not None else "query")
            yield node_fault(root, where, problem.code, problem.message, problem.suggestion)
            continue
        line, column = query.place(problem.at)
        yield Fault(query.source.file, line, column, path_text(loc), problem.code, problem.message, problem.suggestion)
