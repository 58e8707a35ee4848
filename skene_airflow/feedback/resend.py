"""Resend's events: signed by Svix's scheme over the raw body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, ClassVar

from skene_airflow.feedback.receiver import Receiver, UnreadableError
from skene_airflow.ledger.events import KINDS, Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOLERANCE = 300.0
"""Seconds that a call's time may be off, both ways."""
_MOST_SIGNATURES = 16
_WHOLE = re.compile(r"[0-9]{1,18}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_PROOF = frozenset(
    {"sent", "delivered", "delivery_delayed", "opened", "clicked", "bounced", "complained", "suppressed"}
)


class ResendReceiver(Receiver):
    """Receives what Resend posts."""

    name: ClassVar = "resend"

    def genuine(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> bool:
        """One signature of one secret is enough: both overlap while a secret is changed."""
        event_id, stamp, signatures = _signed(headers)
        if not event_id or len(event_id) > 256 or not _WHOLE.fullmatch(stamp) or abs(now - int(stamp)) > TOLERANCE:
            return False
        content = f"{event_id}.{stamp}.".encode("utf-8", "replace") + body
        given = [part[3:] for part in signatures.split(" ") if part.startswith("v1,")]
        good = False
        for key in [key for secret in secrets if (key := _key(secret))]:
            ours = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
            for theirs in given[:_MOST_SIGNATURES]:
                good |= hmac.compare_digest(ours, theirs.encode("utf-8", "replace"))
        return good

    def read(self, headers: Mapping[str, str], body: bytes) -> Sequence[Told]:
        """One call is one event. Its id stays the same when the call is repeated."""
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise UnreadableError("not JSON") from None
        if not isinstance(found, dict) or not isinstance(name := found.get("type"), str) or not _TYPE.fullmatch(name):
            raise UnreadableError("no event")
        event_id, stamp, _ = _signed(headers)
        data = _object(found.get("data"))
        area, _, kind = name.partition(".")
        kind = kind if area == "email" else ""
        how = _object(data.get("bounce")).get("type") if kind == "bounced" else None
        tags = _tags(data.get("tags"))
        number = tags.get("sk_delivery", "")
        return [
            Told(
                provider=self.name,
                event_id=event_id,
                type=name,
                at=_time(found.get("created_at"), stamp),
                kind=kind if kind in KINDS else "",
                permanent=how == "Permanent",
                soft=how == "Transient",
                # It took the mail and did not send it: the address is on the list of its own that a person can edit.
                rests=kind == "suppressed",
                proves_sent=kind in _PROOF,
                message_id=_text(data.get("email_id")) or None,
                delivery_id=int(number) if _WHOLE.fullmatch(number) else None,
                loop_id=tags.get("sk_loop", ""),
                step_id=tags.get("sk_step", ""),
                address=_address(data.get("to")),
            )
        ]


def _signed(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """The id, time and signatures of a call: as Svix names them, or as its scheme's standard does."""
    for prefix in ("svix", "webhook"):
        id_, stamp, signatures = (headers.get(f"{prefix}-{name}", "") for name in ("id", "timestamp", "signature"))
        if id_ and stamp and signatures:
            return id_, stamp, signatures
    return "", "", ""


def _key(secret: str) -> bytes:
    text = secret.strip().removeprefix("whsec_")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # some are written without padding
    except (ValueError, binascii.Error):
        return b""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """At most 256 characters that PostgreSQL can hold."""
    text = value if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode().replace("\0", "")[:256]


def _tags(value: Any) -> dict[str, str]:
    """Resend returns an object, and once returned a list of pairs."""
    if isinstance(value, list):
        value = {tag["name"]: tag.get("value") for tag in value if isinstance(tag, dict) and _text(tag.get("name"))}
    return {name: _text(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _address(value: Any) -> str:
    one = value[0] if isinstance(value, list) and value else value
    return parseaddr(one)[1] or one if isinstance(one, str) else ""


def _time(value: Any, stamp: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return datetime.fromtimestamp(int(stamp), UTC)
