"""JavaScript literals as values with their places and comments. Whatever would have to be run is a fault."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from skene_airflow.errors import LoopError
from skene_airflow.loop.convert import fault_codes as codes
from skene_airflow.loop.convert.comments import Gathered, words
from skene_airflow.loop.convert.places import text_of
from skene_airflow.loop.convert.strings import BadTextError, number, unescape
from skene_airflow.loop.nodes import path_text
from skene_airflow.loop.source import MAX_DEPTH, invisible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node as Syntax

    from skene_airflow.loop.convert.places import Page
    from skene_airflow.loop.nodes import Loc, Scalar
    from skene_airflow.nouns import Fault

_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
# They say something about a value's type and leave the value as it is.
_WRAPPERS: Final = frozenset(
    ("as_expression", "satisfies_expression", "parenthesized_expression", "type_assertion", "non_null_expression")
)
_INSTEAD: Final[dict[str, tuple[str, str]]] = {
    "identifier": ("the name of a variable", "write its value"),
    "undefined": ("undefined", "leave the key out"),
    "call_expression": ("a call", "write the value that it returns"),
    "new_expression": ("a call", "write the value that it makes"),
    "spread_element": ("a spread", "write the keys out"),
    "member_expression": ("a value of another object", "write its value"),
    "template_substitution": ("a substitution in a template literal", "write the value into the text"),
    "binary_expression": ("a computation", "write its result as one value"),
    "ternary_expression": ("a condition", "write the value that is meant"),
    "arrow_function": ("a function", "a loop is data; a condition is SQL"),
    "function_expression": ("a function", "a loop is data; a condition is SQL"),
    "method_definition": ("a function", "a loop is data; a condition is SQL"),
    "shorthand_property_identifier": ("the name of a variable", "write `key: value`"),
    "computed_property_name": ("a computed key", "write the key itself"),
    "regex": ("a regular expression", "quote it if it is text"),
}
_NO_VALUE: Final = "a loop file holds text, numbers, true, false, null, lists and maps"

Value: TypeAlias = "Scalar | dict[str, Literal] | list[Literal]"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value; ``line`` and ``column`` are its key's, ``value_line`` and ``value_column`` its own, from 1."""

    value: Value
    line: int
    column: int
    value_line: int
    value_column: int
    above: tuple[str, ...] = ()
    beside: str = ""
    tail: tuple[str, ...] = ()

    def holding(self, value: Value) -> Literal:
        """The same place and comments with another value."""
        return replace(self, value=value)


def read_literal(node: Syntax, page: Page, above: tuple[str, ...] = ()) -> Literal:
    """The value of an expression. Raises LoopError with everything in it that is not a literal."""
    reader = _Reader(page)
    literal = reader.value(node, ())
    if reader.faults:
        raise LoopError(reader.faults, page.file)
    return replace(literal, above=above)


def unwrap(node: Syntax) -> Syntax:
    """The expression without types, ``as const``, ``satisfies`` and parentheses around it."""
    while node.type in _WRAPPERS:
        inner = [child for child in node.named_children if child.type not in ("comment", "type_arguments")]
        if not inner:
            return node
        node = inner[0]
    return node


