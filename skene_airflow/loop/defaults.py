"""``_defaults.yaml``: keys that every loop in and below a folder inherits. The loop wins, and a deeper folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.faults import key_fault
from skene_airflow.loop.source import MAX_BYTES, parse
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from skene_airflow.loop.nodes import Entry, Node

NAMES: Final = ("_defaults.yaml", "_defaults.yml")
_OWN: Final = ("steps", "was", "id")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a folder gives to its loops: the merged values, the texts they came from, and their faults."""

    root: Node | None = None
    texts: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


class DefaultsReader:
    """Reads the defaults of folders below ``root``, each file once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, Defaults] = {}

    def of(self, folder: Path) -> Defaults:
        """The defaults that apply in ``folder``, from the root down."""
        if folder not in self._known:
            above = self.of(folder.parent) if folder != self._root and self._root in folder.parents else Defaults()
            self._known[folder] = self._extend(above, folder)
        return self._known[folder]

    def _extend(self, above: Defaults, folder: Path) -> Defaults:
        for path in (folder / name for name in NAMES):
            try:
                with path.open("rb") as opened:
                    raw = opened.read(MAX_BYTES + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                file = path.relative_to(self._root.parent).as_posix()
                words = f"the file cannot be read: {error.strerror}"
                fault = Fault(file, 1, 1, "", codes.UNREADABLE, words, "mend its permissions")
                return replace(above, faults=(*above.faults, fault))
            return self._merge(above, raw, path.relative_to(self._root.parent).as_posix())
        return above

    def _merge(self, above: Defaults, raw: bytes, file: str) -> Defaults:
        parsed = parse(raw, file)
        faults, root = list(parsed.faults), parsed.root
        if root is not None and not isinstance(root.value, dict):
            what = "the file is not a map of keys"
            faults.append(Fault(file, 1, 1, "", codes.NOT_A_MAPPING, what, "write `key: value`"))
        elif root is not None:
            for key in filter(root.get, _OWN):
                what = f"'{key}' cannot be a default"
                faults.append(key_fault(root, (key,), codes.VALUE, what, "write it in the loop itself"))
        if faults or root is None:
            return Defaults(above.root, (*above.texts, parsed.source.text), (*above.faults, *faults))
        merged = merge(above.root, root) if above.root is not None else root
        return Defaults(merged, (*above.texts, parsed.source.text), above.faults)


def merge(base: Node, over: Node) -> Node:
    """``over`` laid on ``base``: maps are merged key by key, everything else is replaced."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    entries: dict[str, Entry] = dict(base.value)
    for key, entry in over.value.items():
        below = entries.get(key)
        entries[key] = entry._replace(node=merge(below.node, entry.node)) if below is not None else entry
    return replace(over, value=entries)


def spread_action(root: Node) -> Node:
    """The loop with its ``action`` laid below the action of every step."""
    shared = root.get("action")
    steps = root.key("steps") if isinstance(root.value, dict) else None
    if shared is None or steps is None or not isinstance(shared.value, dict) or not isinstance(steps.node.value, list):
        return root
    spread = replace(steps.node, value=[_with_action(step, root.key("action")) for step in steps.node.value])
    return replace(root, value={**_entries(root), "steps": steps._replace(node=spread)})


def _with_action(step: Node, shared: Entry | None) -> Node:
    if shared is None or not isinstance(step.value, dict):
        return step
    own = step.value.get("action")
    if own is None:
        return replace(step, value={**step.value, "action": shared})
    kinds = {node.value for node in (own.node.get("type"), shared.node.get("type")) if node is not None}
    if len(kinds) > 1:  # a mail's sender means nothing to a step that writes an in-app message
        return step
    return replace(step, value={**step.value, "action": own._replace(node=merge(shared.node, own.node))})


def _entries(node: Node) -> dict[str, Entry]:
    return node.value if isinstance(node.value, dict) else {}
