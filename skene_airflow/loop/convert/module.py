"""Where a config file holds its loop: what it exports by default, in any of the usual spellings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import tree_sitter_typescript
from tree_sitter import Language, Parser

from skene_airflow.errors import LoopError
from skene_airflow.loop.convert import fault_codes as codes
from skene_airflow.loop.convert.comments import words
from skene_airflow.loop.convert.literals import syntax_errors, unwrap
from skene_airflow.loop.convert.places import Page, text_of
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from tree_sitter import Node as Syntax

_MAKER: Final = re.compile(r"(?:\w+\.)?define[A-Z]\w*")
_JSON: Final = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*[\[{\"]", re.DOTALL)
_TOOLS: Final = re.compile(r"eslint|prettier|@ts-|<reference|#!")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_SHAPE: Final = "write `export default defineLoop({ … })`, `module.exports = { … }`, or plain JSON"


@dataclass(frozen=True, slots=True)
class Found:
    """The expression that is the loop, and the comments at the head of the file."""

    value: Syntax
    page: Page
    above: tuple[str, ...]


def find_loop(text: str, file: str) -> Found:
    """The loop that a config file exports. Raises LoopError if it has none, or does not parse."""
    # A bare object is a block to JavaScript; brackets make it a value.
    page = Page(file, f"(\n{text}\n)", 1) if _JSON.match(text) else Page(file, text)
    root = Parser(Language(tree_sitter_typescript.language_typescript())).parse(page.text.encode()).root_node
    if (wrong := next(syntax_errors(root), None)) is not None:
        raise LoopError([_syntax_fault(wrong, page)], page.file)
    statements = [node for node in root.named_children if node.type != "comment"]
    exported = [value for node in statements if (value := _exported(node)) is not None]
    if page.extra and not exported:
        exported = [statements[0].named_children[-1]] if statements else []
    if len(exported) != 1:
        what = "the file exports no loop" if not exported else "the file exports more than one loop"
        raise LoopError([Fault(page.file, 1, 1, "", codes.NO_LOOP, what, _SHAPE)], page.file)
    head = [*root.named_children, *(statements[0].named_children[0].named_children if page.extra else ())]
    return Found(_loop(exported[0], statements, page), page, _head(head))


def _syntax_fault(node: Syntax, page: Page) -> Fault:
    hint = "mend the file until TypeScript takes it"
    if node.is_missing:
        # Names of single signs stand for themselves; other names are the grammar's own.
        what = f"{'something' if node.type.isidentifier() else repr(node.type)} is missing here"
        return page.fault(node, "", codes.NOT_TYPESCRIPT, what, hint)
    if node.start_point[0] != node.end_point[0] and (opened := _never_closed(node)) is not None:
        return page.fault(opened, "", codes.NOT_TYPESCRIPT, f"'{opened.type}' is never closed", hint)
    shown = " ".join(text_of(node).split())[:40]
    return page.fault(node, "", codes.NOT_TYPESCRIPT, f"'{shown}' does not belong here", hint)


def _never_closed(node: Syntax) -> Syntax | None:
    """The last bracket that nothing closes, if that is all that is wrong with the brackets."""
    opened: list[Syntax] = []
    todo = [node]
    while todo:
        part = todo.pop()
        todo.extend(reversed(part.children))
        if part.type in _PAIRS:
            opened.append(part)
        elif part.type in _PAIRS.values() and (not opened or _PAIRS[opened.pop().type] != part.type):
            return None
    return opened[-1] if opened else None


def _exported(node: Syntax) -> Syntax | None:
    """The value of ``export default …``, ``export = …`` or ``module.exports = …``."""
    if node.type == "export_statement":
        marks = {child.type for child in node.children}
        if "default" in marks or "=" in marks:
            return next((child for child in reversed(node.named_children) if child.type != "comment"), None)
    if node.type != "expression_statement":
        return None
    assigned = node.named_children[0] if node.named_children else None
    if assigned is None or assigned.type != "assignment_expression":
        return None
    left = assigned.child_by_field_name("left")
    if left is not None and text_of(left) in ("module.exports", "exports.default", "module.exports.default"):
        return assigned.child_by_field_name("right")
    return None


def _loop(node: Syntax, statements: list[Syntax], page: Page) -> Syntax:
    """The object within ``defineLoop(…)``, types, and one name that the file itself gives to it."""
    value = unwrap(node)
    if value.type == "identifier":
        value = unwrap(_constant(text_of(value), statements) or value)
    if value.type == "call_expression":
        function, arguments = value.child_by_field_name("function"), value.child_by_field_name("arguments")
        given = [child for child in arguments.named_children if child.type != "comment"] if arguments else []
        if function is not None and _MAKER.fullmatch(text_of(function)) and len(given) == 1:
            value = unwrap(given[0])
            if value.type == "identifier":
                value = unwrap(_constant(text_of(value), statements) or value)
    if value.type == "object":
        return value
    what = "a list of loops" if value.type == "array" else "no object"
    hint = "one file is one loop; make each a file of its own" if value.type == "array" else _SHAPE
    raise LoopError([page.fault(value, "", codes.NO_LOOP, f"this is {what}", hint)], page.file)


def _constant(name: str, statements: list[Syntax]) -> Syntax | None:
    for statement in statements:
        declared = statement.child_by_field_name("declaration") if statement.type == "export_statement" else statement
        if declared is None or declared.type != "lexical_declaration" or declared.children[0].type != "const":
            continue
        for variable in declared.named_children:
            named = variable.child_by_field_name("name")
            if named is not None and text_of(named) == name:
                return variable.child_by_field_name("value")
    return None


def _head(nodes: list[Syntax]) -> tuple[str, ...]:
    """The comments at the top level that speak of the loop, not to a tool."""
    found = [words(node) for node in nodes if node.type == "comment" and not _TOOLS.search(text_of(node))]
    return tuple(line for lines in found for line in lines)
