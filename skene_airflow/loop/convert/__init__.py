"""A `skene.config.ts` as a loop's YAML. The file is read as data with a real parser; nothing in it is ever run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from skene_airflow.errors import LoopError
from skene_airflow.loop import codes
from skene_airflow.loop.checks import check
from skene_airflow.loop.convert.dedent import dedent_sql
from skene_airflow.loop.convert.literals import Literal, read_literal
from skene_airflow.loop.convert.module import find_loop
from skene_airflow.loop.faults import translate
from skene_airflow.loop.nodes import Entry, Node, Source
from skene_airflow.loop.schema import LoopFile
from skene_airflow.loop.source import parse
from skene_airflow.loop.yaml_text import Out, dump

if TYPE_CHECKING:
    from skene_airflow.nouns import Fault

_SQL_KEYS: Final = frozenset(("query", "condition", "exit", "when", "on_sent"))


@dataclass(frozen=True, slots=True)
class Converted:
    """The YAML, and what the loop language has against it, at the places of the TypeScript file."""

    yaml: str
    faults: tuple[Fault, ...]


def convert(text: str, file: str) -> Converted:
    """The loop in the text of a TypeScript, JavaScript or JSON file; ``file`` is its name as shown to people.

    Raises LoopError if it holds no loop as plain data, or one of the shapes that loops refuse.
    """
    source = Source(file, text)
    found = find_loop(text.removeprefix("\ufeff"), file)
    literal = read_literal(found.value, found.page, found.above)
    tree = _node(literal, source)
    faults = _faults(tree)
    refused = [fault for fault in faults if fault.code == codes.REFUSED_SHAPE]
    if refused:
        raise LoopError(refused, file)
    written = dump(_out(literal))
    # What is printed must be what was read, whatever quotes and line ends the file has.
    again = parse(written.encode(), file)
    if again.faults or again.root is None or again.root.plain() != _node(_dedented(literal), source).plain():
        raise LoopError(again.faults, file)
    return Converted(written, tuple(sorted(faults)))


def _faults(tree: Node) -> list[Fault]:
    faults = list(check(tree))
    try:
        LoopFile.model_validate(tree.plain())
    except ValidationError as error:
        return [*translate(error.errors(include_url=False), tree), *faults]
    return faults


def _node(literal: Literal, source: Source) -> Node:
    """The literal as the tree that the language's own checks read; places are those of the file."""
    value = literal.value
    if isinstance(value, dict):
        entries = {key: Entry(source, item.line, item.column, _node(item, source)) for key, item in value.items()}
        return Node(source, literal.value_line, literal.value_column, entries)
    if isinstance(value, list):
        return Node(source, literal.value_line, literal.value_column, [_node(item, source) for item in value])
    # Quotes and escapes are the file's own: a place inside the text cannot be told.
    return Node(source, literal.value_line, literal.value_column, value, ">")


def _dedented(literal: Literal, key: str = "") -> Literal:
    value = literal.value
    if isinstance(value, dict):
        return literal.holding({name: _dedented(item, name) for name, item in value.items()})
    if isinstance(value, list):
        return literal.holding([_dedented(item, key) for item in value])
    if isinstance(value, str) and key in _SQL_KEYS:
        return literal.holding(dedent_sql(value))
    return literal


def _out(literal: Literal) -> Out:
    return _written(_dedented(literal))


def _written(literal: Literal) -> Out:
    value = literal.value
    out = Out(None, list(literal.above), literal.beside, list(literal.tail))
    if isinstance(value, dict):
        out.value = {key: _written(item) for key, item in value.items()}
    elif isinstance(value, list):
        out.value = [_written(item) for item in value]
    else:
        out.value = value
    return out
