"""Where providers post their events. Public, and believed only by its signature."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from skene_airflow.errors import SettingsError, SkeneError
from skene_airflow.feedback.receiver import MOST, Receiver, UnreadableError
from skene_airflow.ledger import events
from skene_airflow.web.bodies import whole_body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from skene_airflow.feedback.shelf import Shelf

log = logging.getLogger(__name__)

KEPT = 60.0
"""Seconds that a connection's secrets are kept: strangers cannot make us look them up for every call."""
_CONN_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_MOST_KEPT = 100
"""Look-ups of unknown names within KEPT; then nobody looks up more for strangers."""


LATER = PlainTextResponse("later", 503, headers={"Retry-After": "60"})
"""What is answered while the ledger, or a secret, cannot be asked."""


class KnownSecrets:
    """The webhook secrets of Airflow connections, each kept for a while. ``find`` asks Airflow."""

    def __init__(self, find: Callable[[str], Sequence[str]]) -> None:
        self._find = find
        self._kept: dict[str, tuple[float, Sequence[str]]] = {}

    def fresh(self, conn_id: str) -> Sequence[str] | None:
        """What is known without asking; None if that is nothing."""
        found = self._kept.get(conn_id)
        return found[1] if found is not None and found[0] >= time.monotonic() else None

    def of(self, conn_id: str) -> Sequence[str] | None:
        """The secrets of a connection; None if strangers have asked for too many names of late."""
        if not _CONN_ID.fullmatch(conn_id):
            return ()
        now = time.monotonic()
        found = self._kept.get(conn_id)
        if found is not None and found[0] >= now:
            return found[1]
        if found is None or not found[1]:  # one that has secrets is asked for again in any case
            self._kept = {name: kept for name, kept in self._kept.items() if kept[1] or kept[0] >= now}
            if len(self._kept) >= _MOST_KEPT:
                return None
        try:
            secrets = self._find(conn_id)
        except SettingsError:  # no such connection
            secrets = ()
        self._kept[conn_id] = (now + KEPT, secrets)
        return secrets


class Receiving:
    """One provider's place."""

    def __init__(self, receiver: Receiver, shelf: Shelf, secrets: KnownSecrets) -> None:
        self._receiver, self._shelf, self._secrets = receiver, shelf, secrets

    async def take(self, request: Request) -> Response:
        """2xx once the event is written, also if it was before; 401 for a call that is not the provider's."""
        body = await whole_body(request, MOST)
        if body is None:
            return PlainTextResponse("too long", 413)
        conn_id = request.path_params.get("conn_id", f"{self._receiver.name}_default")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            secrets = await asyncio.to_thread(self._secrets.of, conn_id)
            if secrets is None:
                return LATER
            if not self._receiver.genuine(headers, body, secrets, time.time()):
                return PlainTextResponse("not genuine", 401)
            for told in self._receiver.read(headers, body):
                await asyncio.to_thread(self._shelf.use, lambda book, told=told: events.hear(book, told))
        except UnreadableError:
            return PlainTextResponse("not an event", 400)
        except SkeneError as error:
            log.error("web: an event of %s was not written: %s", self._receiver.name, error)
            return LATER
        return Response(status_code=204)
