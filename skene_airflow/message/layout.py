"""The frame around a body: the shipped layout or the user's own, the hidden preheader, the standard footer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml
from babel import Locale

from skene_airflow.message.languages import chain, proper
from skene_airflow.message.tags import literal, split

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "_layout.html"
"""The file in the templates folder that takes the place of the shipped layout."""
SLOTS = frozenset({"body", "subject", "preheader", "footer", "postal_address", "lang", "dir"})
"""The places of a layout, each printed alone: `{{ body }}`. All but `body` may be left out."""
_DOCUMENT = re.compile(r"\s*(?:<!--.*?-->\s*)*(?:<!doctype\b|<html\b)", re.IGNORECASE | re.DOTALL)
_BODY_START = re.compile(r"<body\b(?:\{\{.*?\}\}|\{%.*?%\}|[^>])*>", re.IGNORECASE | re.DOTALL)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into a layout, as Jinja sources. ``footer`` is empty where the mail has a way to say no already."""

    body: str
    subject: str
    preheader: str
    footer: str
    language: str


def is_document(html: str) -> bool:
    """Tell whether a body is a whole page, which no layout goes around."""
    return _DOCUMENT.match(html) is not None


def shipped() -> str:
    """The Jinja source of the layout for those who have none of their own; a test holds it to what others are held."""
    return _part("layout.html")


def dress(content: Content, layout: str | None) -> str:
    """Return the whole page as a Jinja source; ``layout`` is a Jinja source with slots, None for a whole page."""
    hidden = _part("preheader.html").replace("[[preheader]]", _as_html(content.preheader)) if content.preheader else ""
    if layout is None:
        return _into(content.body, hidden, content.footer)
    parts = {
        "body": content.body,
        "subject": _as_html(content.subject),
        "preheader": hidden,
        "footer": content.footer,
        "postal_address": "{{ _postal_address }}",
        "lang": proper(content.language or "en"),
        "dir": Locale.parse(content.language or "en", sep="-").text_direction,
    }
    used, out = set(), []
    for piece in split(layout):
        slot = piece.text.strip() if piece.kind == "print" else ""
        used.add(slot)
        out.append(parts[slot] if slot in SLOTS else piece.source)
    return _into("".join(out), "" if "preheader" in used else hidden, "" if "footer" in used else content.footer)


def standard_footer(language: str) -> str:
    """Return the Jinja source of the footer that marketing mail must carry, in the language of the template."""
    known = _words()
    word = next((known[tag] for tag in chain(language) if tag in known), known["en"])
    return _part("footer.html").replace("[[unsubscribe]]", word)


def _as_html(text: str) -> str:
    """A subject's source, which is plain text, as it stands in a page."""
    return "".join(literal(escape(piece.text)) if piece.kind == "data" else piece.source for piece in split(text))


def _into(page: str, hidden: str, footer: str) -> str:
    started = _BODY_START.search(page) if hidden else None
    if started:
        page = page[: started.end()] + hidden + page[started.end() :]
    ends = list(_BODY_END.finditer(page))
    at = ends[-1].start() if ends else len(page)
    return page[:at] + footer + page[at:]


@lru_cache(maxsize=1)
def _words() -> Mapping[str, str]:
    found: Mapping[str, str] = yaml.safe_load(_part("unsubscribe.yaml"))
    return found


@lru_cache(maxsize=8)
def _part(name: str) -> str:
    return (files("skene_airflow.message") / "layouts" / name).read_text(encoding="utf-8").strip() + "\n"
