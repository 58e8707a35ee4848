"""YAML text → a tree of nodes with positions, or the faults that make it unreadable.

The scanner is libyaml's; what its events mean is decided here, in one pass with bounds on depth and size,
so that no file can make the parser of everybody's loops slow.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from skene_airflow.loop import codes
from skene_airflow.loop.nodes import Entry, Node, Source
from skene_airflow.loop.scalars import NumberTooLongError, resolve
from skene_airflow.loop.yaml_faults import Stop, stop, syntax_stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.nouns import Fault

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 2_000

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.1 scanners break lines at the last three; YAML 1.2 does not. Nobody means them.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|(?!^)\ufeff")
_CUT: Final = re.compile(r"([ \t]+)#(.?)")


@dataclass(slots=True)
class Parsed:
    """What a YAML file says: the root (None if it cannot be read at all) and the faults found on the way."""

    source: Source
    root: Node | None
    faults: list[Fault] = field(default_factory=list)


def parse(raw: bytes, file: str) -> Parsed:
    """Read one YAML file; never raises for what the file says."""
    source = Source(file, "")
    try:
        source = Source(file, _decode(raw, source))
        builder = _Builder(source)
        builder.run()
    except Stop as refused:
        return Parsed(source, None, [refused.fault])
    except yaml.YAMLError as error:
        return Parsed(source, None, [syntax_stop(error, source).fault])
    if builder.root is None or (builder.root.value is None and not builder.faults):
        fault = stop(source, 1, 1, codes.EMPTY, "the file says nothing", "write at least type, opinion and steps")
        return Parsed(source, None, [fault.fault])
    return Parsed(source, builder.root, builder.faults)


def invisible(key: str) -> str | None:
    """The first character of a key that nobody can see, or None."""
    return next((sign for sign in key if unicodedata.category(sign) == "Cf" or sign == "\xa0"), None)


def _decode(raw: bytes, source: Source) -> str:
    if len(raw) > MAX_BYTES:
        what = f"the file is larger than {MAX_BYTES:,} bytes"
        raise stop(source, 1, 1, codes.TOO_LARGE, what, "move long SQL into a view of your database")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or raw[:4].count(0) >= 2:
        raise stop(source, 1, 1, codes.ENCODING, "the file is UTF-16 or UTF-32", "save the file as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = _unix(raw[: error.start].decode("utf-8"))
        line = before.count("\n") + 1
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise stop(source, line, _column(before), codes.ENCODING, what, "save the file as UTF-8") from None
    text = _unix(text.removeprefix("\ufeff"))
    if found := _CONTROL.search(text):
        before = text[: found.start()]
        what = f"the control character U+{ord(found.group()):04X} does not belong in a loop"
        raise stop(source, before.count("\n") + 1, _column(before), codes.CONTROL, what, "delete it")
    return text


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _column(before: str) -> int:
    return len(before) - (before.rfind("\n") + 1) + 1


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _end(event: yaml.Event) -> tuple[int, int]:
    mark = event.end_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


@dataclass(slots=True)
class _Frame:
    """An open map or list; ``key`` is the key that waits for its value, ``anchor`` the name it was given."""

    node: Node
    anchor: str | None
    key: tuple[str, int, int] | None = None


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines = source.text.split("\n")
        self.root: Node | None = None
        self.faults: list[Fault] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node | None] = {}
        self._values = 0
        self._documents = 0

    def run(self) -> None:
        steps: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        for event in yaml.parse(self.source.text, Loader=_LOADER):
            if step := steps.get(type(event)):
                step(event)

    def _stop(self, event: yaml.Event, code: str, what: str, hint: str) -> Stop:
        return stop(self.source, *_place(event), code, what, hint)

    def _document(self, event: yaml.Event) -> None:
        self._documents += 1
        if self._documents > 1:
            what = "a second YAML document begins here"
            raise self._stop(event, codes.DOCUMENTS, what, "one file is one loop; make it a file of its own")

    def _check_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")[:40]
            what = f"the tag {shown} is not used in loops"
            raise self._stop(event, codes.YAML_FEATURE, what, "leave it out; quotes make a value text")

    def _count(self, event: yaml.Event, size: int = 1) -> None:
        self._values += size
        if self._values > MAX_VALUES:
            what = f"the file has more than {MAX_VALUES:,} values (an alias counts for all that it repeats)"
            raise self._stop(event, codes.TOO_DEEP, what, "split it into several loops")

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event)
        self._count(event)
        if len(self._frames) >= MAX_DEPTH:
            what = f"nested more than {MAX_DEPTH} levels deep"
            raise self._stop(event, codes.TOO_DEEP, what, "no key of a loop is that deep")
        line, column = _place(event)
        empty: dict[str, Entry] | list[Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self._anchors[event.anchor] = None  # open: an alias to it would hold itself
        self._frames.append(_Frame(Node(self.source, line, column, empty), event.anchor))

    def _close(self, _: yaml.Event) -> None:
        frame = self._frames.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = frame.node
        self._add(frame.node)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event)
        self._count(event)
        (line, column), style = _place(event), event.style or ""
        is_key = bool(self._frames) and isinstance(self._frames[-1].node.value, dict) and self._frames[-1].key is None
        if is_key:
            return self._key(event)
        if "\x00" in event.value:
            raise self._stop(event, codes.CONTROL, "the text holds a NUL character", "delete it")
        try:
            value = event.value if style else resolve(event.value)
        except NumberTooLongError:
            raise self._stop(event, codes.RANGE, "the number is too long", "quote it if it is text") from None
        node = Node(self.source, line, column, value, style, _end(event)[0])
        if not style and (value is None or isinstance(value, str)):
            node.cut = self._cut(event)
        if event.anchor:
            self._anchors[event.anchor] = node
        return self._add(node)

    def _cut(self, event: yaml.Event) -> str:
        line, column = _end(event)
        found = _CUT.match(self.lines[line - 1], column - 1) if line <= len(self.lines) else None
        if not found:
            return ""
        # `SELECT 1 # two` may lose half a query; `SELECT 1    # a comment` is how comments are set.
        return "sure" if len(found.group(1)) == 1 or found.group(2) not in ("", " ", "#", "!") else "maybe"

    def _key(self, event: yaml.ScalarEvent) -> None:
        frame = self._frames[-1]
        if event.anchor:
            raise self._stop(event, codes.YAML_FEATURE, "a key has an anchor", "leave the anchor out")
        if "\x00" in event.value:
            raise self._stop(event, codes.CONTROL, "the key holds a NUL character", "delete it")
        if hidden := invisible(event.value):
            what = f"the key '{event.value[:60]}' holds an invisible character, U+{ord(hidden):04X}"
            hint = "write plain spaces" if hidden == "\xa0" else "write the key anew"
            raise self._stop(event, codes.CONTROL, what, hint)
        if not isinstance(frame.node.value, dict):
            return
        first = frame.node.value.get(event.value)
        if first is not None:
            what = f"the key '{event.value[:60]}' is written twice in one map, first in line {first.line}"
            fault = self._stop(event, codes.DUPLICATE_KEY, what, "keep one of them").fault
            self.faults.append(fault)
        frame.key = (event.value, *_place(event))

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            what = f"nothing above is anchored as '&{event.anchor}'"
            raise self._stop(event, codes.SYNTAX, what, "quote text that begins with '*'")
        target = self._anchors[event.anchor]
        if target is None:
            raise self._stop(event, codes.YAML_FEATURE, f"'*{event.anchor}' holds itself", "write the value out")
        self._count(event, target.size)
        line, column = _place(event)
        copy = Node(self.source, line, column, target.value, "*", line, target.size)
        self._add(copy)

    def _add(self, node: Node) -> None:
        if not self._frames:
            self.root = node
            return
        frame = self._frames[-1]
        frame.node.size += node.size
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
        elif isinstance(frame.node.value, dict):
            if frame.key is None:
                raise self._strange_key(node)
            text, line, column = frame.key
            frame.node.value.setdefault(text, Entry(self.source, line, column, node))
            frame.key = None

    def _strange_key(self, node: Node) -> Stop:
        before = self.lines[node.line - 1][: node.column - 1]
        if before.endswith("{"):
            what, hint = "without quotes YAML takes '{{' for maps", 'quote the whole value: "{{ user.name }}"'
            return stop(self.source, node.line, node.column - 1, codes.YAML_FEATURE, what, hint)
        what, hint = "a key is a list, a map or an alias", "quote it if it is text"
        return stop(self.source, node.line, node.column, codes.YAML_FEATURE, what, hint)