@dataclass(slots=True)
class _Reader:
    page: Page
    faults: list[Fault] = field(default_factory=list)

    def value(self, wrapped: Syntax, loc: Loc) -> Literal:
        node = unwrap(wrapped)
        at = self.page.place(node)
        if len(loc) > MAX_DEPTH:
            self._refuse(node, loc, codes.TEXT, f"nested more than {MAX_DEPTH} levels deep", "no loop is that deep")
            return Literal(None, *at, *at)
        if node.type in ("object", "array"):
            return self._container(node, loc)
        return Literal(self._scalar(node, loc), *at, *at)

    def _container(self, node: Syntax, loc: Loc) -> Literal:
        gathered = Gathered(node)
        at = self.page.place(node)
        if node.type == "object":
            entries: dict[str, Literal] = {}
            for child in gathered.items:
                self._property(child, loc, entries, gathered)
            return Literal(entries, *at, *at, tail=gathered.tail)
        items = []
        for index, child in enumerate(gathered.items):
            item = self.value(child, (*loc, index))
            items.append(replace(item, above=gathered.above(child), beside=gathered.beside(child)))
        return Literal(items, *at, *at, tail=gathered.tail)

    def _property(self, node: Syntax, loc: Loc, entries: dict[str, Literal], gathered: Gathered) -> None:
        key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
        if node.type != "pair" or key is None or value is None:
            self._not_data(node, loc)
            return
        name = self._key(key, loc)
        if name is None:
            return
        if hidden := invisible(name):
            what = f"the property '{name[:60]}' holds an invisible character, U+{ord(hidden):04X}"
            self._refuse(key, (*loc, name), codes.TEXT, what, "write the name anew")
            return
        if name in entries:
            first = entries[name].line
            what = f"the property '{name[:60]}' is written twice, first in line {first}"
            self._refuse(key, (*loc, name), codes.KEY_TWICE, what, "keep one of them")
            return
        read = self.value(value, (*loc, name))
        line, column = self.page.place(key)
        within = [words(child) for child in node.children if child.type == "comment"]
        above = (*gathered.above(node), *(line for lines in within for line in lines))
        entries[name] = replace(read, line=line, column=column, above=above, beside=gathered.beside(node))

    def _key(self, node: Syntax, loc: Loc) -> str | None:
        if node.type == "property_identifier":
            return text_of(node)
        if node.type == "number":
            return str(self._scalar(node, loc))
        inner = (
            unwrap(node.named_children[0]) if node.type == "computed_property_name" and node.named_children else node
        )
        if inner.type != "string":
            self._not_data(node, loc)
            return None
        key = self._scalar(inner, loc)
        return key if isinstance(key, str) else None

    def _scalar(self, node: Syntax, loc: Loc) -> Scalar:
        try:
            if node.type in ("string", "template_string"):
                return self._text(node, loc)
            if joined := _joined(node):
                return "".join(self._text(part, loc) for part in joined)
            if node.type == "number":
                return number(text_of(node))
            if node.type == "unary_expression" and (signed := _signed(node)):
                return number(signed)
        except BadTextError as error:
            self._refuse(node, loc, codes.TEXT, str(error), error.suggestion)
            return None
        if node.type in _WORDS:
            return _WORDS[node.type]
        self._not_data(node, loc)
        return None

    def _text(self, node: Syntax, loc: Loc) -> str:
        pieces = []
        for child in node.named_children:
            if child.type == "template_substitution":
                self._not_data(child, loc)
            elif child.type == "escape_sequence":
                pieces.append(unescape(text_of(child)))
            else:
                pieces.append(text_of(child))
        text = "".join(pieces).replace("\r\n", "\n").replace("\r", "\n") if node.type[0] == "t" else "".join(pieces)
        return _whole(text)

    def _not_data(self, node: Syntax, loc: Loc) -> None:
        what, hint = _INSTEAD.get(node.type, ("code", _NO_VALUE))
        shown = re.sub(r"\s+", " ", text_of(node))
        shown = f"{shown[:40]}…" if len(shown) > 40 else shown
        quoted = "" if what == shown else f" ({shown})"
        self._refuse(node, loc, codes.NOT_A_LITERAL, f"this is {what}{quoted}, not a value", hint)

    def _refuse(self, node: Syntax, loc: Loc, code: str, message: str, suggestion: str) -> None:
        self.faults.append(self.page.fault(node, path_text(loc), code, message, suggestion))


def _joined(node: Syntax) -> list[Syntax]:
    """The texts that `+` puts together, in order; none if anything else is among them."""
    parts: list[Syntax] = []
    while node.type == "binary_expression":
        operator, right = node.child_by_field_name("operator"), node.child_by_field_name("right")
        left = node.child_by_field_name("left")
        if operator is None or left is None or right is None or operator.type != "+":
            return []
        parts.append(unwrap(right))
        node = unwrap(left)
    parts.append(node)
    is_text = len(parts) > 1 and all(part.type in ("string", "template_string") for part in parts)
    return parts[::-1] if is_text else []


def _signed(node: Syntax) -> str:
    sign, *rest = node.children
    plain = [child for child in rest if child.type != "comment"]
    is_number = sign.type in "+-" and len(plain) == 1 and plain[0].type == "number"
    return sign.type + text_of(plain[0]) if is_number else ""


def _whole(text: str) -> str:
    """The text with the halves of characters (``\\uD83D\\uDE00``) put together."""
    if "\x00" in text:
        raise BadTextError("the text holds a NUL character", "delete it")
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise BadTextError("the text holds half a character", "write the character itself") from None


def syntax_errors(root: Syntax) -> Iterator[Syntax]:
    """The places where a file is not TypeScript, in order."""
    todo = [root]
    while todo:
        node = todo.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            todo.extend(reversed(node.children))
