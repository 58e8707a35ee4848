"""A GraphQL document of a condition, read without an endpoint: which list it asks for, its columns, its next page."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLError, language, print_ast
from graphql.language import ast

from skene_airflow.loop import codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

AS_OF: Final = "as_of"
"""The variable that is the moment the run is for, if the document declares it."""
LIMIT, AFTER = "skene_limit", "skene_after"
_OURS: Final = (LIMIT, AFTER)
_PAGED: Final = ("offset", "order_by", "distinct_on")
_LONGEST: Final = 100_000
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, at which character of the document; ``at`` is None for what is wrong with its path."""

    at: int | None
    message: str
    suggestion: str
    code: str = codes.GRAPHQL_SHAPE


class GraphqlRefused(Exception):
    """The document cannot be used."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Document:
    """A good document. ``path`` are the response keys down to the list; ``names`` the fields' own names on the way.

    ``columns`` maps each column (response key) to the name of its field and whether it is a list or map of its own.
    """

    tree: Any
    path: tuple[str, ...]
    names: tuple[str, ...]
    columns: Mapping[str, tuple[str, bool]]
    variables: Mapping[str, bool]
    """The variables that are declared, and whether each has to be given."""

    def page(self, key: str, kind: str | None) -> str:
        """The document for the first page, or with the ``kind`` of the key for those behind a key; in its order."""
        name = self.columns[key][0]
        tree = _parsed(print_ast(self.tree))
        operation = _operation(tree)
        variables = [_declared(LIMIT, "Int!")] + ([_declared(AFTER, f"{kind}!")] if kind else [])
        operation.variable_definitions = (*(operation.variable_definitions or ()), *variables)
        field = _fields_of(tree, operation, self.path)[-1]
        arguments = {argument.name.value: argument.value for argument in field.arguments}
        arguments["limit"] = _value(f"${LIMIT}")
        arguments["order_by"] = _value(f"{{{name}: asc}}")
        if kind:
            behind = f"{{{name}: {{_gt: ${AFTER}}}}}"
            where = arguments.get("where")
            arguments["where"] = _value(f"{{_and: [{print_ast(where)}, {behind}]}}" if where is not None else behind)
        field.arguments = tuple(
            ast.ArgumentNode(name=ast.NameNode(value=each), value=value) for each, value in arguments.items()
        )
        return print_ast(tree)

    def most(self, variables: Mapping[str, Any]) -> int | None:
        """The `limit` that the document itself sets; None if it sets none."""
        field = _fields_of(self.tree, _operation(self.tree), self.path)[-1]
        for argument in field.arguments:
            if argument.name.value == "limit":
                if isinstance(argument.value, ast.IntValueNode):
                    return int(argument.value.value)
                value = (
                    variables.get(argument.value.name.value) if isinstance(argument.value, ast.VariableNode) else None
                )
                return value if isinstance(value, int) else None
        return None


@lru_cache(maxsize=256)
def read(text: str, path: str | None) -> Document:
    """The document, if it can be used. Raises GraphqlRefused."""
    if len(text) > _LONGEST:
        raise GraphqlRefused(Problem(0, f"the document has more than {_LONGEST:,} characters", "make it shorter"))
    tree = _parsed(text)
    operation = _operation(tree)
    keys = _path(path, operation)
    fields = _fields_of(tree, operation, keys)
    for argument in fields[-1].arguments:
        if argument.name.value in _PAGED:
            what = f"the list has the argument '{argument.name.value}', and pages are made with it"
            hint = "leave it out: rows come in the order of the person's key"
            raise GraphqlRefused(Problem(argument.loc.start if argument.loc else 0, what, hint))
    if fields[-1].selection_set is None:
        what = f"'{keys[-1]}' has no fields"
        raise GraphqlRefused(Problem(_start(fields[-1]), what, "write which: { id email }"))
    columns = {
        _key(each): (each.name.value, each.selection_set is not None)
        for each in _selected(tree, fields[-1].selection_set)
    }
    variables = {
        each.variable.name.value: isinstance(each.type, ast.NonNullTypeNode) and each.default_value is None
        for each in operation.variable_definitions or ()
    }
    for name in _OURS:
        if name in variables:
            raise GraphqlRefused(Problem(0, f"the variable '${name}' is ours", "give it another name"))
    return Document(tree, keys, tuple(each.name.value for each in fields), columns, variables)


def faults(text: str, path: str | None, variables: Iterable[str], wanted: Sequence[str]) -> Iterator[Problem]:
    """Everything wrong with a document, its path, the names of its variables, and the columns that are wanted of it."""
    try:
        document = read(text, path)
    except GraphqlRefused as refused:
        yield refused.problem
        return
    given = set(variables)
    for name, needed in document.variables.items():
        if needed and name not in given and name != AS_OF:
            hint = f"write it below `variables`: {name}: …"
            yield Problem(0, f"the variable '${name}' has no value", hint, codes.GRAPHQL_VARIABLE)
    for name in sorted(given - set(document.variables)):
        what = f"the document declares no variable '${name}'"
        hint = _near(name, document.variables) or "declare it, or leave it out"
        yield Problem(None, what, hint, codes.GRAPHQL_VARIABLE)
    for name in wanted:
        if name not in document.columns:
            hint = _near(name, document.columns) or f"ask for it: add '{name}' to the fields of '{document.path[-1]}'"
            yield Problem(0, f"the query returns no column '{name}'", hint, codes.SQL_COLUMN)


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean '{found[0]}'?" if found else ""


def _parsed(text: str) -> Any:
    try:
        return language.parse(text, max_tokens=20_000)
    except GraphQLError as error:
        at = next(iter(error.positions or ()), 0)
        what = error.message.removeprefix("Syntax Error: ").rstrip(".")
        problem = Problem(at, f"this is not GraphQL: {what}", "mend it", codes.GRAPHQL_SYNTAX)
        raise GraphqlRefused(problem) from None
    except RecursionError:
        raise GraphqlRefused(Problem(0, "the document is nested too deeply", "make it simpler")) from None


def _operation(tree: Any) -> Any:
    found = [each for each in tree.definitions if isinstance(each, ast.OperationDefinitionNode)]
    strange = [
        each
        for each in tree.definitions
        if not isinstance(each, (ast.OperationDefinitionNode, ast.FragmentDefinitionNode))
    ]
    if strange:
        raise GraphqlRefused(
            Problem(_start(strange[0]), "a condition is one query and its fragments", "delete the rest")
        )
    if len(found) != 1:
        at = _start(found[1]) if len(found) > 1 else 0
        raise GraphqlRefused(Problem(at, f"a condition is one query, and here are {len(found)}", "write one"))
    if found[0].operation != ast.OperationType.QUERY:
        what = f"this is a {found[0].operation.value}; a condition only reads"
        raise GraphqlRefused(Problem(_start(found[0]), what, "write `query { … }`"))
    return found[0]


def _path(path: str | None, operation: Any) -> tuple[str, ...]:
    """The response keys down to the list; `data` is where every answer begins, and may be left out."""
    if path is None:
        fields = [each for each in operation.selection_set.selections if isinstance(each, ast.FieldNode)]
        if len(fields) != 1 or len(operation.selection_set.selections) != 1:
            what = "the query asks for several things"
            raise GraphqlRefused(Problem(None, what, "say which are the people: `path: users`"))
        return (_key(fields[0]),)
    parts = path.strip().removeprefix("$.").split(".")
    parts = parts[1:] if parts[0] == "data" and len(parts) > 1 else parts
    if not all(_NAME.fullmatch(part) for part in parts):
        raise GraphqlRefused(Problem(None, f"'{path}' is no path", "write names with dots between, such as data.users"))
    return tuple(parts)


def _fields_of(tree: Any, operation: Any, path: Sequence[str]) -> list[Any]:
    """The fields along a path."""
    found, selection = [], operation.selection_set
    for part in path:
        inside = {_key(each): each for each in _selected(tree, selection)} if selection is not None else {}
        if part not in inside:
            known = ", ".join(inside) or "nothing"
            hint = _near(part, inside) or f"there: {known}"
            raise GraphqlRefused(Problem(None, f"the query asks for no '{part}' there", hint))
        found.append(inside[part])
        selection = inside[part].selection_set
    return found


def _selected(tree: Any, selection: Any, seen: frozenset[str] = frozenset()) -> Iterator[Any]:
    """The fields of a selection, those of its fragments among them."""
    fragments = {each.name.value: each for each in tree.definitions if isinstance(each, ast.FragmentDefinitionNode)}
    for each in selection.selections:
        if isinstance(each, ast.FieldNode):
            yield each
        elif isinstance(each, ast.InlineFragmentNode):
            yield from _selected(tree, each.selection_set, seen)
        elif each.name.value not in fragments:
            what = f"there is no fragment '{each.name.value}'"
            raise GraphqlRefused(Problem(_start(each), what, _near(each.name.value, fragments) or "write it"))
        elif each.name.value in seen:
            raise GraphqlRefused(Problem(_start(each), "a fragment that holds itself", "take one of the two out"))
        else:
            yield from _selected(tree, fragments[each.name.value].selection_set, seen | {each.name.value})


def _key(field: Any) -> str:
    return str(field.alias.value if field.alias else field.name.value)


def _start(node: Any) -> int:
    return node.loc.start if node.loc else 0


def _declared(name: str, kind: str) -> Any:
    return ast.VariableDefinitionNode(
        variable=ast.VariableNode(name=ast.NameNode(value=name)), type=language.parse_type(kind), directives=()
    )


def _value(text: str) -> Any:
    return language.parse_value(text)
