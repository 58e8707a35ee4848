"""What becomes of a mail after Resend took it: its events, and the signed webhooks that tell of them."""

from __future__ import annotations

import base64
import heapq
import hmac
import json
import re
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skene_airflow.testing.resend_state import Accepted

RETRIES = (0.0, 1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds before each try of a webhook. Resend's own go on for a day; nobody develops that slowly."""

_BOUNCE = {
    "type": "Permanent",
    "subType": "General",
    "message": "The recipient's mail server refused the mail for good.",
    "diagnosticCode": ["smtp; 550 5.1.1 user unknown"],
}
_FATES: dict[str, tuple[str, ...]] = {
    "delivered": ("sent", "delivered"),
    "bounced": ("sent", "bounced"),
    "complained": ("sent", "delivered", "complained"),
    "suppressed": ("suppressed",),
}
_DETAILS: dict[str, dict[str, Any]] = {
    "bounced": {"bounce": _BOUNCE},
    "suppressed": {"suppressed": {"type": "OnAccountSuppressionList", "message": "The address is suppressed."}},
}


def fate(to: str) -> tuple[str, ...]:
    """What happens to mail for this address: Resend's test addresses (with +labels) say it, others are delivered."""
    address = to.rpartition("<")[2].rstrip(">").strip().lower()
    local, _, domain = address.partition("@")
    name, plus, _ = local.partition("+")
    if domain != "resend.dev" or (name == "suppressed" and plus):
        return _FATES["delivered"]
    return _FATES.get(name, _FATES["delivered"])


def new_secret() -> str:
    """A webhook secret as Resend makes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode("ascii")


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `svix-signature` header. Raises ValueError for a secret that is none."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("a webhook secret is whsec_ and base64")
    content = f"{message_id}.{timestamp}.".encode("ascii") + body
    return "v1," + base64.b64encode(hmac.new(key, content, sha256).digest()).decode("ascii")


def event(name: str, row: Accepted, at: float) -> dict[str, Any]:
    """One event in Resend's words."""
    mail = row.mail or {}
    data: dict[str, Any] = {
        "email_id": row.id,
        "message_id": f"<{row.id}@resend.test>",
        "from": mail.get("from", ""),
        "to": [mail["to"]] if isinstance(mail.get("to"), str) else list(mail.get("to", [row.to])),
        "subject": mail.get("subject", ""),
        "created_at": stamp(row.at),
        "tags": dict(row.tags),
    }
    return {"type": f"email.{name}", "created_at": stamp(at), "data": data | _DETAILS.get(name, {})}


def stamp(at: float) -> str:
    """A time as Resend writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(order=True, slots=True)
class _Call:
    due: float
    number: int
    id: str = field(compare=False)
    body: bytes = field(compare=False)
    tries: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events go, and the secret (`whsec_…`) that signs them."""

    url: str
    secret: str

    def __post_init__(self) -> None:
        """Raises ValueError for another URL or secret than those."""
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", self.url):
            raise ValueError("the webhook must be an http or https URL")
        try:
            sign(self.secret, "", 0, b"")
        except ValueError:
            raise ValueError("the webhook secret must be whsec_ followed by base64") from None


class Events:
    """Keeps the last event of each mail, and posts every event to the webhook until that answers with 2xx."""

    def __init__(
        self, webhook: Webhook | None, clock: Callable[[], float] = time.time, retries: Sequence[float] = RETRIES
    ) -> None:
        self._webhook, self._clock, self._retries = webhook, clock, retries
        self._numbers, self._calls = count(), list[_Call]()
        self._changed, self._closed = threading.Condition(), False
        self._last: dict[str, str] = {}
        self.posted: list[tuple[str, int]] = []
        """Each try: the event's id and the status of the answer (0: none)."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        if webhook is not None:
            self._thread.start()

    def happen(self, rows: Sequence[Accepted]) -> None:
        """These mails were taken: everything that becomes of them happens now, in order."""
        for row in rows:
            for name in fate(row.to):
                self.tell(name, row)

    def tell(self, name: str, row: Accepted) -> None:
        """One event: it becomes the mail's last one, and is posted."""
        self._last[row.id] = name
        if self._webhook is None:
            return
        body = json.dumps(event(name, row, self._clock()), separators=(",", ":")).encode()
        with self._changed:
            number = next(self._numbers)
            heapq.heappush(self._calls, _Call(time.monotonic() + self._retries[0], number, f"msg_{uuid.uuid4()}", body))
            self._changed.notify()

    def last(self, row: Accepted) -> str:
        """The mail's last event; one that was taken before a restart ends as its address says."""
        return self._last.get(row.id) or fate(row.to)[-1]

    def close(self) -> None:
        """Post nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._webhook is not None:
            self._thread.join(10)

    def _work(self) -> None:
        with httpx.Client(timeout=5.0, headers={"User-Agent": "Svix-Webhooks/double"}) as client:
            while (call := self._next()) is not None:
                status = self._post(client, call)
                self.posted.append((call.id, status))
                call.tries += 1
                if not 200 <= status < 300 and call.tries < len(self._retries):
                    call.due = time.monotonic() + self._retries[call.tries]
                    with self._changed:
                        heapq.heappush(self._calls, call)

    def _next(self) -> _Call | None:
        with self._changed:
            while not self._closed:
                wait = self._calls[0].due - time.monotonic() if self._calls else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._calls)
                self._changed.wait(wait)
        return None

    def _post(self, client: httpx.Client, call: _Call) -> int:
        if self._webhook is None:
            return 0
        # The id stays the same for every try; the time and with it the signature are the try's own.
        now = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "svix-id": call.id,
            "svix-timestamp": str(now),
            "svix-signature": sign(self._webhook.secret, call.id, now, call.body),
        }
        try:
            return client.post(self._webhook.url, content=call.body, headers=headers).status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            return 0
