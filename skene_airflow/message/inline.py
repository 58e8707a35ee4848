"""CSS from a page's `<style>` written into the elements, once, when a template is compiled."""

from __future__ import annotations

import re
from collections import deque
from html import escape
from html.parser import HTMLParser

from css_inline import CSSInliner

from skene_airflow.message.markup import BRANCH, Attribute, Event, Scanner
from skene_airflow.message.tags import Piece, literal, split

_STYLE = re.compile(r"<style\b([^>]*)>(.*?)</style\s*>", re.IGNORECASE | re.DOTALL)
_SOME_SCREENS = re.compile(r"\bmedia\s*=\s*[\"']?(?!all\b|screen\b)", re.IGNORECASE)
_NUMBER = "data-skene-number"


def inline(page: str) -> str:
    """Return a page's Jinja source with the rules of its `<style>` elements beside what the elements say themselves.

    The elements stay where they are, for what cannot be inlined (`@media`, `:hover`). Rules of a `<style>` that only
    some people get, or that a `media` attribute limits, are not inlined.
    """
    pieces = split(page)
    css = _rules(pieces)
    if not css:
        return page
    starts = [event for event in Scanner().scan(pieces).events if event.kind == "start"]
    found = _computed(_skeleton(pieces, starts), css)
    edits = [edit for number, start in enumerate(starts) if (edit := _edit(page, start, found.get(number, "")))]
    for begin, end, text in sorted(edits, reverse=True):
        page = page[:begin] + text + page[end:]
    return page


def _rules(pieces: list[Piece]) -> str:
    depth, found = 0, []
    for piece in pieces:
        depth += piece.kind == "block" and piece.word in ("if", "for")
        depth -= piece.kind == "block" and piece.word in ("endif", "endfor")
        if piece.kind == "data" and not depth:
            styles = _STYLE.findall(piece.text)
            found += [css for attributes, css in styles if not _SOME_SCREENS.search(attributes)]
    return "\n".join(found)


def _skeleton(pieces: list[Piece], starts: list[Event]) -> str:
    """The page's elements, numbered, without values, styles and whatever else no selector of ours can mean."""
    added: dict[int, str] = {}
    for number, start in enumerate(starts):
        added[start.offset] = f' {_NUMBER}="{number}"'
        added |= {style.offset: "data-own-" for style in start.attributes if style.name == "style"}
    places = deque(sorted(added.items()))
    out: list[str] = []
    for piece in pieces:
        if piece.kind != "data":
            continue
        begin, position = piece.offset, 0
        while places and places[0][0] <= begin + len(piece.text):
            at, text = places.popleft()
            out += [piece.text[position : at - begin], text]
            position = at - begin
        out.append(piece.text[position:])
    return _STYLE.sub("", "".join(out))


def _computed(skeleton: str, css: str) -> dict[int, str]:
    inliner = CSSInliner(inline_style_tags=False, load_remote_stylesheets=False, extra_css=css)
    reader = _Reader()
    reader.feed(inliner.inline(skeleton))
    reader.close()
    return reader.styles


class _Reader(HTMLParser):
    """Collects the style of every numbered element."""

    def __init__(self) -> None:
        super().__init__()
        self.styles: dict[int, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        found = dict(attrs)
        number, style = found.get(_NUMBER), found.get("style")
        if number is not None and style:
            self.styles[int(number)] = style.strip().rstrip(";") + ";"


def _styles(start: Event) -> list[Attribute]:
    return [item for item in start.attributes if item.name == "style" and item.begin >= 0]


def _edit(page: str, start: Event, style: str) -> tuple[int, int, str] | None:
    own = _styles(start)
    if not style or len(own) > 1 or (own and any(item.name == BRANCH for item in start.attributes)):
        return None
    single = bool(own) and own[0].quote == "'"
    written = literal(escape(style, quote=True) if single else escape(style, quote=False).replace('"', "'"))
    if not own:
        return start.offset, start.offset, f' style="{written}"'
    if own[0].quote:
        return own[0].begin, own[0].begin, written
    return own[0].begin, own[0].end, f'"{written}{page[own[0].begin : own[0].end]}"'
