"""Named audiences: ``segments/<name>.sql``, one SELECT each, which any query may read by name (as a CTE)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from skene_airflow.loop import codes
from skene_airflow.loop.nodes import path_text
from skene_airflow.loop.source import MAX_BYTES
from skene_airflow.loop.sql import check_expression, check_select
from skene_airflow.loop.sql_checks import places
from skene_airflow.loop.sql_shape import check_update, own_names, relations
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from skene_airflow.loop.nodes import Node

FOLDER: Final = "segments"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAKEN: Final = frozenset(("event", "sent"))


class Audience(NamedTuple):
    """A named audience: its name and its SELECT."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Audiences:
    """The named audiences of a loops folder, by name, with the file and the faults of each."""

    known: Mapping[str, Audience] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)

    def used_by(self, names: Iterable[str]) -> list[str]:
        """These audiences and all that they read, each behind what it reads itself."""
        found: dict[str, None] = {}
        todo = [(name, False) for name in sorted(set(names) & self.known.keys(), reverse=True)]
        begun: set[str] = set()
        while todo:
            name, read = todo.pop()
            if read:
                found[name] = None
            elif name not in begun:
                begun.add(name)
                todo.append((name, True))
                todo += [(other, False) for other in sorted(self.reads(name), reverse=True)]
        return list(found)

    def reads(self, name: str) -> frozenset[str]:
        """The audiences that an audience reads."""
        return (relations(self.known[name].query) or frozenset()) & self.known.keys()


def read_audiences(root: Path) -> Audiences:
    """Every ``segments/*.sql`` below the loops folder; never raises for what a file says."""
    known, files, faults = {}, {}, {}
    for path in sorted((root / FOLDER).glob("*.sql")):
        if path.name[0] in "._":
            continue
        name, file = path.stem, path.relative_to(root.parent).as_posix()
        text, found = _read(path, file)
        known[name], files[name] = Audience(name, text), file
        faults[name] = (*_name_faults(name, file), *found)
    audiences = Audiences(known, files, faults)
    cycles = {name: fault for name in known if (fault := _cycle(audiences, name))}
    return Audiences(known, files, {name: (*faults[name], *cycles.get(name, ())) for name in known})


def _read(path: Path, file: str) -> tuple[str, list[Fault]]:
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        words = f"the file cannot be read: {error.strerror}"
        return "", [Fault(file, 1, 1, "", codes.UNREADABLE, words, "mend the file or its permissions")]
    except UnicodeDecodeError:
        return "", [Fault(file, 1, 1, "", codes.ENCODING, "the file is not UTF-8", "save the file as UTF-8")]
    found = check_select(text)
    return text, [_at(file, text, fault.offset, fault.code, fault.message, fault.suggestion) for fault in found]


def _at(file: str, text: str, offset: int, code: str, message: str, suggestion: str) -> Fault:
    before = text[:offset]
    column = offset - (before.rfind("\n") + 1) + 1
    return Fault(file, before.count("\n") + 1, column, "", code, message, suggestion)


def _name_faults(name: str, file: str) -> Iterator[Fault]:
    if not _NAME.fullmatch(name):
        hint = "rename the file: lower-case letters, digits and '_', a letter first"
        yield Fault(file, 1, 1, "", codes.AUDIENCE_NAME, f"'{name}' is not a name that a query can read", hint)
    elif name in _TAKEN:
        what = f"'{name}' is the name of a relation that loops have already"
        yield Fault(file, 1, 1, "", codes.AUDIENCE_HIDES, what, "rename the file")


def _cycle(audiences: Audiences, name: str) -> tuple[Fault, ...]:
    """A fault if the audience reads itself, by way of others or at once."""
    reached: set[str] = set()
    todo: list[tuple[str, tuple[str, ...]]] = [(name, (name,))]
    while todo:
        at, way = todo.pop()
        for other in sorted(audiences.reads(at), reverse=True):
            if other == name:
                text = audiences.known[name].query
                found = re.search(rf"\b{re.escape(way[1] if len(way) > 1 else name)}\b", text)
                around = " → ".join((*way, name))
                what = f"the audience reads itself: {around}"
                hint = "an audience that has a table's name cannot read that table" if len(way) == 1 else "cut the ring"
                offset = found.start() if found else 0
                return (_at(audiences.files[name], text, offset, codes.AUDIENCE_CYCLE, what, hint),)
            if other not in reached:
                reached.add(other)
                todo.append((other, (*way, other)))
    return ()


def check_audiences(root: Node, audiences: Audiences) -> tuple[tuple[Audience, ...], list[Fault]]:
    """The audiences that a loop's SQL reads, each behind what it reads itself, and everything wrong with them."""
    read: set[str] = set()
    faults: list[Fault] = []
    for loc, check in places(root):
        node = root.get(*loc)
        text = node.text() if node is not None else None
        if node is None or text is None or check is check_update or check(text):
            continue
        query = f"SELECT 1 WHERE (\n{text}\n)" if check is check_expression else text
        read |= relations(query) or frozenset()
        for name in sorted(own_names(query) & audiences.known.keys()):
            what = f"the query's own '{name}' hides the audience in {audiences.files[name]}"
            line, column = node.place(max(text.find(name), 0))
            path = path_text(loc)
            faults.append(
                Fault(node.source.file, line, column, path, codes.AUDIENCE_HIDES, what, "give it another name")
            )
    used = audiences.used_by(read)
    faults += [fault for name in used for fault in audiences.faults[name]]
    table = root.get("user", "table")
    people = ((table.text() if table is not None else None) or "users").rpartition(".")[2]
    if people in used:
        what = f"the audience has the name of the table of people, '{people}'"
        faults.append(Fault(audiences.files[people], 1, 1, "", codes.AUDIENCE_HIDES, what, "rename the file"))
    return tuple(audiences.known[name] for name in used), faults
