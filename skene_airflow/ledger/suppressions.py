"""Who must not be mailed: what a person said by a link in a mail. Every call may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skene_airflow.ledger.ledger import Cursor, Ledger

MARKETING = "marketing"
"""The scope of all marketing mail, and the topic of loops that name none."""


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
            facts = person | {"scope": scope, "reason": "unsubscribed", "source": f"delivery {delivery_id}"}
            cur.execute(ledger.sql("suppressions", "refuse"), facts)
        if scopes:
            cur.execute(ledger.sql("suppressions", "unsubscribed"), {"delivery_id": delivery_id})
    return True


def _addressee(ledger: Ledger, cur: Cursor, delivery_id: int) -> dict[str, Any] | None:
    cur.execute(ledger.sql("suppressions", "addressee"), {"delivery_id": delivery_id})
    return cur.fetchone()
