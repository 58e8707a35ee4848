"""Who must not be mailed: what people said by a link in a mail, and what was done by hand."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger import control
from skene_airflow.ledger.runs import address_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from skene_airflow.ledger.ledger import Cursor, Ledger

MARKETING = "marketing"
"""The scope of all marketing mail, and the topic of loops that name none."""


def comparable(address: str) -> str:
    """An address as two of them are compared: trimmed, ASCII-lower-cased."""
    return "".join(char.lower() if char.isascii() else char for char in address.strip(" \t\r\n"))


def address_hmac(key: bytes, address: str) -> bytes:
    """An address as the gates hide it: HMAC-SHA256 of what is compared."""
    return hmac.new(key, comparable(address).encode("utf-8", "replace"), hashlib.sha256).digest()


def scope_of(topic: str) -> str:
    """The scope that a topic stands for: the topic `marketing` is all of it."""
    return MARKETING if topic == MARKETING else f"topic:{topic}"


def refused(ledger: Ledger, delivery_id: int) -> frozenset[str] | None:
    """The scopes that the person of this delivery said no to; None if there is no such delivery."""
    with ledger.transaction() as cur:
        person = _addressee(ledger, cur, delivery_id)
        if person is None:
            return None
        cur.execute(ledger.sql("suppressions", "refused"), person)
        return frozenset(row["scope"] for row in cur.fetchall())


def say(ledger: Ledger, delivery_id: int, no: Iterable[str], yes: Iterable[str] = ()) -> bool:
    """The person of this delivery refuses the scopes ``no`` and takes back the scopes ``yes``.

    False, and nothing is written, if there is no such delivery, or if it was redirected: whoever reads redirected
    mail is not that person.
    """
    with ledger.transaction() as cur:
        person = _addressee(ledger, cur, delivery_id)
        if person is None or person["mode"] != "live":
            return False
        cur.execute(ledger.sql("suppressions", "relent"), person | {"scopes": list(yes)})
        scopes = sorted(set(no))
        for scope in scopes:
            refuse(ledger, cur, person, scope, "unsubscribed", f"delivery {delivery_id}")
        if scopes:
            cur.execute(ledger.sql("suppressions", "unsubscribed"), {"delivery_id": delivery_id})
    return True


def refuse(
    ledger: Ledger,
    cur: Cursor,
    person: Mapping[str, Any],
    scope: str,
    reason: str,
    source: str,
    days: int | None = None,
    until: datetime | None = None,
) -> bool:
    """Suppress ``person`` (user_key, address_hmac; one may be None): for so many ``days``, ``until`` then, or for good.

    False if that says nothing new.
    """
    facts = {"user_key": person["user_key"], "address_hmac": person["address_hmac"], "days": days, "until": until}
    facts |= {"scope": scope, "reason": reason, "source": source}
    cur.execute(ledger.sql("suppressions", "refuse"), facts)
    return cur.rowcount > 0


def _addressee(ledger: Ledger, cur: Cursor, delivery_id: int) -> dict[str, Any] | None:
    cur.execute(ledger.sql("suppressions", "addressee"), {"delivery_id": delivery_id})
    return cur.fetchone()


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who must not be mailed: by person key, by address (it is hidden at once), or by a hidden address."""

    user_key: str | None = None
    address: str | None = None
    address_hmac: bytes | None = None
    scope: str = "all"
    reason: str = "manual"
    expires_at: datetime | None = None


def add(ledger: Ledger, entries: Sequence[Entry], actor: str, why: str) -> int:
    """Write them down, all or none, audited. Returns how many were not there yet. No addresses in ``why``."""
    added = 0
    with ledger.transaction() as cur:
        key = address_key(cur, ledger)
        for entry in entries:
            person = _person(key, entry)
            added += refuse(ledger, cur, person, entry.scope, entry.reason, actor, until=entry.expires_at)
        control.note(ledger, cur, actor, "suppressions add", reason=why, people=len(entries), added=added)
    return added


def remove(ledger: Ledger, entry: Entry, scope: str | None, actor: str, why: str, *, erased: bool = False) -> int:
    """Let a person be mailed again, in one scope or (None) in all; audited. Returns how many rows went.

    What an erasure left stays, unless ``erased`` says that it goes too.
    """
    with ledger.transaction() as cur:
        facts = _person(address_key(cur, ledger), entry) | {"scope": scope, "erased": erased}
        cur.execute(ledger.sql("suppressions", "remove"), facts)
        gone = cur.rowcount
        control.note(ledger, cur, actor, "suppressions remove", reason=why, scope=scope, erased=erased, removed=gone)
    return gone


def listed(ledger: Ledger, entry: Entry) -> list[dict[str, Any]]:
    """The suppressions of a person; of everybody if ``entry`` names nobody."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("suppressions", "list"), _person(address_key(cur, ledger), entry))
        return cur.fetchall()


def _person(key: bytes, entry: Entry) -> dict[str, Any]:
    hidden = address_hmac(key, entry.address) if entry.address else entry.address_hmac
    return {"user_key": entry.user_key, "address_hmac": hidden}
