"""Files that are good YAML, and no loop: a list, a text, another tool's file, a loop with a name above it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.words import keys_at
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from skene_airflow.loop.nodes import Node

_ASSIGNS: Final = re.compile(r"\w+\s*=\s")


def no_map(root: Node) -> Fault:
    """The fault of a file whose value is a list or a scalar."""
    hint = "write `type: …` and the other keys of a loop"
    if isinstance(root.value, list) and root.value and _is_loop(root.value[0]):
        hint = "leave the '- ' out: one file is one loop"
    elif isinstance(root.value, str) and _ASSIGNS.match(root.value):
        hint = "YAML writes `key: value`, not `key = value`"
    return Fault(
        root.source.file, root.line, root.column, "", codes.NOT_A_MAPPING, "the file is not a map of keys", hint
    )


def no_loop(root: Node) -> Fault:
    """The fault of a map that has none of a loop's keys."""
    line, column, hint = 1, 1, "write at least type, opinion and steps"
    for key, entry in root.value.items() if isinstance(root.value, dict) else ():
        line, column = entry.line, entry.column
        if _is_loop(entry.node):
            hint = f"delete '{key}:', and begin the keys below it in the first column"
        elif any(map(_is_loop, entry.node.items())):
            hint = "one file is one loop, and its keys begin in the first column"
        break
    what = "no key of a loop is written here"
    return Fault(root.source.file, line, column, "", codes.NOT_A_MAPPING, what, hint)


def _is_loop(node: Node) -> bool:
    return isinstance(node.value, dict) and len(keys_at(()) & set(node.value)) >= 2
