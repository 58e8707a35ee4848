"""What providers tell of mails: written once, in any order, and applied to the delivery and the suppressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger import suppressions
from skene_airflow.ledger.runs import address_key
from skene_airflow.ledger.suppressions import address_hmac

if TYPE_CHECKING:
    from datetime import datetime

    from skene_airflow.ledger.ledger import Cursor, Ledger

SOFT_BOUNCES = 3
SOFT_DAYS = 30
"""An address that bounced softly on so many days, within so many, rests for as many; then it is tried again."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a provider. ``kind`` is one of the stamps below, or empty for what is only stored."""

    provider: str
    event_id: str
    type: str
    at: datetime
    kind: str = ""
    permanent: bool = False
    soft: bool = False
    rests: bool = False
    """The provider does not mail this address at present."""
    proves_sent: bool = False
    message_id: str | None = None
    delivery_id: int | None = None
    loop_id: str = ""
    step_id: str = ""
    address: str = ""


KINDS = ("delivered", "opened", "clicked", "bounced", "complained")


def hear(ledger: Ledger, told: Told) -> bool:
    """Write an event down and apply it. False if it is known already; then nothing happens."""
    with ledger.transaction() as cur:
        subject = _subject(ledger, cur, told)
        facts = {
            "provider": told.provider,
            "event_id": told.event_id,
            "type": told.type,
            "at": told.at,
            "delivery_id": subject["delivery_id"] if subject else None,
            "message_id": told.message_id,
            "proves_sent": told.proves_sent,
            "soft_bounce": told.soft,
        }
        cur.execute(ledger.sql("events", "write"), facts)
        if cur.rowcount == 0:
            return False
        if subject is not None:
            _apply(ledger, cur, told, subject)
    return True


def settle(ledger: Ledger) -> int:
    """Settle every uncertain delivery that an event tells of. Returns how many."""
    with ledger.transaction() as cur:
        return _settle(ledger, cur, None)


def erase(ledger: Ledger, retention_days: int) -> int:
    """Delete old events; what they told stays. Soft bounces are counted over SOFT_DAYS, so none younger goes."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("events", "erase"), {"days": max(retention_days, SOFT_DAYS + 1)})
        return cur.rowcount


def _subject(ledger: Ledger, cur: Cursor, told: Told) -> dict[str, Any] | None:
    if told.delivery_id is None:
        return None
    facts = {
        "delivery_id": told.delivery_id,
        "loop_id": told.loop_id,
        "step_id": told.step_id,
        "address_hmac": address_hmac(address_key(cur, ledger), told.address),
    }
    cur.execute(ledger.sql("events", "subject"), facts)
    return cur.fetchone()


def _apply(ledger: Ledger, cur: Cursor, told: Told, subject: dict[str, Any]) -> None:
    if told.kind in KINDS:
        facts = {"kind": told.kind, "at": told.at, "delivery_id": subject["delivery_id"]}
        cur.execute(ledger.sql("events", "stamp"), facts)
    if told.proves_sent:
        _settle(ledger, cur, subject["delivery_id"])
    if subject["mode"] != "live":  # the address of redirected mail is not the person's
        return
    source = f"{told.provider} {told.type}"
    # The address is dead, and not the person: a new address of theirs may be mailed.
    address = subject | {"user_key": None}
    if told.kind == "complained":
        suppressions.refuse(ledger, cur, subject, "marketing", "complained", source)
    elif told.permanent:
        suppressions.refuse(ledger, cur, address, "all", "bounced", source)
    elif told.rests or (told.soft and _bounces(ledger, cur, subject) >= SOFT_BOUNCES):
        suppressions.refuse(ledger, cur, address, "all", "bounced", source, SOFT_DAYS)


def _settle(ledger: Ledger, cur: Cursor, delivery_id: int | None) -> int:
    cur.execute(ledger.sql("events", "settle"), {"delivery_id": delivery_id})
    row = cur.fetchone()
    return int(row["rows"]) if row else 0


def _bounces(ledger: Ledger, cur: Cursor, subject: dict[str, Any]) -> int:
    facts = {"address_hmac": subject["address_hmac"], "days": SOFT_DAYS}
    cur.execute(ledger.sql("events", "soft_bounces"), facts)
    row = cur.fetchone()
    return int(row["bounces"]) if row else 0
