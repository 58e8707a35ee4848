"""Comments of a config file, given to the value they stand above or beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.loop.convert.places import text_of

if TYPE_CHECKING:
    from tree_sitter import Node as Syntax


def words(comment: Syntax) -> tuple[str, ...]:
    """The lines of a comment without its marks."""
    text = text_of(comment)
    if text.startswith("//"):
        return (text.lstrip("/").strip(),)
    lines = [line.strip().removeprefix("*").strip() for line in text[2:-2].lstrip("*").split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


class Gathered:
    """The items of an object or array, and which comments belong to each."""

    def __init__(self, node: Syntax) -> None:
        self.items: list[Syntax] = []
        self.tail: tuple[str, ...] = ()
        self._above: dict[int, tuple[str, ...]] = {}
        self._beside: dict[int, str] = {}
        waiting: list[str] = []
        for child in node.named_children:
            if child.type != "comment":
                self._above[child.id] = tuple(waiting)
                self.items.append(child)
                waiting = []
            elif not self._is_beside(child):
                waiting += words(child)
        self.tail = tuple(waiting)

    def above(self, item: Syntax) -> tuple[str, ...]:
        """The comment lines above an item."""
        return self._above.get(item.id, ())

    def beside(self, item: Syntax) -> str:
        """The comment on the line where an item ends."""
        return self._beside.get(item.id, "")

    def _is_beside(self, comment: Syntax) -> bool:
        lines = words(comment)
        if not self.items or len(lines) != 1 or comment.start_point[0] != self.items[-1].end_point[0]:
            return False
        last = self.items[-1]
        # Behind the bracket that closes ten lines of a map, a comment would be far from what it is about.
        if last.start_point[0] != last.end_point[0] and last.child_by_field_name("value") is None:
            return False
        self._beside[last.id] = "; ".join(filter(None, (self._beside.get(last.id, ""), lines[0])))
        return True
