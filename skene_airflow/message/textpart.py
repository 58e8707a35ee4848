"""The plain text of a mail, made from its HTML once: a Jinja source again, so that nothing is parsed per person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError

from skene_airflow.message.environment import sandbox
from skene_airflow.message.markup import BRANCH, VOID, Attribute, Event, Scanner
from skene_airflow.message.tags import Piece, literal, split

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAGRAPHS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "section", "article", "header",
     "footer", "main", "figure", "dl", "form", "hr"}
)  # fmt: skip
_LINES = frozenset({"div", "tr", "li", "dt", "dd", "address", "center", "figcaption", "tbody", "thead", "caption"})
_CELLS = frozenset({"td", "th"})
_SILENT = frozenset({"head", "title", "script", "style", "template", "textarea", "select", "svg", "noscript", "object"})
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_TRAILING = re.compile(r"[ \t]+(?=\n|\Z)")
_WIDE = re.compile(r"(?<=\S)[ \t]{2,}")
_TALL = re.compile(r"\n{3,}")
_AFTER_BREAK = re.compile(r"(?<=\n) (?=\S)")


class NotDerivable(Exception):
    """Branches cut through a link or a hidden element: the text is made from each mail's HTML instead."""


def text_source(html: str) -> str:
    """Return the Jinja source of the text part of a Jinja HTML source. Raises NotDerivable."""
    pieces = split(html)
    scanner = Scanner().scan(pieces)
    writer = _Writer(scanner.guarded)
    source = writer.write(scanner.events)
    if writer.sets != sum(piece.word == "set" for piece in pieces if piece.kind == "block"):
        raise NotDerivable
    try:
        sandbox(escape=False).parse(source)
    except TemplateSyntaxError as error:
        raise NotDerivable from error
    return source


def text_of(html: str) -> str:
    """Return the text part of finished HTML."""
    scanner = Scanner().scan([Piece("data", html, 0)] if html else [])
    writer = _Writer({})
    writer.plain = True
    return tidy(writer.write(scanner.events))


def tidy(text: str) -> str:
    """Return the text without the gaps that branches not taken leave behind."""
    # Looking for two characters costs next to nothing; most texts have nothing to tidy.
    if " \n" in text or "\t" in text or text.endswith(" "):
        text = _TRAILING.sub("", text)
    if "  " in text or "\t" in text:
        text = _WIDE.sub(" ", text)
    if "\n " in text:
        text = _AFTER_BREAK.sub("", text)
    return (_TALL.sub("\n\n", text) if "\n\n\n" in text else text).strip() + "\n"


