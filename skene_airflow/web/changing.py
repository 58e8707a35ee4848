"""Where Hasura posts the rows that changed. Public, and believed only by its secret."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, PlainTextResponse, Response

from skene_airflow.errors import SkeneError
from skene_airflow.feedback import hasura
from skene_airflow.feedback.receiver import MOST, UnreadableError
from skene_airflow.ledger import changes
from skene_airflow.web.bodies import whole_body
from skene_airflow.web.gathering import Gathering
from skene_airflow.web.receiving import LATER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from skene_airflow.feedback.shelf import Shelf
    from skene_airflow.ledger.changes import Told
    from skene_airflow.web.receiving import KnownSecrets

log = logging.getLogger(__name__)

TOGETHER = 500
"""The most changes that are written in one statement."""


class Changing:
    """Takes changes. What Hasura hears: 200, it is written, now or before; anything else, and it tries again."""

    def __init__(self, shelf: Shelf, secrets: KnownSecrets, *, migrate: bool = True) -> None:
        """``migrate``: the first change brings the ledger up to date; it may come before any run."""
        self._shelf, self._secrets, self._migrate = shelf, secrets, migrate
        self._changes = Gathering(self._write, TOGETHER)

    async def take(self, request: Request) -> Response:
        """401 for a wrong secret, 413 for too much, 400 for no change, 503 while the ledger cannot be reached."""
        conn_id = request.path_params.get("conn_id", hasura.CONNECTION)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            secrets = self._secrets.fresh(conn_id)
            if secrets is None:
                secrets = await asyncio.to_thread(self._secrets.of, conn_id)
            if secrets is None:
                return LATER
            if not hasura.genuine(headers, secrets):
                return PlainTextResponse("not genuine", 401)
            body = await whole_body(request, MOST)
            if body is None:
                return PlainTextResponse("too long", 413)
            await self._changes.put(hasura.read(body))
        except UnreadableError as error:
            return PlainTextResponse(f"not a change: {error}", 400)
        except SkeneError as error:
            log.error("web: a change that Hasura told of was not written: %s", error)
            return LATER
        return JSONResponse({"written": True})

    def _write(self, told: Sequence[Told]) -> None:
        if self._migrate:
            self._shelf.use(lambda book: book.migrate())
            self._migrate = False
        self._shelf.use(lambda book: changes.write(book, hasura.PROVIDER, told, hasura.ROWS))
