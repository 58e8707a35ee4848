"""The action's `utm`: parameters added to the links of a mail, in its HTML and in a text part written by hand."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING
from urllib.parse import quote

from skene_airflow.message.filters import TAG_LINK
from skene_airflow.message.links import with_query
from skene_airflow.message.markup import Attribute, Scanner
from skene_airflow.message.tags import Piece, literal, split

if TYPE_CHECKING:
    from skene_airflow.loop.actions import Utm

_NAMES = ("source", "medium", "campaign", "term", "content")
_LINKS = frozenset({"a", "area"})
_URL = re.compile(r"https?://[^\s<>\"']+")
_TRAILING = ".,;:!?)]}"


def query_of(utm: Utm | None) -> str:
    """Return the parameters as they stand in a link; empty without any."""
    values = ((name, getattr(utm, name, None)) for name in _NAMES)
    return "&".join(f"utm_{name}={quote(value, safe='')}" for name, value in values if value)


def tag_page(page: str, query: str) -> str:
    """Return a page's Jinja source with the parameters in each web link; a link's own ones stay as they are."""
    if not query:
        return page
    events = Scanner().scan(split(page)).events
    links = [item for event in events if event.kind == "start" and event.text in _LINKS for item in event.attributes]
    for link in sorted(links, key=lambda item: -item.offset):
        if link.name == "href" and link.end > link.begin:
            page = page[: link.begin] + _tagged(link, page[link.begin : link.end], query) + page[link.end :]
    return page


def tag_text(text: str, query: str) -> str:
    """Return a text part's Jinja source with the parameters in each address of a web page that stands in it whole."""
    if not query:
        return text
    pieces = split(text)
    out = []
    for index, piece in enumerate(pieces):
        last = index + 1 == len(pieces)
        out.append(literal(_in_text(piece.text, query, last=last)) if piece.kind == "data" else piece.source)
    return "".join(out)


def _tagged(link: Attribute, written: str, query: str) -> str:
    pieces = [part for part in link.parts if isinstance(part, Piece)]
    if not pieces:
        address = unescape(written).strip()
        tagged = with_query(address, query)
        text = escape(tagged) if link.quote else f'"{escape(tagged)}"'
        return written if tagged == address else literal(text)
    if len(link.parts) == 1 and pieces[0].text.strip() == "unsubscribe_url":
        return written
    return f"{{% filter {TAG_LINK}('{query}') %}}{written}{{% endfilter %}}"


def _in_text(text: str, query: str, *, last: bool) -> str:
    def tag(found: re.Match[str]) -> str:
        if found.end() == len(text) and not last:
            return found.group()  # it goes on in a value
        address = found.group().rstrip(_TRAILING)
        return with_query(address, query) + found.group()[len(address) :]

    return _URL.sub(tag, text)