class _Writer:
    def __init__(self, guarded: Mapping[int, str]) -> None:
        self.plain = False
        self.sets = 0
        self._guarded = guarded
        self._out: list[str] = []
        self._breaks = 2  # line breaks that the output ends with
        self._pending = 0
        self._space = False
        self._at_mark = False
        self._silent: list[str] = []
        self._pre = 0
        self._lists: list[int | None] = []
        self._links: list[tuple[int, str, int]] = []
        self._depth = 0

    def write(self, events: list[Event]) -> str:
        for event in events:
            if self._silent:
                self._skip(event)
            elif event.kind == "text":
                self._text(event.text)
            elif event.kind == "start":
                self._start(event)
            elif event.kind == "end":
                self._end(event.text)
            elif event.piece is not None:
                self._piece(event.piece)
        if self._links:
            raise NotDerivable
        return "".join(self._out).rstrip() + "\n"

    def _skip(self, event: Event) -> None:
        if event.kind == "start" and event.text == self._silent[0]:
            self._silent.append(event.text)
        elif event.kind == "end" and event.text == self._silent[0]:
            self._silent.pop()

    def _literal(self, text: str) -> str:
        return text if self.plain else literal(text)

    def _break(self, count: int) -> None:
        if not self._at_mark:  # a paragraph inside an item begins beside the item's mark
            self._pending = max(self._pending, count)
        self._space = False

    def _flush(self) -> None:
        missing = self._pending - self._breaks
        if missing > 0:
            self._out.append("\n" * missing)
            self._breaks = self._pending
        elif self._space and not self._breaks:
            self._out.append(" ")
        self._pending, self._space = 0, False

    def _put(self, source: str) -> None:
        self._flush()
        self._out.append(source)
        self._breaks, self._at_mark = 0, False

    def _text(self, text: str) -> None:
        if self._pre:
            self._put(self._literal(text))
            return
        words = _SPACES.sub(" ", text)
        if words.startswith(" "):
            self._space, words = True, words[1:]
        trailing = words.endswith(" ")
        words = words[:-1] if trailing else words
        if words:
            self._put(self._literal(words))
        self._space = self._space or trailing

    def _piece(self, piece: Piece) -> None:
        if piece.kind == "print":
            self._put(piece.source)
            return
        # The branch may be passed over, so what stands before it is finished first.
        self._flush()
        self._out.append(piece.source)
        self.sets += piece.word == "set"
        self._depth += piece.word in ("if", "for")
        self._depth -= piece.word in ("endif", "endfor")

    def _start(self, event: Event) -> None:
        name = event.text
        if name in ("a", "img") and any(item.name == BRANCH for item in event.attributes):
            raise NotDerivable
        style = next((item for item in event.attributes if item.name in ("style", "hidden")), None)
        if name in _SILENT or (style and name not in VOID and _is_hidden(style)):
            self._silent.append(name)
        elif name == "br":
            self._flush()
            self._out.append("\n")
            self._breaks += 1
        elif name == "hr":
            self._break(2)
            self._put("----")
            self._break(2)
        elif name == "img":
            self._image(event)
        elif name == "a":
            self._links.append((len(self._out), self._target(event), self._depth))
        elif name == "li":
            self._item()
        else:
            self._layout(name, 1)

    def _layout(self, name: str, change: int) -> None:
        if name in ("ul", "ol"):
            nested = len(self._lists) > (change < 0)
            self._break(1 if nested else 2)
            if change > 0:
                self._lists.append(0 if name == "ol" else None)
            elif self._lists:
                self._lists.pop()
        elif name in _PARAGRAPHS:
            self._break(2)
            self._pre = max(0, self._pre + (change if name == "pre" else 0))
        elif name in _LINES:
            self._break(1)
        elif name in _CELLS:
            self._space = True

    def _item(self) -> None:
        self._at_mark = False
        self._break(1)
        mark = "- "
        if self._lists and self._lists[-1] is not None and not self._depth:
            self._lists[-1] += 1
            mark = f"{self._lists[-1]}. "
        self._put("  " * (len(self._lists) - 1) + mark)
        self._at_mark = True

    def _image(self, event: Event) -> None:
        alt = next((item for item in event.attributes if item.name == "alt"), None)
        source = self._source(alt) if alt else ""
        if source.strip():
            self._put(source)

    def _end(self, name: str) -> None:
        if name == "a" and self._links:
            self._link()
        elif name not in VOID:
            self._at_mark = self._at_mark and name != "li"
            self._layout(name, -1)

    def _link(self) -> None:
        begin, url, depth = self._links.pop()
        if depth != self._depth:
            raise NotDerivable
        label = "".join(self._out[begin:]).strip()
        if not url or label in (url, url.removeprefix("mailto:")):
            return
        pending, self._pending = self._pending, 0
        self._space = bool(label)
        self._put(f"<{url}>")
        self._pending = max(self._pending, pending)

    def _target(self, event: Event) -> str:
        href = next((item for item in event.attributes if item.name == "href"), None)
        source = self._source(href).strip() if href else ""
        return "" if source.startswith("#") else source

    def _source(self, attribute: Attribute) -> str:
        return "".join(
            self._literal(part) if isinstance(part, str) else guard(part, self._guarded) for part in attribute.parts
        )


def guard(piece: Piece, guarded: Mapping[int, str]) -> str:
    """Return a piece's source, with the check around it that its place needs."""
    name = guarded.get(piece.offset) if piece.kind == "print" else None
    if name is None or piece.text.strip().endswith(name):
        return piece.source
    return f"{{{{ ({piece.text.strip()}) | {name} }}}}"


def _is_hidden(attribute: Attribute) -> bool:
    if attribute.name == "hidden":
        return True
    if not _HIDDEN.search("".join(part for part in attribute.parts if isinstance(part, str))):
        return False
    if any(isinstance(part, Piece) for part in attribute.parts):
        raise NotDerivable
    return True
