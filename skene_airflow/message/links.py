"""Signed links: a token says which delivery it belongs to and what it may do, and nothing about the person."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from skene_airflow.errors import SettingsError

VERSION = 1
_MAC = 32
_HEAD = 1 + 4 + 8  # version, key id, delivery id
_MAX_SCOPE = 200
_MAX_TOKEN = 400
_SAFE = re.compile(r"(?:https://[^\s/?#]|mailto:[^\s])", re.IGNORECASE)
_WEB = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)


def safe_link(url: str) -> bool:
    """Tell whether a link leads to an encrypted page or a mailbox, or to a place in the mail itself (`#top`)."""
    return url.startswith("#") or (_SAFE.match(url) is not None and url.isprintable())


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    mac: hmac.HMAC


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with the first key and verifies with all of them, so that a key can be rotated.

    Raises SettingsError if there is no key. Old links die only when their key is taken away.
    """

    keys: tuple[str, ...] = field(repr=False)
    _made: tuple[_Key, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.keys or not all(key.strip() for key in self.keys):
            msg = "[skene] secret_key is empty or has an empty part; set it to a long random text"
            raise SettingsError(msg)
        object.__setattr__(self, "_made", tuple(_make(key) for key in self.keys))

    def token(self, delivery_id: int, scope: str) -> str:
        """Return the token of a delivery for a scope (a topic). Raises ValueError for a scope too long."""
        tail = scope.encode()
        if len(tail) > _MAX_SCOPE:
            msg = f"a scope has at most {_MAX_SCOPE} bytes"
            raise ValueError(msg)
        key = self._made[0]
        body = bytes((VERSION,)) + key.id + delivery_id.to_bytes(8, "big") + tail
        return base64.urlsafe_b64encode(body + _sign(key, body)).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> tuple[int, str] | None:
        """Return (delivery id, scope) of a token that one of the keys signed, else None."""
        raw = _decode(token)
        if raw is None or len(raw) < _HEAD + _MAC or raw[0] != VERSION:
            return None
        body, mac = raw[:-_MAC], raw[-_MAC:]
        genuine = False
        for key in self._made:
            # Every key is tried in full: how long it takes says nothing about which one signed.
            genuine |= hmac.compare_digest(_sign(key, body), mac) & hmac.compare_digest(key.id, body[1:5])
        if not genuine:
            return None
        return int.from_bytes(body[5:_HEAD], "big"), body[_HEAD:].decode("utf-8", "replace")


def with_query(url: str, query: str) -> str:
    """Return a web link with the parameters of ``query`` (`utm_source=x&utm_medium=y`) that it does not have yet."""
    if not _WEB.match(url):
        return url
    page, mark, place = url.partition("#")
    own = {name for name, _ in parse_qsl(page.partition("?")[2], keep_blank_values=True)}
    more = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in own)
    if not more:
        return url
    between = "" if page.endswith(("?", "&")) else "&" if "?" in page else "?"
    return f"{page}{between}{more}{mark}{place}"


def unsubscribe_url(base_url: str, token: str) -> str:
    """Return the address of the page behind a token."""
    return f"{base_url.rstrip('/')}/u/{token}"


def _make(key: str) -> _Key:
    secret = key.strip().encode()
    return _Key(hashlib.sha256(b"skene key id\0" + secret).digest()[:4], hmac.new(secret, digestmod=hashlib.sha256))


def _sign(key: _Key, body: bytes) -> bytes:
    mac = key.mac.copy()
    mac.update(b"skene link\0" + body)
    return mac.digest()


def _decode(token: str) -> bytes | None:
    if not token.isascii() or len(token) > _MAX_TOKEN:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    # One token has one spelling: unused low bits and padding of one's own are refused.
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == token else None
