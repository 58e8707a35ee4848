"""The frame around a body: the shipped layout, the hidden preheader, the standard footer."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

_DOCUMENT = re.compile(r"\s*(?:<!--.*?-->\s*)*(?:<!doctype\b|<html\b)", re.IGNORECASE | re.DOTALL)
_BODY_START = re.compile(r"<body\b(?:\{\{.*?\}\}|\{%.*?%\}|[^>])*>", re.IGNORECASE | re.DOTALL)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


def is_document(html: str) -> bool:
    """Tell whether a body is a whole page, which no layout goes around."""
    return _DOCUMENT.match(html) is not None


def dress(body: str, *, subject: str, preheader: str, footer: str) -> str:
    """Return the whole page as a Jinja source; all arguments are Jinja sources."""
    hidden = _part("preheader.html").replace("[[preheader]]", preheader) if preheader else ""
    if is_document(body):
        return _into(body, hidden, footer)
    parts = {"subject": subject, "preheader": hidden, "body": body, "footer": footer}
    return re.sub(r"\[\[(\w+)\]\]", lambda found: parts[found.group(1)], _part("layout.html"))


def standard_footer() -> str:
    """Return the Jinja source of the footer that marketing mail must carry."""
    return _part("footer.html")


def _into(page: str, hidden: str, footer: str) -> str:
    started = _BODY_START.search(page)
    if started:
        page = page[: started.end()] + hidden + page[started.end() :]
    ends = list(_BODY_END.finditer(page))
    at = ends[-1].start() if ends else len(page)
    return page[:at] + footer + page[at:]


@lru_cache(maxsize=8)
def _part(name: str) -> str:
    return (files("skene_airflow.message") / "layouts" / name).read_text(encoding="utf-8").strip() + "\n"
