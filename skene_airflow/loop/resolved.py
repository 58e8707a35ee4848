"""The effective loop: every value that counts, in the form people write, with the place it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.loop.forms import plain
from skene_airflow.loop.model import Model
from skene_airflow.loop.nodes import path_text
from skene_airflow.loop.schema import Loop, LoopFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Loc, Node

# The loop's action is laid below that of every step already, and is shown there.
_SPREAD: Final = ("action",)


@dataclass(frozen=True, slots=True)
class Resolved:
    """One value: where it stands in the loop, and in which file it is written (no file: the language's default)."""

    loc: Loc
    value: object
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def path(self) -> str:
        """The path as people read it."""
        return path_text(self.loc)

    @property
    def origin(self) -> str:
        """``file:line``, or ``default``."""
        return f"{self.file}:{self.line}" if self.file else "default"


def resolved(loop: Loop) -> list[Resolved]:
    """Every value of the loop that is not absent, in the order of the reference."""
    return list(_model(loop, loop, ()))


def _model(loop: Loop, model: Model, loc: Loc) -> Iterator[Resolved]:
    fields = LoopFile.model_fields if isinstance(model, Loop) else type(model).model_fields
    for name, field in fields.items():
        if not field.exclude and not (not loc and name in _SPREAD):
            yield from _value(loop, getattr(model, name), (*loc, field.alias or name))


def _value(loop: Loop, value: Any, loc: Loc) -> Iterator[Resolved]:
    node = _written(loop, loc)
    if value is None and loc == ("connections", "email"):
        value = loop.email_connection(loop.steps[0])
    if value is None or (value in ((), {}) and node is None):
        return
    if node is not None and not isinstance(node.value, dict | list) and not _is_short(node, value):
        # Written as one word (`entry: once`), whatever the model makes of it.
        yield Resolved(loc, node.value, node.source.file, node.line, node.column)
    elif isinstance(value, Model):
        yield from _entry(loop, loc) if loc == ("entry",) and node is None else _model(loop, value, loc)
    elif isinstance(value, tuple) and value and isinstance(value[0], Model | dict):
        for index, item in enumerate(value):
            yield from _value(loop, item, (*loc, index))
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _value(loop, item, (*loc, key))
    elif node is not None:
        yield Resolved(loc, _untupled(node.plain()), node.source.file, node.line, node.column)
    else:
        yield Resolved(loc, _untupled(plain(value)))


def _written(loop: Loop, loc: Loc) -> Node | None:
    node = loop.written(loc)
    above = loop.written(loc[:-1]) if loc[-1] == "query" else None
    return above if node is None and above is not None and isinstance(above.value, str) else node


def _is_short(node: Node, value: Any) -> bool:
    """``condition: SELECT …``: one word that stands for a map whose other keys have defaults worth seeing."""
    return isinstance(node.value, str) and isinstance(value, Model) and getattr(value, "query", None) == node.value


def _entry(loop: Loop, loc: Loc) -> Iterator[Resolved]:
    yield Resolved(loc, "each_run" if loop.entry.each_run else "once")


def _untupled(value: Any) -> object:
    if isinstance(value, tuple | list):
        return [_untupled(item) for item in value]
    return {key: _untupled(item) for key, item in value.items()} if isinstance(value, dict) else value
