"""Where a piece of syntax stands, as people count: lines and characters from 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from tree_sitter import Node as Syntax


@dataclass(frozen=True, slots=True)
class Page:
    """A config file: its name as shown to people, and its text as it is parsed, ``extra`` lines longer at the top."""

    file: str
    text: str
    extra: int = 0

    def place(self, node: Syntax) -> tuple[int, int]:
        """Line and column of a piece of syntax. The parser counts bytes, people count characters."""
        row, column = node.start_point
        lines = self.text.split("\n")
        before = lines[row].encode()[:column] if row < len(lines) else b""
        return max(row + 1 - self.extra, 1), len(before.decode("utf-8", "replace")) + 1

    def fault(self, node: Syntax, path: str, code: str, message: str, suggestion: str) -> Fault:
        """A fault at a piece of syntax."""
        return Fault(self.file, *self.place(node), path, code, message, suggestion)


def text_of(node: Syntax) -> str:
    """The text of a piece of syntax."""
    return (node.text or b"").decode("utf-8", "replace")
