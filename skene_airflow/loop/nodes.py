"""A parsed YAML value that remembers where it stands, so that every fault can point at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from skene_airflow.loop.text_places import place_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Scalar: TypeAlias = str | int | float | bool | None
Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One YAML file: its name as people see it, and its text."""

    file: str
    text: str


class Entry(NamedTuple):
    """A key of a map: where the key stands, and its value."""

    source: Source
    line: int
    column: int
    node: Node


@dataclass(slots=True)
class Node:
    """A value with the place where it begins; lines and columns count from 1.

    ``style`` is YAML's: ``""`` plain, ``'``, ``"``, ``|`` or ``>``. ``size`` counts the values within.
    ``cut`` tells whether YAML ended a plain scalar at `` #``: ``"sure"``, ``"maybe"`` or ``""``.
    """

    source: Source
    line: int
    column: int
    value: Scalar | dict[str, Entry] | list[Node]
    style: str = ""
    end_line: int = 0
    size: int = 1
    cut: str = ""

    def plain(self) -> object:
        """The value without positions: dicts, tuples and scalars."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return tuple(node.plain() for node in self.value)
        return self.value

    def get(self, *loc: str | int) -> Node | None:
        """The value at this path, or None where the path leaves the tree."""
        node = self
        for part in loc:
            if isinstance(node.value, dict) and isinstance(part, str) and part in node.value:
                node = node.value[part].node
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                return None
        return node

    def nearest(self, loc: Sequence[str | int]) -> tuple[Node, Loc]:
        """The value at this path, or the innermost one that exists on the way, with its path."""
        for end in range(len(loc), 0, -1):
            node = self.get(*loc[:end])
            if node is not None:
                return node, tuple(loc[:end])
        return self, ()

    def key(self, *loc: str | int) -> Entry | None:
        """The key that holds the value at this path; None for items of a list."""
        parent = self.get(*loc[:-1])
        if parent is None or not isinstance(parent.value, dict):
            return None
        return parent.value.get(str(loc[-1]))

    def items(self) -> Iterator[Node]:
        """The items of a list; nothing for anything else."""
        if isinstance(self.value, list):
            yield from self.value

    def text(self) -> str | None:
        """The value if it is text."""
        return self.value if isinstance(self.value, str) else None

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character of a text value; its beginning where that cannot be told."""
        if not isinstance(self.value, str) or self.style == "*":
            return self.line, self.column
        if self.style == "|":
            return self._block_place(self.value[:offset])
        lines = self.source.text.split("\n")[self.line - 1 : max(self.end_line, self.line)]
        row, at = place_in(lines, self.column - 1, self.style, self.value, offset)
        return self.line + row, at + 1

    def _block_place(self, before: str) -> tuple[int, int]:
        row = before.count("\n")
        lines = self.source.text.split("\n")[self.line :]
        first = next((line for line in lines if line.strip()), "")
        indent = len(first) - len(first.lstrip(" "))
        return self.line + 1 + row, indent + len(before) - (before.rfind("\n") + 1) + 1


def path_text(loc: Sequence[str | int]) -> str:
    """A path as people read it: ``steps[0].action.template``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
