"""What strangers may reach: the page behind the link in every marketing mail, and where providers post.

Deliberately without a login: links and events are signed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from skene_airflow.errors import SkeneError
from skene_airflow.feedback import hasura
from skene_airflow.feedback.receivers import RECEIVERS
from skene_airflow.ledger import suppressions
from skene_airflow.ledger.suppressions import MARKETING, scope_of
from skene_airflow.loop.topics import Topics, read_topics, title_of
from skene_airflow.message.links import Signer
from skene_airflow.web.bodies import whole_body
from skene_airflow.web.changing import Changing
from skene_airflow.web.receiving import KnownSecrets, Receiving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from skene_airflow.feedback.shelf import Shelf
    from skene_airflow.settings import Settings

log = logging.getLogger(__name__)

MOST = 16_384
"""Bytes of a form that are read; what is longer is refused."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A link that somebody opened: whose mail it stood in, and what the mail was about."""

    token: str
    delivery_id: int
    topic: str


class Public:
    """The pages. ``shelf`` lends the ledger; a GET changes nothing, a POST acts at once and may be repeated."""

    def __init__(self, settings: Settings, shelf: Shelf) -> None:
        """Raises SettingsError if there is no secret_key."""
        self._settings, self._shelf, self._signer = settings, shelf, Signer(settings.secret_keys)
        self._pages = Environment(
            loader=PackageLoader("skene_airflow.web", "pages"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    async def show(self, request: Request) -> Response:
        """The page that a link leads to."""
        link = self._link(request)
        return self._lost() if link is None else await self._page(link, "")

    async def act(self, request: Request) -> Response:
        """What a mail program posts (RFC 8058), or one of the page's own buttons."""
        link = self._link(request)
        if link is None:
            return self._lost()
        body = await whole_body(request, MOST)
        if body is None:
            return PlainTextResponse("too long", 413, headers=HEADERS)
        form = parse_qs(body.decode("utf-8", "replace"))
        said, no, yes = self._said(link, form)
        try:
            await asyncio.to_thread(self._shelf.use, lambda book: suppressions.say(book, link.delivery_id, no, yes))
        except SkeneError as error:
            return _later(error)
        return await self._page(link, said)

    def _said(self, link: Refusal, form: dict[str, list[str]]) -> tuple[str, set[str], set[str]]:
        """What was done in a word, the scopes refused, the scopes taken back. Anything unknown is a plain no."""
        choice = form.get("choice", [""])[0]
        if choice == "all":
            return "all", {MARKETING}, set()
        if choice == "again":
            return "again", set(), {MARKETING, scope_of(link.topic)}
        if choice == "save":
            every = {scope_of(name) for name in self._topics(link) if name != MARKETING}
            wanted = {scope_of(name) for name in form.get("topic", [])} & every
            return "saved", every - wanted, wanted
        return "no", {scope_of(link.topic)}, set()

    def _topics(self, link: Refusal) -> dict[str, str]:
        folder = self._settings.loops_folder
        found = read_topics(Path(folder)) if folder else Topics()
        if found.faults:  # to say no must work whatever the titles are
            log.error("web: %s", found.faults[0])
        return {**found.titles, link.topic: title_of(link.topic, found.titles)}

    async def _page(self, link: Refusal, said: str) -> Response:
        try:
            no = await asyncio.to_thread(
                self._shelf.use, lambda book: suppressions.refused(book, link.delivery_id) or frozenset()
            )
        except SkeneError as error:
            return _later(error)
        every = self._topics(link)
        named = [(name, title, scope_of(name) not in no) for name, title in every.items() if name != MARKETING]
        everything = link.topic == MARKETING
        return self._html(
            "no.html", said=said, title=every[link.topic], named=named,
            nothing=MARKETING in no, refused=MARKETING in no or scope_of(link.topic) in no, everything=everything,
        )  # fmt: skip

    def _lost(self) -> Response:
        return self._html("lost.html", 404)

    def _html(self, page: str, status: int = 200, **values: object) -> Response:
        name, address = parseaddr(self._settings.from_email)
        company = name or address.rpartition("@")[2]
        text = self._pages.get_template(page).render(
            company=company, postal_address=self._settings.postal_address, **values
        )
        return HTMLResponse(text, status, headers=HEADERS)

    def _link(self, request: Request) -> Refusal | None:
        token = request.path_params["token"]
        found = self._signer.read(token)
        return None if found is None else Refusal(token, *found)


def public_app(settings: Settings, shelf: Shelf, secrets: Callable[[str], Sequence[str]] = lambda _: ()) -> ASGIApp:
    """The app, at its root and under the path of base_url, so that a proxy may keep that path or take it away.

    ``secrets`` finds the webhook secrets of an Airflow connection. Raises SettingsError if there is no secret_key.
    """
    pages = Public(settings, shelf)
    routes = [
        Route("/u/{token}", pages.show, methods=["GET"]),
        Route("/u/{token}", pages.act, methods=["POST"]),
        Route("/no.css", _style, methods=["GET"]),
    ]
    known = KnownSecrets(secrets)
    places = {name: Receiving(receiver, shelf, known).take for name, receiver in RECEIVERS.items()}
    places[hasura.PATH] = Changing(shelf, known, migrate=settings.auto_migrate).take
    for name, take in places.items():
        routes += [Route(f"/{name}{more}", take, methods=["POST"]) for more in ("", "/{conn_id}")]
    # No redirects: mail programs follow none, and nobody else needs one.
    router = Router(routes, redirect_slashes=False)
    path = urlsplit(settings.base_url).path.rstrip("/")
    if path:
        router.routes.append(Mount(path, Router(list(routes), redirect_slashes=False)))
    app = Starlette()
    app.router = router
    return app


def _later(error: SkeneError) -> Response:
    log.error("web: %s", error)
    return PlainTextResponse("Please try again in a minute.", 503, headers=HEADERS | {"Retry-After": "60"})


def _style(_: Request) -> Response:
    return Response(_read("no.css"), media_type="text/css", headers=HEADERS)


@lru_cache(maxsize=1)
def _read(name: str) -> str:
    return (files("skene_airflow.web") / "pages" / name).read_text(encoding="utf-8")


def unready(error: SkeneError) -> ASGIApp:
    """Stands in for the app while a setting is missing: says so in the log, and nothing to strangers."""
    log.error("web: %s", error)
    return PlainTextResponse("Not found", 404, headers=HEADERS)
