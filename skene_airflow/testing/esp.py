"""`skene-airflow esp`: the Resend double as a server for development, with a page to read what it took."""

from __future__ import annotations

import json
import random
import re
import threading
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from jinja2 import Environment

from skene_airflow.testing.resend_events import stamp
from skene_airflow.testing.resend_faults import FAULTS, Reply, json_reply
from skene_airflow.testing.resend_server import ResendServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from skene_airflow.testing.resend_events import Webhook
    from skene_airflow.testing.resend_state import Accepted, Request

SHOWN = 500
"""The most mails in the list of the page."""
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
_PAGE = re.compile(r"/mails/([0-9a-f-]{36})(?:/(html|text|headers|source|body))?")
_SAFE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_FRAME = "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
# The mail itself: no scripts, no forms, no network at all, in an origin of its own.
_MAIL = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "


class Esp:
    """A Resend-compatible server on 127.0.0.1 that sends nothing. ``url`` is its base URL; a context manager.

    ``faults`` maps names of FAULTS to the share of calls that get them; `POST /_faults` plans one for the next calls.
    ``rate`` is the calls a second it allows. ``data`` keeps mails and keys over a restart.
    """

    def __init__(
        self,
        port: int = 0,
        data: Path | None = None,
        webhook: Webhook | None = None,
        rate: int | None = 10,
        faults: Mapping[str, float] | None = None,
        api_key: str | None = None,
    ) -> None:
        """Raises OSError if the port is taken or the folder cannot be written."""
        self._shares, self._planned, self._lock = dict(faults or {}), list[str](), threading.Lock()
        self.server = ResendServer(
            faults=self._fault,
            api_key=api_key,
            rate_limit=rate,
            port=port,
            data=data,
            webhook=webhook,
            routes=self._route,
            hang=30.0,
        )
        self.url = self.server.url

    def __enter__(self) -> Esp:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering."""
        self.server.close()

    def _fault(self, _: Request) -> str | None:
        with self._lock:
            if self._planned:
                return self._planned.pop(0)
        # One number for all shares, so that they add up.
        at = random.random()  # noqa: S311 - chaos is no secret
        for name, share in self._shares.items():
            if at < share:
                return name
            at -= share
        return None

    def _route(self, request: Request) -> Reply | None:
        url = urlsplit(request.path)
        page = _PAGE.fullmatch(url.path)
        if url.path not in {"/", "/esp.css", "/_faults"} and not page:
            return None
        # A name that a stranger's website lets point here (DNS rebinding), or a form of it, gets nothing.
        own = request.headers.get("origin", self.url) in {self.url, self.url.replace("127.0.0.1", "localhost")}
        if not _LOCAL.fullmatch(request.headers.get("host", "")) or not own:
            return Reply(403, b"Only for this machine.", _plain())
        if url.path == "/_faults":
            return self._plan(request)
        if request.method != "GET":
            return Reply(405, b"Read only.", _plain())
        if url.path == "/esp.css":
            return Reply(200, _file("esp.css").encode(), (("Content-Type", "text/css; charset=utf-8"), *_SAFE))
        return self._page(page, parse_qs(url.query).get("q", [""])[0])

    def _plan(self, request: Request) -> Reply:
        if request.method == "POST":
            try:
                asked = request.payload
                name, times = asked["fault"], asked.get("times", 1)
                good = name in FAULTS and isinstance(times, int) and 0 <= times <= 10_000
            except (ValueError, TypeError, KeyError, AttributeError):
                good = False
            if not good:
                known = ", ".join(FAULTS)
                return json_reply(400, {"message": f'Write {{"fault": NAME, "times": N}}; names: {known}'})
            with self._lock:
                self._planned += [name] * times
        if request.method == "DELETE":
            with self._lock:
                self._planned.clear()
        with self._lock:
            return json_reply(200, {"planned": list(self._planned), "shares": self._shares})

    def _page(self, page: re.Match[str] | None, q: str) -> Reply:
        rows, mail, view = self.server.accepted, None, "html"
        if page:
            mail = next((row for row in reversed(rows) if row.id == page[1]), None)
            view = page[2] or ("html" if mail and (mail.mail or {}).get("html") else "text")
            if mail is None:
                return Reply(404, b"There is no such mail.", _plain())
            if view == "body":
                return Reply(200, str((mail.mail or {}).get("html") or "").encode("utf-8", "replace"), _html(_MAIL))
        found = [row for row in reversed(rows) if _fits(row, q.casefold())]
        text = _template().render(
            q=q,
            query=f"?q={quote(q)}" if q else "",
            url=self.url,
            total=len(rows),
            found=len(found),
            rows=[self._facts(row) for row in found[:SHOWN]],
            mail=self._facts(mail) if mail else None,
            view=view,
            body=_body(mail, view) if mail else "",
        )
        return Reply(200, text.encode("utf-8", "replace"), _html(_FRAME))

    def _facts(self, row: Accepted) -> dict[str, Any]:
        mail = row.mail or {}
        return {
            "id": row.id,
            "to": _joined(mail.get("to", row.to)),
            "sender": mail.get("from", ""),
            "subject": mail.get("subject") or "(no subject)",
            "reply_to": _joined(mail.get("reply_to", "")),
            "time": stamp(row.at)[:19].replace("T", " ") + " UTC",
            "tags": list(row.tags.items()),
            "key": row.idem_key,
            "last_event": self.server.events.last(row),
        }


def _body(row: Accepted, view: str) -> str:
    mail = dict(row.mail or {})
    if view == "text":
        return str(mail.get("text") or "(no text part)")
    if view == "headers":
        return "\n".join(f"{name}: {value}" for name, value in mail.get("headers", {}).items()) or "(no headers)"
    return json.dumps(mail, indent=2, ensure_ascii=False)


def _fits(row: Accepted, q: str) -> bool:
    texts = (row.to, str((row.mail or {}).get("subject", "")), *(f"{name}={value}" for name, value in row.tags.items()))
    return not q or any(q in text.casefold() for text in texts)


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value or ()))


def _html(policy: str) -> tuple[tuple[str, str], ...]:
    framed = policy + ("frame-ancestors 'self'" if policy is _MAIL else "frame-ancestors 'none'")
    return (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", framed), *_SAFE)


def _plain() -> tuple[tuple[str, str], ...]:
    return (("Content-Type", "text/plain; charset=utf-8"), *_SAFE)


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("esp.html"))
