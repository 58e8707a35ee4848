"""What a schema cannot say: keys that need each other, and the SQL. Works on broken files too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.faults import key_fault, node_fault
from skene_airflow.loop.graphql_checks import check_graphql
from skene_airflow.loop.sql_checks import check_sql
from skene_airflow.loop.times import check_times
from skene_airflow.loop.words import renamed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skene_airflow.loop.nodes import Loc, Node
    from skene_airflow.nouns import Fault

RESERVED: Final = frozenset(("evaluate", "segment", "approve", "send", "report"))
ROOTS: Final = frozenset(("schedule", "database", "asset", "manual"))
_NEEDS_CONDITION: Final = frozenset(("schedule", "asset", "manual"))
_WHO: Final = "write who gets it: `condition: SELECT * FROM users WHERE …`"
_PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?\s?%")
_LESS: Final = {"sample": "write a larger share, or set mode: shadow", "holdout": "write a smaller share"}


def check(root: Node) -> Iterator[Fault]:
    """The faults of a loop as a whole."""
    steps = list((root.get("steps") or root).items())
    yield from _step_ids(root, steps)
    yield from _triggers(root, steps)
    yield from _conditions(root, steps)
    yield from _weights(root, steps)
    yield from _segments(root, steps)
    yield from check_sql(root)
    yield from check_graphql(root)
    yield from check_times(root)
    yield from _nobody(root)
    yield from _exit(root)


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
    yield from _former_ids(root, steps, seen)


def _former_ids(root: Node, steps: list[Node], ids: dict[str, int]) -> Iterator[Fault]:
    """Names in `was` that are another step's: the two would share their people, and each mail only some of them."""
    owners = dict(ids)
    for index, step in enumerate(steps):
        was = step.get("was")
        for number, node in enumerate(was.items() if was is not None else ()):
            name = node.text()
            if name is not None and owners.setdefault(name, index) != index:
                what = f"'{name}' is, or was, the id of steps[{owners[name]}]"
                hint = "write in `was` only what this very step was called before"
                yield node_fault(root, ("steps", index, "was", number), codes.DUPLICATE_NAME, what, hint)


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
        if condition is not None and condition.value is not None:
            continue
        if isinstance(step.value, dict) and any(renamed(key, ("condition",)) for key in step.value):
            continue  # it is there under another name, which is a fault of its own
        if any(step.get(key, "condition") is not None for key in ("trigger", "action")):
            continue  # it is there, and indented too deep
        loc = ("steps", index, "condition")
        if kind in _NEEDS_CONDITION:
            what = f"a step with a '{kind}' trigger needs a condition"
            yield node_fault(root, loc, codes.NO_CONDITION, what, _WHO)
        elif kind == "database" and not _is_user_table(root, step):
            table = step.get("trigger", "table")
            what = f"rows of '{table.text() if table else ''}' are not people: the step needs a condition"
            hint = "write it, over the rows of `event`: `condition: SELECT u.* FROM users u JOIN event e ON …`"
            yield node_fault(root, loc, codes.NO_CONDITION, what, hint)


def _is_user_table(root: Node, step: Node) -> bool:
    changed, people = step.get("trigger", "table"), root.get("user", "table")
    names = [(node.text() if node is not None else None) for node in (changed, people)]
    if changed is None or (changed.text() is None):
        return True  # a fault of its own
    return _bare(names[0] or "") == _bare(names[1] or "users")


def _bare(table: str) -> str:
    return table.removeprefix("public.")


def _weights(root: Node, steps: list[Node]) -> Iterator[Fault]:
    for index, step in enumerate(steps):
        segments = step.get("segments")
        for number, segment in enumerate(segments.items() if segments is not None else ()):
            yield from _zero(root, segment, ("steps", index, "segments", number, "action", "variants"))
        yield from _zero(root, step, ("steps", index, "action", "variants"))


def _zero(root: Node, holder: Node, loc: Loc) -> Iterator[Fault]:
    variants = holder.get("action", "variants")
    if variants is None or not isinstance(variants.value, dict) or not variants.value:
        return
    found = [entry.node.get("weight") for entry in variants.value.values()]
    weights = [1 if node is None else node.value for node in found]
    if all(weight == 0 and not isinstance(weight, bool) for weight in weights):
        yield key_fault(root, loc, codes.WEIGHTS, "the weights sum to zero", "give one variant a weight above 0")


def _segments(root: Node, steps: list[Node]) -> Iterator[Fault]:
    for index, step in enumerate(steps):
        segments, rest = step.get("segments"), None
        names: dict[str, int] = {}
        for number, segment in enumerate(segments.items() if segments is not None else ()):
            loc: Loc = ("steps", index, "segments", number)
            if rest is not None:
                what = f"nobody gets here: segments[{rest}] has no `when` and takes everybody"
                yield node_fault(root, loc, codes.UNREACHABLE, what, "move the segment without `when` to the end")
                break
            name_node = segment.get("name")
            name = name_node.text() if name_node is not None else None
            if name is not None and name in names:
                what = f"the segment '{name}' is there twice, first as segments[{names[name]}]"
                yield node_fault(root, (*loc, "name"), codes.DUPLICATE_NAME, what, "join the two with OR in one `when`")
            elif name is not None:
                names[name] = number
            if isinstance(segment.value, dict) and not any(renamed(key, ("when",)) for key in segment.value):
                rest = number


def _nobody(root: Node) -> Iterator[Fault]:
    for key, nobody in (("sample", 0.0), ("holdout", 100.0)):
        node = root.get(key)
        text = node.text() if node is not None else None
        if text is not None and _PERCENT.fullmatch(text) and float(text.rstrip("% ")) == nobody:
            yield node_fault(root, (key,), codes.NOBODY, f"with {key} {text} nobody ever gets a mail", _LESS[key])


def _exit(root: Node) -> Iterator[Fault]:
    node = root.get("exit")
    text = node.text() if node is not None else None
    if text is None or text.strip().lower() != "goal":
        return
    if text != "goal":
        yield node_fault(root, ("exit",), codes.UNKNOWN_WORD, f"'{text}' is not known here", "did you mean 'goal'?")
    elif root.get("goal") is None:
        what = "`exit: goal` needs a goal"
        yield node_fault(root, ("exit",), codes.NO_GOAL, what, "write `goal: {query: SELECT …, within: 14d}`")
