"""What a schema cannot say: keys that need each other, and the SQL. Works on broken files too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.faults import key_fault, node_fault
from skene_airflow.loop.nodes import Loc, Node, path_text
from skene_airflow.loop.sql import check_select
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVED: Final = frozenset(("evaluate", "segment", "approve", "send", "report"))
ROOTS: Final = frozenset(("schedule", "database", "asset", "manual"))
_NEEDS_CONDITION: Final = frozenset(("schedule", "asset", "manual"))


def check(root: Node) -> Iterator[Fault]:
    """The faults of a loop as a whole."""
    steps = list((root.get("steps") or root).items())
    yield from _step_ids(root, steps)
    yield from _triggers(root, steps)
    yield from _conditions(root, steps)
    yield from _weights(root, steps)
    for loc in sql_places(root):
        yield from _query(root, loc)


def _step_ids(root: Node, steps: list[Node]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, step in enumerate(steps):
        loc: Loc = ("steps", index, "id")
        node = step.get("id")
        if node is None or node.value is None:
            if len(steps) > 1 and isinstance(step.value, dict):
                hint = (
                    "write `id: main`, the name it has had so far" if not index else "write one, such as `id: advanced`"
                )
                yield node_fault(root, loc, codes.STEP_ID, "with two or more steps each has an id", hint)
            continue
        name = node.text()
        if name in RESERVED:
            hint = f"'{name}' names a task of every loop; choose another"
            yield node_fault(root, loc, codes.RESERVED, f"the step id '{name}' is reserved", hint)
        if name is not None and name in seen:
            what = f"the step id '{name}' is used twice, first by steps[{seen[name]}]"
            yield node_fault(root, loc, codes.DUPLICATE_NAME, what, "give each step an id of its own")
        elif name is not None:
            seen[name] = index


def _trigger_type(step: Node) -> str | None:
    node = step.get("trigger", "type")
    return node.text() if node is not None else None


def _triggers(root: Node, steps: list[Node]) -> Iterator[Fault]:
    ids = [(node.text() if (node := step.get("id")) else None) for step in steps]
    for index, step in enumerate(steps):
        kind, loc = _trigger_type(step), ("steps", index, "trigger", "type")
        if index and kind in ROOTS:
            what = f"a second root trigger ('{kind}') in one file"
            yield node_fault(root, loc, codes.TWO_ROOTS, what, "write type: after, or make the step a loop of its own")
        if not index and kind == "after":
            what = "the first step comes after nothing"
            yield node_fault(root, loc, codes.NO_ROOT, what, "write schedule, database, asset or manual")
        parent = step.get("trigger", "step")
        if index and kind == "after" and parent is not None and parent.text() not in ids[:index]:
            what = f"no step above has the id '{parent.value}'"
            yield node_fault(root, ("steps", index, "trigger", "step"), codes.UNKNOWN_STEP, what, _known(ids[:index]))


def _known(ids: list[str | None]) -> str:
    return f"write one of {', '.join(name for name in ids if name)}" if any(ids) else "leave the key out"


def _conditions(root: Node, steps: list[Node]) -> Iterator[Fault]:
    for index, step in enumerate(steps):
        kind = _trigger_type(step)
        condition = step.get("condition")
        if kind in _NEEDS_CONDITION and (condition is None or condition.value is None):
            what = f"a step with a '{kind}' trigger needs a condition"
            hint = "write who gets it: `condition: SELECT * FROM users WHERE …`"
            yield node_fault(root, ("steps", index, "condition"), codes.NO_CONDITION, what, hint)


def _weights(root: Node, steps: list[Node]) -> Iterator[Fault]:
    for index, step in enumerate(steps):
        variants = step.get("action", "variants")
        if variants is None or not isinstance(variants.value, dict) or not variants.value:
            continue
        found = [entry.node.get("weight") for entry in variants.value.values()]
        weights = [1 if node is None else node.value for node in found]
        if all(weight == 0 and not isinstance(weight, bool) for weight in weights):
            loc = ("steps", index, "action", "variants")
            yield key_fault(root, loc, codes.WEIGHTS, "the weights sum to zero", "give one variant a weight above 0")


def sql_places(root: Node) -> Iterator[Loc]:
    """Where a loop holds a SELECT."""
    for index, step in enumerate((root.get("steps") or root).items()):
        loc: Loc = ("steps", index)
        if (condition := step.get("condition")) and condition.text() is not None:
            yield (*loc, "condition")
        elif (kind := step.get("condition", "type")) and kind.value == "query":
            yield (*loc, "condition", "query")
        yield (*loc, "ready", "query")
    yield ("goal", "query")
    if (node := root.get("exit")) and node.value != "goal":
        yield ("exit",)


def _query(root: Node, loc: Loc) -> Iterator[Fault]:
    node = root.get(*loc)
    text = node.text() if node is not None else None
    if node is None or text is None:
        return
    faults = check_select(text)
    if node.cut == "sure" or (node.cut and any(fault.code == codes.SQL_SYNTAX for fault in faults)):
        what = "YAML cuts the SQL at ' #' and takes the rest of the line for a comment"
        yield node_fault(root, loc, codes.CUT_SQL, what, "write the SQL below `query: |`")
        return
    for fault in faults:
        line, column = node.place(fault.offset)
        path = path_text(loc)
        yield Fault(node.source.file, line, column, path, fault.code, fault.message, fault.suggestion)
