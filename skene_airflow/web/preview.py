"""The preview: every mail of a loops folder on one page of this machine, reloading as files are saved."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from skene_airflow.web.showing import Showing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from skene_airflow.message.render import Site
    from skene_airflow.web.showing import People

HOSTS = ("127.0.0.1", "localhost", "[::1]", "testserver")
"""The names that this machine calls itself; a page elsewhere that points its own name here is turned away."""
PAUSE = 0.5
"""Seconds between two looks at the files."""
_SAFE = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = _SAFE | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}
# A mail is a stranger here: it may look like itself and load pictures, and can run nothing.
_MAIL = _SAFE | {
    "Content-Security-Policy": "sandbox allow-same-origin allow-popups; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src https: data:; font-src https:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'",
}
_ASSETS = {"preview.css": "text/css", "preview.js": "text/javascript"}


def preview_app(root: Path, site: Site, people: People | None = None) -> Starlette:
    """The app over the loops folder ``root``. ``people`` finds real persons; without it there are sample values."""
    return _Preview(Showing(root, site, people)).app()


class _Preview:
    """The routes; each reads the files anew."""

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._pages = Environment(
            loader=PackageLoader("skene_airflow.web", "pages"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/mail", self._mail),
                Route("/mail.eml", self._eml),
                Route("/changes", self._changes),
                Route("/{name:str}", _asset),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)],
        )

    def _page(self, request: Request) -> Response:
        shown = self._showing.page(dict(request.query_params))
        return HTMLResponse(self._pages.get_template("preview.html").render(shown), headers=_PAGE)

    def _mail(self, request: Request) -> Response:
        look, trouble = self._showing.look(dict(request.query_params))
        if look is None:
            return PlainTextResponse(trouble, 404, headers=_MAIL)
        return HTMLResponse(look.message.html, headers=_MAIL)

    def _eml(self, request: Request) -> Response:
        look, trouble = self._showing.look(dict(request.query_params))
        if look is None:
            return PlainTextResponse(trouble, 404, headers=_SAFE)
        attached = _SAFE | {"Content-Disposition": 'attachment; filename="mail.eml"'}
        return Response(look.eml, media_type="message/rfc822", headers=attached)

    def _changes(self, request: Request) -> Response:
        return StreamingResponse(self._told(request), media_type="text/event-stream", headers=_SAFE)

    async def _told(self, request: Request) -> AsyncIterator[str]:
        """Says hello, then a line for each change of the files, and something now and then to keep the line open."""
        known, silent = request.query_params.get("seen") or self._showing.seen(), 0.0
        yield "retry: 1000\n\n"
        while not await request.is_disconnected():
            await asyncio.sleep(PAUSE)
            silent += PAUSE
            state = await asyncio.to_thread(self._showing.seen)
            if state != known:
                known, silent = state, 0.0
                yield "event: changed\ndata: files\n\n"
            elif silent >= 15:
                silent = 0.0
                yield ": still here\n\n"


def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        return PlainTextResponse("there is nothing here", 404, headers=_SAFE)
    return Response(_read(name), media_type=_ASSETS[name], headers=_SAFE)


@lru_cache(maxsize=4)
def _read(name: str) -> str:
    return (files("skene_airflow.web") / "pages" / name).read_text(encoding="utf-8")
