"""The action's `personalization`: values, and Jinja expressions over the person's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from skene_airflow.errors import MissingVariable
from skene_airflow.message.environment import Expression, Program, sandbox
from skene_airflow.message.printing import Missing
from skene_airflow.message.tags import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.message.blueprint import Scalar


def expression_in(value: str) -> str | None:
    """Return the expression if the text is exactly one ``{{ expression }}``."""
    pieces = split(value.strip())
    return pieces[0].text.strip() if len(pieces) == 1 and pieces[0].kind == "print" else None


def column_in(expression: str) -> str | None:
    """Return the column if the expression is nothing but ``user.column``."""
    tree = sandbox(escape=False).parse("{{ " + expression + " }}")
    output = tree.body[0] if tree.body else None
    if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
        return None
    match output.nodes[0]:
        case nodes.Getattr(node=nodes.Name(name="user"), attr=str() as column):
            return column
    return None


class Personal:
    """The keys of `personalization` that a blueprint uses, compiled; what is missing is told only when printed."""

    def __init__(self, personalization: Mapping[str, Scalar], used: frozenset[str]) -> None:
        self._fixed: dict[str, Any] = {}
        self._columns: list[tuple[str, str]] = []
        self._computed: list[tuple[str, Expression | Program]] = []
        for key, value in personalization.items():
            if key in used:
                self._add(key, value)

    def _add(self, key: str, value: Scalar) -> None:
        if not isinstance(value, str):
            self._fixed[key] = Missing(name=key) if value is None else value
            return
        expression = expression_in(value)
        column = column_in(expression) if expression is not None else None
        if column is not None:
            self._columns.append((key, column))
        elif expression is not None:
            self._computed.append((key, Expression(expression)))
        elif "{" in value:
            self._computed.append((key, Program(value, escape=False)))
        else:
            self._fixed[key] = value

    def fill(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values of one person. What is missing becomes Missing: it may not be printed at all."""
        found = dict(self._fixed)
        user = values["user"]
        for key, column in self._columns:
            found[key] = user[column]
        for key, program in self._computed:
            try:
                value = program.run(values)
            except MissingVariable as error:
                value = Missing(name=error.name)
            found[key] = Missing(name=key) if value is None else value
        return found
