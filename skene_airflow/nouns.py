"""The shared nouns: small immutable types that travel between the floors. No I/O, no Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PROVIDERS = ("resend", "smtp", "outbox")
"""The channels by name, for those who must not import any of them."""


class Mode(StrEnum):
    """What a run does with its audience."""

    LIVE = "live"
    REDIRECT = "redirect"
    SHADOW = "shadow"


class Verdict(StrEnum):
    """What the gates said of a candidate."""

    SEND = "send"
    SKIP = "skip"
    HOLD_OUT = "hold_out"


class Reason(StrEnum):
    """Why a candidate was skipped: a closed list that users' dashboards may rely on."""

    ALREADY_ENTERED = "already_entered"
    NOT_DUE = "not_due"
    EXPIRED = "expired"
    EXITED = "exited"
    EXISTING = "existing"
    MISSING_KEY = "missing_key"
    MISSING_VARIABLE = "missing_variable"
    INVALID_ADDRESS = "invalid_address"
    DUPLICATE_ADDRESS = "duplicate_address"
    SUPPRESSED = "suppressed"
    UNSUBSCRIBED = "unsubscribed"
    NO_CONSENT = "no_consent"
    NO_SEGMENT = "no_segment"
    NOT_SAMPLED = "not_sampled"
    FREQUENCY_CAPPED = "frequency_capped"
    QUIET_HOURS = "quiet_hours"
    HELD = "held"
    NOT_APPROVED = "not_approved"
    STOPPED = "stopped"


class Status(StrEnum):
    """Where a delivery stands."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    ABANDONED = "abandoned"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD_OUT = "held_out"
    EXISTING = "existing"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in a user's file: where, what, and what to write instead.

    ``line`` and ``column`` count from 1. ``path`` is the key's path (``steps[0].action.template``).
    """

    file: str
    line: int
    column: int
    path: str
    code: str
    message: str
    suggestion: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        hint = f"; {self.suggestion}" if self.suggestion else ""
        return f"{where}{path}{self.message}{hint} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered mail to one recipient, ready for any channel.

    ``delivery_id`` is the ledger's number of the delivery; ``message_key`` a stable hexadecimal name made
    of what the delivery is (never of an address). ``headers`` and ``tags`` keep their order.
    """

    delivery_id: int
    message_key: str
    to: str
    sender: str
    subject: str
    html: str
    text: str
    reply_to: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """One message in the app, as plain texts; ``link`` is https or a path of the app."""

    delivery_id: int
    title: str
    body: str
    link: str | None = None


class Doubt(StrEnum):
    """What to do where nobody can know whether a mail went out: the email connection's extra `uncertain`."""

    HOLD = "hold"
    """A person decides (or the provider's webhook does)."""
    ASSUME_SENT = "assume_sent"
    """Believe that it went out: never twice, perhaps not at all."""
    RESEND = "resend"
    """Send it again: perhaps twice, never lost."""


class Answer(StrEnum):
    """What a provider's answer to one call means for the rows of its batch."""

    ACCEPTED = "accepted"
    """The provider took the messages; ``message_ids`` has one id (or None) for each."""
    LATER = "later"
    """A definite no, nothing was taken: the same batch may be sent again later."""
    DOUBT = "doubt"
    """Nobody knows whether the messages were taken (time-out, 5xx, garbage)."""
    BUSY = "busy"
    """The provider still works on an earlier call with this key: the same key again, later."""
    MISMATCH = "mismatch"
    """The key was used with another body: an earlier body may have been taken. Never a new key."""
    BAD_LOT = "bad_lot"
    """A definite no because of what is in the batch; with one message in it, that message is bad."""
    ACCOUNT = "account"
    """A definite no for everything this account sends, until a person mends it."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """One answer to one provider call.

    ``error`` is a short class such as ``rate_limit_exceeded``; ``detail`` a scrubbed text of at most 200
    characters without any address; ``retry_after`` is in seconds.
    """

    answer: Answer
    message_ids: tuple[str | None, ...] = ()
    error: str = ""
    detail: str = ""
    retry_after: float | None = None
