"""HTML with Jinja in it, read as a browser would: where each value lands, and whether it is safe there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Literal

from skene_airflow.message.codes import Code
from skene_airflow.message.filters import GUARD_LINK, GUARD_STYLE
from skene_airflow.message.limits import NESTING_CAP
from skene_airflow.message.links import safe_link
from skene_airflow.message.tags import Piece

_NEXT = re.compile(r"<!--|<!|</?(?=[A-Za-z{])|<\Z|</\Z")
_MSO = re.compile(r"<!--\[if[^\]]*\]>(<!-->|<!---->|<!-- -->)?|(<!--)?<!\[endif\]-->", re.IGNORECASE)
_NAME = re.compile(r"[^\s/>]*")
_END = re.compile(r"([^\s/>]*)[^>]*>?")
_ATTRIBUTE = re.compile(r"[\s/]+|(?P<close>>)|(?P<name>[^\s=>/\"']+)(?P<eq>\s*=\s*)?|(?P<junk>.)", re.DOTALL)
_UNQUOTED = re.compile(r"[^\s>\"']*")
VOID = frozenset({"br", "img", "hr", "input", "meta", "link", "area", "col", "wbr", "source", "base", "embed", "track"})
"""Elements that hold nothing and are never closed."""
_CLOSED_BY_ITSELF = VOID | {
    "p",
    "li",
    "dt",
    "dd",
    "tr",
    "td",
    "th",
    "thead",
    "tbody",
    "tfoot",
    "option",
    "html",
    "body",
    "head",
}
_HTTP = re.compile(r"^http://", re.IGNORECASE)
_RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext"})
BRANCH = "{%"
"""The name under which a block between attributes is kept."""
LINKS = frozenset({"href", "src", "action", "formaction", "background", "poster", "xlink:href", "cite", "data"})


@dataclass(slots=True)
class Attribute:
    """One attribute: literal text and pieces of Jinja, in order.

    Its value stands in the source from ``begin`` to ``end`` (-1: it has none), within ``quote``.
    """

    name: str
    offset: int
    parts: list[str | Piece] = field(default_factory=list)
    begin: int = -1
    end: int = -1
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What a reader of the page meets: text, a print or block of Jinja, the start or end of an element.

    ``offset`` is where attributes can be added to a start.
    """

    kind: Literal["text", "piece", "start", "end"]
    text: str = ""
    piece: Piece | None = None
    attributes: tuple[Attribute, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing wrong at an offset of the source."""

    offset: int
    code: Code
    message: str
    suggestion: str = ""


class Scanner:
    """Reads pieces into events; finds troubles, and the prints in links and styles that need guarding."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.troubles: list[Trouble] = []
        self.guarded: dict[int, str] = {}
        self._mode = "text"
        self._element = ""
        self._named = 0
        self._nested = 0
        self._quote = ""
        self._attributes: list[Attribute] = []
        self._branches: list[tuple[str, str, str]] = []
        self._hidden = False

    def scan(self, pieces: list[Piece]) -> Scanner:
        """Read all pieces and return this scanner."""
        for piece in pieces:
            if piece.kind == "data":
                self._data(piece)
            elif piece.kind == "print":
                self._print(piece)
            else:
                self._block(piece)
        if self._mode not in ("text", "raw"):
            end = pieces[-1].offset + len(pieces[-1].text) if pieces else 0
            self._trouble(end, Code.BROKEN_HTML, f"<{self._element or '!--'} is never closed")
        return self

    def _trouble(self, offset: int, code: Code, message: str, suggestion: str = "") -> None:
        self.troubles.append(Trouble(offset, code, message, suggestion))

    def _emit(self, event: Event) -> None:
        if not self._hidden:
            self.events.append(event)

    def _print(self, piece: Piece) -> None:
        if self._mode == "text":
            self._emit(Event("piece", piece=piece))
        elif self._mode == "value":
            attribute = self._attributes[-1]
            attribute.parts.append(piece)
            if attribute.name == "style":
                self.guarded[piece.offset] = GUARD_STYLE
            if attribute.name.startswith("on") or attribute.name == "srcdoc" or self._element == "meta":
                text = f"a value inside {attribute.name}=… could run as a script"
                self._trouble(piece.offset, Code.UNSAFE_PLACE, text, "mail has no scripts; take it out")
        elif self._mode == "tag":
            text = "a value inside a tag, outside quotes, could add attributes"
            self._trouble(piece.offset, Code.UNSAFE_PLACE, text, 'put it in quotes: name="{{ … }}"')
        elif self._mode == "raw":
            text = f"a value inside <{self._element}> cannot be escaped"
            self._trouble(piece.offset, Code.UNSAFE_PLACE, text, "use it in the text, or in an attribute in quotes")

    def _block(self, piece: Piece) -> None:
        state = (self._mode, self._element if self._mode != "text" else "", self._quote)
        word = piece.word
        if word in ("if", "for"):
            self._branches.append(state)
        elif word in ("elif", "else", "endif", "endfor") and self._branches:
            if self._branches[-1] != state:
                text = f"at `{word}` a tag or attribute stands open that was opened in this branch, or the reverse"
                self._trouble(piece.offset, Code.BROKEN_HTML, text, "put the whole tag into each branch")
                self._mode, self._element, self._quote = self._branches[-1]
            if word.startswith("end"):
                self._branches.pop()
        if self._mode == "value":
            self._attributes[-1].parts.append(piece)
        elif self._mode == "tag":
            self._attributes.append(Attribute(BRANCH, piece.offset))
        elif self._mode == "text":
            self._emit(Event("piece", piece=piece))

    def _data(self, piece: Piece) -> None:
        position = 0
        while position < len(piece.text):
            step = {"text": self._text, "tag": self._tag, "value": self._value, "raw": self._raw}.get(
                self._mode, self._comment
            )
            position = step(piece.text, position, piece.offset)

    def _text(self, text: str, position: int, base: int) -> int:
        found = _NEXT.search(text, position)
        if found is None:
            self._emit(Event("text", unescape(text[position:])))
            return len(text)
        if found.start() > position:
            self._emit(Event("text", unescape(text[position : found.start()])))
        marker = _MSO.match(text, found.start())
        if marker:
            self._hidden = marker.group().lower().startswith("<!--[if") and not marker.group(1)
            return marker.end()
        return self._markup(text, found, base)

    def _markup(self, text: str, found: re.Match[str], base: int) -> int:
        opened = found.group()
        if opened == "<!--":
            self._mode, self._element = "comment", ""
            return found.end()
        if opened == "<!":
            end = text.find(">", found.end())
            return len(text) if end < 0 else end + 1
        if found.end() == len(text):
            self._trouble(base + found.start(), Code.UNSAFE_PLACE, "a `<` right before a value", "write `&lt;`")
            return len(text)
        if opened == "</":
            ended = _END.match(text, found.end())
            name = ended.group(1).lower() if ended else ""
            self._nest(name, -1, base + found.start())
            self._emit(Event("end", name))
            return ended.end() if ended else len(text)
        opening = _NAME.match(text, found.end())
        self._mode, self._element, self._attributes = "tag", opening.group().lower() if opening else "", []
        self._named = base + (opening.end() if opening else len(text))
        return opening.end() if opening else len(text)

    def _tag(self, text: str, position: int, base: int) -> int:
        found = _ATTRIBUTE.match(text, position)
        if found is None:
            return len(text)
        if found.group("close"):
            self._start()
        elif found.group("name"):
            attribute = Attribute(found.group("name").lower(), base + found.start())
            self._attributes.append(attribute)
            if found.group("eq"):
                attribute.begin = base + found.end()
                return self._begin_value(text, found.end(), attribute)
        return found.end()

    def _begin_value(self, text: str, position: int, attribute: Attribute) -> int:
        quote = text[position : position + 1]
        if quote in ("'", '"') and quote:
            self._mode, self._quote = "value", quote
            attribute.quote, attribute.begin = quote, attribute.begin + 1
            return position + 1
        value = _UNQUOTED.match(text, position)
        attribute.parts.append(unescape(value.group() if value else ""))
        attribute.end = attribute.begin + (value.end() - position if value else 0)
        self._check_link(attribute)
        return value.end() if value else position

    def _value(self, text: str, position: int, base: int) -> int:
        end = text.find(self._quote, position)
        attribute = self._attributes[-1]
        stop = len(text) if end < 0 else end
        if stop > position:
            attribute.parts.append(unescape(text[position:stop]))
        if end < 0:
            return stop
        self._mode, self._quote = "tag", ""
        attribute.end = base + stop
        self._check_link(attribute)
        return stop + 1

    def _raw(self, text: str, position: int, _base: int) -> int:
        end = text.lower().find(f"</{self._element}", position)
        if end < 0:
            return len(text)
        self._mode = "text"
        return end

    def _comment(self, text: str, position: int, _base: int) -> int:
        end = text.find("-->", position)
        if end < 0:
            return len(text)
        self._mode = "text"
        return end + 3

    def _nest(self, element: str, change: int, offset: int) -> None:
        if element in _CLOSED_BY_ITSELF:
            return
        self._nested = max(0, self._nested + change)
        if self._nested == NESTING_CAP and change > 0:
            text = f"more than {NESTING_CAP} elements inside each other"
            self._trouble(offset, Code.BROKEN_HTML, text, "close what was opened")

    def _start(self) -> None:
        self._nest(self._element, 1, self._named)
        self._emit(Event("start", self._element, attributes=tuple(self._attributes), offset=self._named))
        self._mode = "raw" if self._element in _RAW else "text"

    def _check_link(self, attribute: Attribute) -> None:
        """Refuse a link that begins wrongly; mark the prints that begin one, to be checked for each person."""
        if attribute.name not in LINKS:
            return
        if not attribute.parts:
            self._bad_link(attribute, "")
        start = _Start()
        for part in attribute.parts:
            if isinstance(part, Piece) and part.kind == "block":
                start.pass_block(part.word)
            elif start.here:
                start.here = False
                if isinstance(part, Piece):
                    # Our own link, which leads wherever base_url leads.
                    if part.text.strip() != "unsubscribe_url":
                        self.guarded[part.offset] = GUARD_LINK
                elif not safe_link(part.strip()):
                    self._bad_link(attribute, part)

    def _bad_link(self, attribute: Attribute, part: str) -> None:
        begins = part.strip()
        shown = " ".join(begins[:40].split())
        text = f"{attribute.name} begins with '{shown}'" if begins else f"an empty {attribute.name}"
        hint = "links in mail begin with https:// or mailto:"
        if begins.lower() in ("https://", "http://", "mailto:"):
            text, hint = (
                f"'{shown}' ends where a value begins",
                "write host or address out, or put all of it in the value",
            )
        code = Code.HTTP_LINK if safe_link(_HTTP.sub("https://", begins)) else Code.BAD_LINK
        self._trouble(attribute.offset, code, text, hint)


class _Start:
    """Whether a value read branch by branch may still be empty: each branch begins where its `if` began."""

    def __init__(self) -> None:
        self.here = True
        self._open: list[tuple[bool, bool, bool]] = []  # at the `if`; after any branch so far; has an `else`

    def pass_block(self, word: str) -> None:
        """Go past a block with this first word."""
        if word in ("if", "for"):
            self._open.append((self.here, False, False))
        elif word in ("elif", "else") and self._open:
            began, after, has_else = self._open[-1]
            self._open[-1] = (began, after or self.here, has_else or word == "else")
            self.here = began
        elif word in ("endif", "endfor") and self._open:
            began, after, has_else = self._open.pop()
            # Without an `else` there are people for whom no branch writes anything.
            self.here = after or self.here or (began and not has_else)
