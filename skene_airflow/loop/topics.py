"""The titles of topics, from `_topics.yaml` in the loops folder: `product_tips: Tips for the product`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from skene_airflow.loop import codes
from skene_airflow.loop.shared import OF_ALL
from skene_airflow.loop.source import MAX_BYTES, parse
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from skene_airflow.loop.nodes import Entry
    from skene_airflow.loop.schema import Loop

MARKETING: Final = "marketing"
"""The topic of loops that name none. It stands for all marketing mail, and needs no title."""
LONGEST: Final = 100
"""Characters of a title."""
NO_TITLE: Final = "SK406"
UNUSED_TOPIC: Final = "SK407"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic → title, in the order of the file; with everything that is wrong with the file."""

    titles: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    keys: Mapping[str, Entry] = field(default_factory=dict, repr=False)


def read_topics(root: Path) -> Topics:
    """What the loops folder says of topics; empty without a file. Never raises for what the file says."""
    path = next((root / name for name in OF_ALL if (root / name).is_file()), None)
    if path is None:
        return Topics()
    file = path.relative_to(root.parent).as_posix()
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        return Topics({}, (Fault(file, 1, 1, "", codes.UNREADABLE, what, "mend its permissions"),))
    parsed = parse(raw, file)
    if parsed.root is None or parsed.faults:
        return Topics({}, tuple(parsed.faults))
    if not isinstance(parsed.root.value, dict):
        hint = "write a line for each topic, such as `product_tips: Tips for the product`"
        return Topics({}, (Fault(file, 1, 1, "", codes.NOT_A_MAPPING, "the file is not a map of topics", hint),))
    entries = parsed.root.value
    faults = [fault for name, entry in entries.items() for fault in _faults(name, entry)]
    titles = {name: entry.node.value.strip() for name, entry in entries.items() if isinstance(entry.node.value, str)}
    return Topics({} if faults else titles, tuple(faults), entries)


def lint_topics(topics: Topics, loops: Sequence[Loop]) -> list[Fault]:
    """Topics that only the loops name, and such that only the file names. ``loops`` are all of the folder."""
    if not topics.titles:
        return []
    mailed = [loop for loop in loops if loop.class_ == MARKETING and loop.topic != MARKETING]
    used = {loop.topic for loop in mailed}
    found = [_untitled(loop, topics) for loop in mailed if loop.topic not in topics.titles]
    for name in topics.titles:
        if name not in used and name != MARKETING:
            what = f"no loop writes about '{name}': people can refuse it, and that does nothing"
            hint = f"write `topic: {name}` in a loop, or delete the line"
            found.append(replace(_at(topics.keys[name], name, UNUSED_TOPIC, what, hint), severity="warning"))
    return sorted(found)


def _untitled(loop: Loop, topics: Topics) -> Fault:
    near = get_close_matches(loop.topic, topics.titles, 1)
    what = f"_topics.yaml has no title for '{loop.topic}': mails of other topics do not offer to refuse it"
    hint = f"did you mean '{near[0]}'?" if near else f"write there `{loop.topic}: what people shall read`"
    return replace(loop.fault("topic", NO_TITLE, what, hint), severity="warning")


def _faults(name: str, entry: Entry) -> Iterator[Fault]:
    title = entry.node.value
    if not _NAME.fullmatch(name):
        what = f"'{name}' cannot be a topic"
        yield _at(entry, name, codes.NAME, what, "write lower-case letters, digits and _, a letter first")
    if not isinstance(title, str):
        what = "the title of a topic is text"
        yield _at(entry, name, codes.WRONG_TYPE, what, f"write `{name}: what people shall read`", value=True)
    elif not title.strip() or len(title) > LONGEST or not title.strip().isprintable():
        what = "a title is one line of text" if title.strip() else "the title is empty"
        yield _at(entry, name, codes.BLANK, what, f"write what people shall read, at most {LONGEST} characters")


def _at(entry: Entry, name: str, code: str, what: str, hint: str, *, value: bool = False) -> Fault:
    where = entry.node if value else entry
    return Fault(entry.source.file, where.line, where.column, name, code, what, hint)


def title_of(topic: str, titles: Mapping[str, str]) -> str:
    """The title of a topic, made of its name if nobody wrote one."""
    return titles.get(topic) or topic.replace("_", " ").capitalize()
