"""Resend, over its HTTP interface: up to 100 messages in one call, each call once for 24 hours."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import msgspec

from skene_airflow import __version__
from skene_airflow.channels.base import NO_REPLY, Channel, ChannelConfig, Rule
from skene_airflow.channels.safety import error_class, one_line, whole_text
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, SendResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skene_airflow.nouns import Message

API = "https://api.resend.com"
BUDGET = 30.0
"""Seconds for one call unless the connection's extra ``timeout`` says less: a batch is leased for two minutes."""
_ANSWER_CAP = 1_000_000
_LOWER_BOUND, _UPPER_BOUND = 0.0, 86_400.0
_KEY = re.compile(r"[\x21-\x7e]{1,256}")

ANY = range(1000)
TABLE = (
    # Nothing was sent: the connection never stood.
    Rule((NO_REPLY,), ("connect",), Answer.LATER, "connection_failed"),
    # The call was on its way, or longer, when the line went dead or silent.
    Rule((NO_REPLY,), (), Answer.DOUBT, "connection_lost"),
    # Taken: one id for each message. Any other 2xx (cut short, not JSON, too few ids) proves nothing.
    Rule(range(200, 300), ("ids",), Answer.ACCEPTED),
    Rule(range(200, 300), (), Answer.DOUBT, "unreadable_answer"),
    Rule(range(300, 400), (), Answer.ACCOUNT, "unexpected_redirect", "The connection's host answers with a redirect."),
    # Somebody has to act: the key, the domain, the plan.
    Rule((401,), (), Answer.ACCOUNT, "missing_api_key", "Check the connection's password (the API key)."),
    Rule((403,), (), Answer.ACCOUNT, "forbidden", "Check the API key and that the From domain is verified."),
    Rule((429,), ("daily_quota_exceeded", "monthly_quota_exceeded"), Answer.ACCOUNT),
    Rule((429,), (), Answer.LATER, "rate_limit_exceeded"),
    # An earlier call with this key still runs; or it had another body, and may have been taken.
    Rule((409,), ("concurrent_idempotent_requests", "resource_locked"), Answer.BUSY),
    Rule((409,), ("invalid_idempotent_request",), Answer.MISMATCH),
    Rule((409,), (), Answer.DOUBT, "conflict"),
    # Never caused by a message, so no message may fail for it.
    Rule((400,), ("invalid_idempotency_key",), Answer.ACCOUNT, advice="This is a bug of skene-airflow: report it."),
    Rule((404, 405), (), Answer.ACCOUNT, "not_found", "The connection's host is no Resend-compatible server."),
    Rule((400, 422), ("",), Answer.ACCOUNT, "unreadable_refusal", "The connection's host answers unlike Resend."),
    # Something in the batch is wrong: all or nothing, so nothing was taken. 413: fewer may fit.
    Rule((400, 413, 422), (), Answer.BAD_LOT, "payload_too_large"),
    Rule((408, 425), (), Answer.DOUBT, "timeout"),
    Rule(range(400, 500), (), Answer.ACCOUNT, "unexpected_refusal"),
    # 500 and 503 may come after the messages were taken.
    Rule(ANY, (), Answer.DOUBT, "server_error"),
)
"""What Resend answers (status, error name) and what that means. Read from its documentation in November 2026."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the last answer said of the account's rate limit: calls a window, calls left, seconds to the next."""

    limit: float | None
    remaining: float | None
    reset: float | None


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    content: Any  # JSON, or None

    @property
    def name(self) -> str:
        return error_class(self.content.get("name")) if isinstance(self.content, dict) else ""

    @property
    def message(self) -> str:
        return str(self.content.get("message", "")) if isinstance(self.content, dict) else ""


