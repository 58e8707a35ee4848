"""The one table of what the language has and this version does not run yet: refused, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.faults import key_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Loc, Node
    from skene_airflow.nouns import Fault

# Path (* is any step) → the values that are refused.
_TABLE: Final[dict[Loc, str]] = {}
_LATER: Final = "leave it out until a version that has it"


def unsupported(root: Node) -> Iterator[Fault]:
    """One fault for each thing in the file that is good but not built yet."""
    steps = list((root.get("steps") or root).items())
    for pattern, refused in _TABLE.items():
        for loc in _places(pattern, len(steps)):
            yield from _refused(root, loc, refused)


def _places(pattern: Loc, steps: int) -> Iterator[Loc]:
    for index in range(steps if "*" in pattern else 1):
        yield tuple(index if part == "*" else part for part in pattern)


def _refused(root: Node, loc: Loc, refused: str) -> Iterator[Fault]:
    node = root.get(*loc)
    if node is None or node.value is None:
        return
    if node.value in refused.split():
        yield key_fault(root, loc, codes.UNSUPPORTED, f"'{loc[-1]}: {node.value}' is not supported yet", _LATER)
