"""A server that behaves like Resend's HTTP interface, to the letter where the letter is known.

It is meant for tests: what it accepted is the only truth about what was sent, whatever the sender believes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from skene_airflow.testing.resend_checks import RefusedError, check_batch, check_mail
from skene_airflow.testing.resend_events import RETRIES, Events, Webhook, stamp
from skene_airflow.testing.resend_faults import FAULTS, Fault, Reply, json_reply, refusal
from skene_airflow.testing.resend_http import DoubleServer
from skene_airflow.testing.resend_journal import Journal
from skene_airflow.testing.resend_state import Accepted, AcceptedLog, Compare, Keys, Request, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEY_LENGTH = 256


class ResendServer:
    """A Resend double on 127.0.0.1. ``url`` is its base URL; use it as a context manager.

    ``faults`` is asked once for each POST: it names a fault of FAULTS, or gives a Reply to answer instead of
    taking anything, or None. ``clock`` (seconds) dates
    everything and ends the 24 hours of a key. Resend does not document whether an error uses up a key
    (``errors_consume_key``), nor whether payloads are compared as bytes or as JSON (``compare``): a good client
    works with each. ``log`` is a file that gets one JSON line for each accepted mail before the answer leaves.
    ``latency`` is how long taking a batch lasts, ``hang`` how long a fault of lateness does; both in seconds.
    ``keep=False`` forgets contents (``requests``, ``Accepted.mail``), for long runs. ``data`` is a folder that keeps
    mails and keys over a restart. ``webhook`` gets the signed events of every mail; what they are depends on the
    address, as with Resend's own test addresses. ``routes`` may answer a call before Resend's rules are asked.
    """

    def __init__(
        self,
        *,
        faults: Callable[[Request], str | Reply | None] | None = None,
        api_key: str | None = None,
        prefix: str = "",
        clock: Callable[[], float] = time.time,
        errors_consume_key: bool = False,
        compare: Compare = "bytes",
        rate_limit: int | None = None,
        latency: float = 0.0,
        hang: float = 60.0,
        log: Path | None = None,
        keep: bool = True,
        port: int = 0,
        data: Path | None = None,
        webhook: Webhook | None = None,
        retries: Sequence[float] = RETRIES,
        routes: Callable[[Request], Reply | None] | None = None,
    ) -> None:
        self._faults, self._api_key, self._prefix, self._clock = faults, api_key, prefix, clock
        self._errors_consume_key, self._latency, self._hang, self._keep = errors_consume_key, latency, hang, keep
        self._keys, self._window = Keys(clock, compare), Window(clock, rate_limit)
        self._log = AcceptedLog(clock, log, keep_mails=keep or data is not None)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._count = 0
        self.requests: list[Request] = []
        self._routes = routes
        self.events = Events(webhook, clock, retries)
        self._journal = Journal(data) if data is not None else None
        self._remember()
        self._http = DoubleServer(("127.0.0.1", port), self.receive)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}{self._prefix}"

    @property
    def accepted(self) -> list[Accepted]:
        """Every mail that was taken, in order; never shortened."""
        return self._log.rows

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._http.connections

    def close(self) -> None:
        """Stop answering, and break what is still open."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._log.close()
            self.events.close()
            if self._journal is not None:
                self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def pause(self, seconds: float) -> None:
        """Wait, unless the server is being closed."""
        self._stopped.wait(seconds)

    def receive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Answer one call."""
        if self._routes is not None:
            answer = self._routes(Request(0, method, path, headers, body, self._clock()))
            if answer is not None:
                return answer
        with self._lock:
            self._count += 1
            request = Request(self._count, method, path, headers, body, self._clock())
            if self._keep:
                self.requests.append(request)
        allowed, counts = self._window.headers()
        reply = self._stranger(request)
        if reply is None and not allowed:
            reply = refusal(429, "rate_limit_exceeded", "Too many requests.", (("retry-after", "1"),))
        if reply is None:
            reply = self._route(request)
        if reply.delivery == "late":
            self.pause(self._hang)
        return replace(reply, headers=(*reply.headers, *counts))

    def _stranger(self, request: Request) -> Reply | None:
        if not request.headers.get("user-agent"):
            return Reply(403, b"error code: 1010", (("Content-Type", "text/plain"),))
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return refusal(401, "missing_api_key", "Send the API key in the Authorization header.")
        if self._api_key is not None and key != self._api_key:
            return refusal(403, "invalid_api_key", "This API key is not valid.")
        return None

    def _route(self, request: Request) -> Reply:
        path = request.path.removeprefix(self._prefix) if request.path.startswith(self._prefix) else ""
        match request.method, path:
            case "POST", "/emails" | "/emails/batch":
                return self._post(request, path)
            case "GET", "/domains":
                return json_reply(200, {"object": "list", "has_more": False, "data": []})
            case "GET", _ if path.startswith("/emails/"):
                return self._look_up(path.removeprefix("/emails/"))
            case _, "/emails" | "/emails/batch" | "/domains":
                return refusal(405, "method_not_allowed", "This method is not allowed here.")
        return refusal(404, "not_found", "There is nothing here.")

    def _look_up(self, email_id: str) -> Reply:
        for row in self.accepted:
            if row.id == email_id:
                return json_reply(200, _found(row, self.events.last(row)))
        return refusal(404, "not_found", "There is no such email.")

    def _post(self, request: Request, path: str) -> Reply:
        fault = self._fault(request)
        if fault is not None and not fault.accepts:
            uses_key = self._errors_consume_key and fault.reply.status in {500, 503}
            return self._once(request, path, lambda: fault.reply) if uses_key else fault.reply
        reply = self._once(request, path, lambda: self._take(request, path, fault))
        return fault.reply if fault is not None and reply.status == 200 else reply

    def _fault(self, request: Request) -> Fault | None:
        planned = self._faults(request) if self._faults is not None else None
        if isinstance(planned, Reply):
            return Fault("planned by the test", planned)
        return None if planned is None else FAULTS[planned]

    def _once(self, request: Request, path: str, act: Callable[[], Reply]) -> Reply:
        key = request.idem_key
        if "idempotency-key" not in request.headers:
            return act()
        if not 1 <= len(key) <= KEY_LENGTH:
            return refusal(400, "invalid_idempotency_key", f"The key must have 1 to {KEY_LENGTH} characters.")
        try:
            known = self._keys.begin(path, key, request.body)
        except ValueError:
            return act()
        if known is not None:
            return known
        kept: Reply | None = None
        try:
            reply = act()
            kept = reply if reply.status == 200 or self._errors_consume_key else None
        finally:
            self._keys.end(path, key, kept)
        return reply

    def _take(self, request: Request, path: str, fault: Fault | None) -> Reply:
        # While a slow call runs, its key is taken.
        self.pause(self._latency)
        try:
            payload = request.payload
        except ValueError:
            return refusal(400, "validation_error", "The body is not valid JSON.")
        try:
            if path == "/emails":
                check_mail(payload)
                rows = self._log.add(request.idem_key, [payload])
                return self._accept(request, path, rows, json_reply(200, {"id": rows[0].id}))
            reply = self._take_batch(request, check_batch(payload))
        except RefusedError as refused:
            return refused.reply
        return fault.reply if fault is not None and self._errors_consume_key and fault.reply.status >= 500 else reply

    def _take_batch(self, request: Request, payload: list[dict[str, Any]]) -> Reply:
        permissive = request.headers.get("x-batch-validation", "strict") == "permissive"
        good, errors = [], []
        for index, mail in enumerate(payload):
            try:
                check_mail(mail)
                good.append(mail)
            except RefusedError as refused:
                if not permissive:
                    raise
                errors.append({"index": index, "message": refused.message})
        rows = self._log.add(request.idem_key, good)
        answer: dict[str, object] = {"data": [{"id": row.id} for row in rows]}
        reply = json_reply(200, answer | ({"errors": errors} if permissive else {}))
        return self._accept(request, "/emails/batch", rows, reply)

    def _accept(self, request: Request, path: str, rows: list[Accepted], reply: Reply) -> Reply:
        if self._journal is not None:
            call = {
                "at": self._clock(),
                "path": path,
                "key": request.idem_key,
                "fingerprint": self._keys.fingerprint(request.body).hex(),
                "reply": reply.content.decode(),
                "mails": [[row.id, row.mail] for row in rows],
            }
            self._journal.write(call)
        self.events.happen(rows)
        return reply

    def _remember(self) -> None:
        for call in self._journal.read() if self._journal is not None else ():
            at, key = call["at"], call["key"]
            self._log.rows.extend(self._log.row(key, email_id, mail, at) for email_id, mail in call["mails"])
            if key:
                fingerprint = bytes.fromhex(call["fingerprint"])
                reply = Reply(200, call["reply"].encode())
                self._keys.remember(call["path"], key, fingerprint, at, reply)


def _found(row: Accepted, last_event: str) -> dict[str, Any]:
    mail = dict(row.mail or {})
    lists = {name: _listed(mail.get(name)) for name in ("to", "cc", "bcc", "reply_to")}
    texts = {name: mail.get(name) for name in ("from", "subject", "html", "text", "scheduled_at")}
    facts = {"object": "email", "id": row.id, "created_at": stamp(row.at), "last_event": last_event}
    return facts | texts | lists | {"tags": mail.get("tags", [])}


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value or [])