class ResendChannel(Channel):
    """Mail through Resend, or any server that speaks like it (``host``)."""

    name: ClassVar = "resend"
    batch_size: ClassVar = 100
    # One hour less than Resend keeps a key: room for clocks and for a call that is slow to arrive.
    window: ClassVar = timedelta(hours=23)
    # An answer takes 200 to 300 ms: three calls at a time use up the ten a second that an account may make.
    in_flight: ClassVar = 3
    table: ClassVar = TABLE

    def __init__(self, config: ChannelConfig) -> None:
        """Raises SettingsError for a missing API key, an unreadable host or an unreadable ``timeout``."""
        super().__init__(config)
        self.base_url = base_url(config)
        self._api_key = config.password.strip()
        if not re.fullmatch(r"[\x21-\x7e]+", self._api_key):
            raise SettingsError("the resend connection has no usable API key: put it into the connection's password")
        self._budget = min(config.seconds("timeout", BUDGET), BUDGET)
        self._client: httpx.Client | None = None
        self.rate_limit: RateLimit | None = None

    def _freeze(self, messages: Sequence[Message]) -> bytes:
        # One message a line: JSON escapes line breaks inside strings, so lines count messages.
        return b"[" + b",\n".join([msgspec.json.encode(mail(message)) for message in messages]) + b"]"

    def _send(self, body: bytes, idem_key: str) -> SendResult:
        if not _KEY.fullmatch(idem_key):
            return self._answer(400, "invalid_idempotency_key", error="invalid_idempotency_key")
        try:
            reply = self._call("POST", "/emails/batch", body, {"Idempotency-Key": idem_key})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            return self._answer(NO_REPLY, "connect", detail=str(error))
        except httpx.TimeoutException as error:
            return self._answer(NO_REPLY, error="timeout", detail=type(error).__name__)
        except httpx.HTTPError as error:
            return self._answer(NO_REPLY, detail=type(error).__name__)
        self.rate_limit = _rate_limit(reply.headers) or self.rate_limit
        ids = _ids(reply.content, body.count(b"\n") + 1)
        if 200 <= reply.status < 300:
            return SendResult(Answer.ACCEPTED, ids) if ids else self._answer(reply.status)
        return self._answer(
            reply.status, reply.name, error=reply.name, detail=reply.message, retry_after=_retry_after(reply)
        )

    @property
    def calls_left(self) -> float | None:
        """What is left of the account's window, as the last answer said."""
        return self.rate_limit.remaining if self.rate_limit is not None else None

    @property
    def pause(self) -> float:
        """Until the account's next window, if the last answer said that no call is left in this one."""
        seen = self.rate_limit
        return min(seen.reset or 0.0, _UPPER_BOUND) if seen is not None and seen.remaining == 0 else 0.0

    def test(self) -> tuple[bool, str]:
        """Ask for the account's domains; a key that may only send is a good key too."""
        try:
            reply = self._call("GET", "/domains")
        except httpx.HTTPError as error:
            return False, f"{self.base_url} cannot be reached ({type(error).__name__})"
        if reply.status == 200:
            return True, "The API key works"
        if reply.name == "restricted_api_key":
            return True, "The API key works, and may only send"
        said = self._answer(reply.status, reply.name, error=reply.name, detail=reply.message)
        return False, f"{reply.status} {said.error}: {said.detail}"

    def close(self) -> None:
        """Close the kept-alive connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> _Reply:
        if self._client is None:
            self._client = httpx.Client(
                timeout=httpx.Timeout(self._budget, connect=min(self._budget, 5.0)),
                headers={
                    "User-Agent": f"skene-airflow/{__version__}",
                    "Authorization": f"Bearer {self._api_key}",
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
            )
        deadline = time.monotonic() + self._budget
        with self._client.stream(method, self.base_url + path, content=body or None, headers=headers) as response:
            return _Reply(response.status_code, response.headers, _json(_read(response, deadline)))


def mail(message: Message) -> dict[str, object]:
    """One message in Resend's words, its keys always in this order."""
    body: dict[str, object] = {
        "from": one_line(message.sender),
        "to": [one_line(message.to)],
        "subject": one_line(message.subject),
        "html": whole_text(message.html),
        "text": whole_text(message.text),
    }
    if message.reply_to is not None:
        body["reply_to"] = one_line(message.reply_to)
    if message.headers:
        body["headers"] = dict(message.headers)
    if message.tags:
        body["tags"] = [{"name": name, "value": value} for name, value in message.tags]
    return body


def base_url(config: ChannelConfig) -> str:
    """The server's address without a final slash, from host (a name or a whole URL), port and schema.

    Raises SettingsError if that is no http(s) address.
    """
    host = config.host.strip() or API
    if "://" not in host:
        host = f"{config.schema.strip() or 'https'}://{host}"
    try:
        url = httpx.URL(host)
        if config.port and url.port is None:
            url = url.copy_with(port=config.port)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL()
    if (
        url.scheme not in {"http", "https"}
        or not re.fullmatch(r"[\w.:-]+", url.host)
        or url.query
        or url.fragment
        or url.userinfo
    ):
        raise SettingsError("the resend connection's host must be a name or a base URL such as https://api.resend.com")
    return str(url).rstrip("/")


def _read(response: httpx.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > _ANSWER_CAP or time.monotonic() > deadline:
            return b""
    return bytes(content)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _ids(content: Any, count: int) -> tuple[str, ...]:
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list) or len(data) != count or content.get("errors"):
        return ()
    ids = [entry.get("id") for entry in data if isinstance(entry, dict)]
    names = tuple(one for one in ids if isinstance(one, str) and one)
    return names if len(names) == count else ()


def _retry_after(reply: _Reply) -> float | None:
    """Seconds to wait before the next call, if the answer says so."""
    text = reply.headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            seconds = None
    if seconds is None and reply.status == 429:
        seconds = _number(reply.headers.get("ratelimit-reset", ""))
    return None if seconds is None else min(max(seconds, _LOWER_BOUND), _UPPER_BOUND)


def _rate_limit(headers: httpx.Headers) -> RateLimit | None:
    seen = [_number(headers.get(f"ratelimit-{part}", "")) for part in ("limit", "remaining", "reset")]
    return None if seen == [None, None, None] else RateLimit(*seen)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,10}(\.\d{1,6})?", text.strip()) else None
