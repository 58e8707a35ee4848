"""What the Resend double remembers: requests, accepted mails, idempotency keys, calls in this second."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from skene_airflow.testing.resend_faults import Reply, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEY_LIFE = 86_400.0
"""Seconds for which a key's answer is repeated."""
Compare = Literal["bytes", "json"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it arrived. ``headers`` have lower-case names; ``number`` counts from 1."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: float

    @property
    def idem_key(self) -> str:
        """The Idempotency-Key, or the empty string."""
        return self.headers.get("idempotency-key", "")

    @property
    def payload(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One mail that the provider took. ``delivery_id`` is the tag ``sk_delivery``, if there is one."""

    idem_key: str
    id: str
    to: str
    tags: Mapping[str, str]
    at: float
    mail: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def delivery_id(self) -> int | None:
        """The ledger's number of the delivery."""
        text = self.tags.get("sk_delivery", "")
        return int(text) if text.isdigit() else None


def read_accepted(log: Path) -> list[Accepted]:
    """What a server with ``log`` accepted so far; for tests in other processes."""
    with log.open(encoding="utf-8") as lines:
        return [Accepted(**json.loads(line)) for line in lines if line.endswith("\n")]


@dataclass(slots=True)
class _Kept:
    fingerprint: bytes
    at: float
    reply: Reply | None = None  # None: still running


class Keys:
    """Idempotency: one answer for each key and endpoint, for 24 hours."""

    def __init__(self, clock: Callable[[], float], compare: Compare) -> None:
        self._clock, self._compare = clock, compare
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._lock = threading.Lock()

    def begin(self, path: str, key: str, body: bytes) -> Reply | None:
        """Reserve the key for a call; the answer to give at once if the key is known already."""
        fingerprint, now = self.fingerprint(body), self._clock()
        with self._lock:
            kept = self._kept.get((path, key))
            if kept is None or (kept.reply is not None and now - kept.at >= KEY_LIFE):
                self._kept[path, key] = _Kept(fingerprint, now)
                return None
            if kept.fingerprint != fingerprint:
                return refusal(409, "invalid_idempotent_request", "The same key came with another payload before.")
            if kept.reply is None:
                return refusal(409, "concurrent_idempotent_requests", "A call with the same key is still running.")
            return kept.reply

    def end(self, path: str, key: str, reply: Reply | None) -> None:
        """Keep the answer of the call; None gives the key free again."""
        with self._lock:
            if reply is None:
                del self._kept[path, key]
            else:
                self._kept[path, key].reply = reply

    def fingerprint(self, body: bytes) -> bytes:
        """What two payloads have in common that count as the same. Raises ValueError for no JSON, if that counts."""
        if self._compare == "bytes":
            return sha256(body).digest()
        return sha256(json.dumps(json.loads(body), sort_keys=True).encode()).digest()

    def remember(self, path: str, key: str, fingerprint: bytes, at: float, reply: Reply) -> None:
        """Take over what was known before a restart."""
        self._kept[path, key] = _Kept(fingerprint, at, reply)


class AcceptedLog:
    """The append-only list of accepted mails, on disk too if there is a path."""

    def __init__(self, clock: Callable[[], float], path: Path | None, *, keep_mails: bool) -> None:
        self._clock, self._keep_mails = clock, keep_mails
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8") if path is not None else None
        self.rows: list[Accepted] = []

    def add(self, idem_key: str, mails: list[dict[str, Any]]) -> list[Accepted]:
        """Accept all of these mails at once."""
        now = self._clock()
        rows = [self.row(idem_key, str(uuid.uuid4()), mail, now) for mail in mails]
        with self._lock:
            self.rows.extend(rows)
            if self._file is not None:
                self._file.write("".join(json.dumps(_without_mail(row)) + "\n" for row in rows))
                self._file.flush()
        return rows

    def row(self, idem_key: str, email_id: str, mail: dict[str, Any], at: float) -> Accepted:
        """One accepted mail."""
        kept = mail if self._keep_mails else None
        return Accepted(idem_key, email_id, _first(mail["to"]), _tags(mail), at, kept)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Window:
    """A fixed window of one second, as Resend counts its rate limit."""

    def __init__(self, clock: Callable[[], float], limit: int | None) -> None:
        self._clock, self._limit = clock, limit
        self._lock = threading.Lock()
        self._second, self._calls = 0, 0

    def headers(self) -> tuple[bool, tuple[tuple[str, str], ...]]:
        """Count one call: whether it is allowed, and the headers that say how many are left."""
        if self._limit is None:
            return True, ()
        with self._lock:
            second = int(self._clock())
            self._calls = self._calls + 1 if second == self._second else 1
            self._second = second
            left = self._limit - self._calls
        counts = (("ratelimit-limit", self._limit), ("ratelimit-remaining", max(left, 0)), ("ratelimit-reset", 1))
        return left >= 0, tuple((name, str(value)) for name, value in counts)


def _first(to: str | list[str]) -> str:
    return to if isinstance(to, str) else to[0]


def _tags(mail: dict[str, Any]) -> dict[str, str]:
    return {tag["name"]: tag.get("value", "") for tag in mail.get("tags", [])}


def _without_mail(row: Accepted) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "mail"}
