"""Jinja source cut into pieces: literal text, prints and blocks, each with its place in the source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_OPEN = re.compile(r"\{\{|\{%|\{#")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*([-+]?)%\}")
_ENDRAW = re.compile(r"\{%([-+]?)\s*endraw\s*([-+]?)%\}")
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?[}%]\}|[()\[\]{}]""", re.DOTALL)
_BRACES = re.compile(r"\{(?=[{%#])|\{\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a template. ``text`` is literal text, or what stands inside the tag.

    ``offset`` is where ``text`` begins in the source. Whitespace control (`-`) is applied already. A piece of kind
    `html` is an included page that Markdown must not read: its ``text`` is a whole Jinja source.
    """

    kind: Literal["data", "print", "block", "html"]
    text: str
    offset: int

    @property
    def source(self) -> str:
        """Jinja source that means this piece again."""
        if self.kind == "data":
            return literal(self.text)
        if self.kind == "html":
            return self.text
        return f"{{{{ {self.text.strip()} }}}}" if self.kind == "print" else f"{{% {self.text.strip()} %}}"

    @property
    def word(self) -> str:
        """The first word of a block (`if`, `endfor`)."""
        return self.text.split(None, 1)[0] if self.text.strip() else ""


def literal(text: str) -> str:
    """Return Jinja source that prints the text as it is."""
    return _BRACES.sub("{{ '{' }}", text)


def split(source: str) -> list[Piece]:
    """Cut a source that Jinja can parse into pieces; comments are left out."""
    pieces: list[Piece] = []
    position, strip_next = 0, False
    while position < len(source):
        opened = _OPEN.search(source, position)
        end = opened.start() if opened else len(source)
        _add_data(pieces, source[position:end], position, strip_next, _marked(source, end))
        if opened is None:
            break
        position, strip_next = _tag(pieces, source, end)
    return pieces


def _marked(source: str, start: int) -> bool:
    return source[start + 2 : start + 3] == "-"


def _add_data(pieces: list[Piece], text: str, offset: int, lstrip: bool, rstrip: bool) -> None:
    if lstrip:
        stripped = text.lstrip()
        offset, text = offset + len(text) - len(stripped), stripped
    if rstrip:
        text = text.rstrip()
    if text:
        pieces.append(Piece("data", text, offset))


def _tag(pieces: list[Piece], source: str, start: int) -> tuple[int, bool]:
    """Read the tag at ``start``; return where it ends and whether it strips what follows."""
    if source.startswith("{#", start):
        end = source.find("#}", start + 2)
        return (len(source), False) if end < 0 else (end + 2, source[end - 1] == "-")
    raw = _RAW.match(source, start)
    if raw:
        return _raw(pieces, source, raw)
    closing = "}}" if source.startswith("{{", start) else "%}"
    begin = start + 2 + (source[start + 2 : start + 3] in ("-", "+"))
    depth = 0
    for token in _TOKEN.finditer(source, begin):
        mark = token.group()
        if mark.endswith(closing) and not depth:
            kind: Literal["print", "block"] = "print" if closing == "}}" else "block"
            pieces.append(Piece(kind, source[begin : token.start()], begin))
            return token.end(), mark.startswith("-")
        depth = max(0, depth + _depth(mark))
    return len(source), False


def _depth(mark: str) -> int:
    if mark[0] in "'\"":
        return 0
    return sum(char in "([{" for char in mark) - sum(char in ")]}" for char in mark)


def _raw(pieces: list[Piece], source: str, opened: re.Match[str]) -> tuple[int, bool]:
    closed = _ENDRAW.search(source, opened.end())
    if closed is None:
        return len(source), False
    body = source[opened.end() : closed.start()]
    _add_data(pieces, body, opened.end(), opened.group(1) == "-", closed.group(1) == "-")
    return closed.end(), closed.group(2) == "-"
