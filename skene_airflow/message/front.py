"""A template file: its front matter and its body, each with its place in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import yaml

from skene_airflow.message.codes import Code
from skene_airflow.message.limits import SOURCE_CAP, TAGS_CAP
from skene_airflow.nouns import Fault

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("subject", "preheader")
_BARE_JINJA = re.compile(r"^(\w+:[ \t]+)(\{[{%].*?)[ \t]*$", re.MULTILINE)
_CUT = re.compile(r"^\w+:[ \t]+(?![\"'|>]|\{[{%])[^\n]*?[ \t](#)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of Jinja in a file: where its first character stands (both count from 1)."""

    name: str
    source: str
    line: int
    column: int


@dataclass(slots=True)
class TemplateFile:
    """One file as people know it (``label``), its parts, and the faults found so far."""

    label: str
    text: str = ""
    subject: Part | None = None
    preheader: Part | None = None
    body: Part = field(default_factory=lambda: Part("", "", 1, 1))
    faults: list[Fault] = field(default_factory=list)

    def fault(self, line: int, column: int, path: str, code: Code, message: str, suggestion: str = "") -> None:
        """Note one fault of this file."""
        self.faults.append(Fault(self.label, line, column, path, code.value, message, suggestion))

    def find(self, part: Part, line: int, word: str, nth: int = 0) -> tuple[int, int]:
        """Return line and column of a word on a line of a part; its beginning if it is not there."""
        lines = self.text.split("\n")
        row = part.line + line - 1
        start = part.column - 1 if line == 1 else 0
        if not 1 <= row <= len(lines):
            return part.line, part.column
        before = r"(?<![\w.])" if word[:1].isidentifier() else ""
        after = r"(?!\w)" if word[-1:].isidentifier() else ""
        found = list(re.compile(before + re.escape(word) + after).finditer(lines[row - 1], start))
        if not found:
            return row, start + 1
        return row, found[min(nth, len(found) - 1)].start() + 1

    def place(self, part: Part, offset: int) -> tuple[int, int]:
        """Return line and column of an offset of a part."""
        before = part.source[:offset]
        line = before.count("\n")
        last = offset - (before.rfind("\n") + 1)
        return part.line + line, last + (part.column if not line else 1)


def read_file(path: Path, label: str) -> TemplateFile:
    """Read a template file; what is wrong stands in its ``faults``."""
    file = TemplateFile(label)
    text = read_text(path, file)
    if text is None:
        return file
    file.text = text
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        file.fault(1, 1, "", Code.NO_FRONT_MATTER, "a template begins with front matter", _EXAMPLE)
        return file
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        file.fault(1, 1, "", Code.NO_FRONT_MATTER, "the front matter never ends", "close it with a line `---`")
        return file
    file.body = Part("body", "\n".join(lines[end + 1 :]), end + 2, 1)
    _front_matter(file, "\n".join(lines[1:end]))
    return file


def read_text(path: Path, file: TemplateFile) -> str | None:
    """Return a file's text with plain line ends, or note why it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        file.fault(1, 1, "", Code.UNREADABLE, f"the file cannot be read: {error.strerror}")
        return None
    if len(raw) > SOURCE_CAP:
        file.fault(1, 1, "", Code.UNREADABLE, f"the file is larger than {SOURCE_CAP // 1024} kB", "make it shorter")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        file.fault(line, column, "", Code.UNREADABLE, "the file is not UTF-8", "save it as UTF-8")
        return None
    if text.count("{{") + text.count("{%") > TAGS_CAP:
        file.fault(1, 1, "", Code.UNREADABLE, f"the file has more than {TAGS_CAP} Jinja tags", "make it shorter")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


_EXAMPLE = "begin with the lines `---`, `subject: …`, `---`"


def _front_matter(file: TemplateFile, text: str) -> None:
    for cut in _CUT.finditer(text):
        line = text.count("\n", 0, cut.start()) + 2
        column = cut.start(1) - cut.start() + 1
        message = "YAML takes ` #` for a comment and cuts the text there"
        file.fault(line, column, "", Code.BAD_FRONT_MATTER, message, "put the text in quotes")
    # People write `subject: {{ name }}, hello`, which YAML would read as a mapping.
    quoted = _BARE_JINJA.sub(lambda found: found.group(1) + "'" + found.group(2).replace("'", "''") + "'", text)
    try:
        root = yaml.compose(quoted, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 2, mark.column + 1) if mark else (2, 1)
        hint = "put the text in quotes"
        file.fault(line, column, "", Code.BAD_FRONT_MATTER, f"this is not YAML: {error.problem}", hint)
        return
    except yaml.YAMLError:
        file.fault(2, 1, "", Code.BAD_FRONT_MATTER, "this is not YAML", "write `subject: …`")
        return
    if root is not None and not isinstance(root, yaml.MappingNode):
        file.fault(2, 1, "", Code.BAD_FRONT_MATTER, "the front matter is no mapping", "write `subject: …`")
        return
    _keys(file, root)


def _keys(file: TemplateFile, root: yaml.MappingNode | None) -> None:
    seen: set[str] = set()
    for key, value in root.value if root else ():
        name, line, column = str(key.value), key.start_mark.line + 2, key.start_mark.column + 1
        if name not in KEYS:
            near = get_close_matches(name, KEYS, 1)
            hint = f"did you mean '{near[0]}'?" if near else "there are `subject` and `preheader`"
            file.fault(line, column, name, Code.UNKNOWN_KEY, "unknown key", hint)
        elif name in seen:
            file.fault(line, column, name, Code.DUPLICATE_KEY, "this key stands here twice", "keep one of them")
        elif not isinstance(value, yaml.ScalarNode):
            file.fault(line, column, name, Code.BAD_FRONT_MATTER, "this is no text", "put it in quotes")
        else:
            seen.add(name)
            mark = value.start_mark
            setattr(file, name, Part(name, str(value.value).strip(), mark.line + 2, mark.column + 1))
    told = any(fault.path == "subject" for fault in file.faults)
    if not told and (file.subject is None or not file.subject.source):
        file.fault(1, 1, "subject", Code.NO_SUBJECT, "a mail needs a subject", "write `subject: …`")
