"""A Hasura v2 that is none: metadata, events and GraphQL over a real PostgreSQL, as its documentation says.

Nothing of Hasura's runs here. Statuses, error codes and payloads are those of https://hasura.io/docs/2.0/ (read in
November 2026); what the docs leave open is in the functions' words. `docker/compose.yaml` has the real one.
"""

from __future__ import annotations

import hmac
import json
import threading
from typing import TYPE_CHECKING, Any, Self

import psycopg

from skene_airflow.testing.hasura_events import Events
from skene_airflow.testing.hasura_graphql import Engine, Session
from skene_airflow.testing.hasura_metadata import Metadata, Refused
from skene_airflow.testing.resend_faults import Reply, json_reply
from skene_airflow.testing.resend_http import DoubleServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_DENIED = 'invalid "x-hasura-admin-secret"/"x-hasura-access-key"'


class HasuraServer:
    """A Hasura double on 127.0.0.1, over the database at ``uri``; a context manager.

    ``environment`` is what `value_from_env` finds. ``fault`` is asked for each call (its path): a Reply answers in
    place of Hasura. ``calls`` has every body that was posted, by path.
    """

    def __init__(
        self,
        uri: str,
        admin_secret: str = "admin",  # noqa: S107 - a double's
        environment: dict[str, str] | None = None,
        fault: Callable[[str], Reply | None] | None = None,
        port: int = 0,
    ) -> None:
        self._uri, self._secret, self._fault = uri, admin_secret, fault
        self.environment = environment if environment is not None else {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.Lock()
        self.events = Events(self._connect, self.environment, lambda: self.metadata.tables)
        self.metadata = Metadata(self._connect, self.events.install)
        self._engine = Engine(self.metadata, self._connect)
        self._http = DoubleServer(("127.0.0.1", port), self._receive)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def track(self, name: str, schema: str = "public", **permissions: Any) -> None:
        """Track a table, as the console would; ``permissions`` are further keys of its entry."""
        self.metadata.run({"type": "pg_track_table", "args": {"table": {"schema": schema, "name": name}}})
        self.metadata.tables[-1] |= permissions

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._uri, autocommit=True)

    def _receive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        fault = self._fault(path) if self._fault else None
        if fault is not None:
            return fault
        if (method, path) == ("GET", "/healthz"):
            return Reply(200, b"OK", (("Content-Type", "text/plain"),))
        if method != "POST" or path not in ("/v1/graphql", "/v1/metadata"):
            return json_reply(404, {"path": "$", "error": "resource does not exist", "code": "not-found"})
        try:
            call = json.loads(body)
        except ValueError:
            return json_reply(400, {"path": "$", "error": "Error in $: not enough input", "code": "invalid-json"})
        with self._lock:
            self.calls.append((path, call))
            known = hmac.compare_digest(self._secret.encode(), headers.get("x-hasura-admin-secret", "").encode())
            return (
                self._metadata(call, headers, known) if path == "/v1/metadata" else self._graphql(call, headers, known)
            )

    def _metadata(self, call: dict[str, Any], headers: dict[str, str], known: bool) -> Reply:
        if not known:
            return json_reply(401, {"path": "$", "error": _DENIED, "code": "access-denied"})
        if headers.get("x-hasura-role", "admin") != "admin":
            return json_reply(400, {"path": "$", "error": "restricted access : admin only", "code": "access-denied"})
        try:
            return json_reply(200, self.metadata.run(call))
        except Refused as refused:
            return json_reply(refused.status, refused.content)

    def _graphql(self, call: dict[str, Any], headers: dict[str, str], known: bool) -> Reply:
        # A wrong secret is an answer of 200 here: that is how GraphQL over HTTP tells errors in Hasura v2.
        if not known:
            error = {"message": _DENIED, "extensions": {"path": "$", "code": "access-denied"}}
            return json_reply(200, {"errors": [error]})
        session = Session({name: value for name, value in headers.items() if name.startswith("x-hasura-")})
        return json_reply(200, self._engine.answer(call, session))
