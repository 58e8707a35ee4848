"""One person: all that the ledger holds of them, and forgetting them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger import control, suppressions
from skene_airflow.ledger.runs import address_key, one
from skene_airflow.ledger.suppressions import address_hmac, comparable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skene_airflow.ledger.ledger import Cursor, Ledger


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What there was to forget.

    ``addresses`` are suppressed by their HMAC, beside the person key; ``deliveries`` are the rows that were erased;
    ``staged`` rows waited to be judged; ``cancelled`` mails were queued. ``in_doubt`` mails are in calls under way or
    in doubt: they stay frozen until it is known how those ended.
    """

    addresses: int
    deliveries: int
    staged: int
    cancelled: int
    in_doubt: int


def forget(ledger: Ledger, user_key: str, actor: str, why: str = "", addresses: Iterable[str] = ()) -> Forgotten:
    """Erase a person's addresses and values everywhere, and see to it that they are not mailed again; audited.

    ``addresses`` are the person's too, whether or not the ledger knows them. A person key that is an address itself
    is erased as well. It may be repeated.
    """
    is_address = "@" in user_key
    known = {*addresses, user_key} if is_address else set(addresses)
    # Committed before anything is erased: whoever judges or freezes from now on finds it.
    with ledger.transaction() as cur:
        hidden = _suppress(ledger, cur, user_key, known, actor)
    with ledger.transaction() as cur:
        facts = {"user_key": user_key, "hidden": hidden, "key": address_key(cur, ledger), "addresses": _compared(known)}
        staged = sum(_unstage(ledger, cur, run_no, user_key, known) for run_no in _staged_runs(ledger, cur))
        cur.execute(ledger.sql("people", "lock_batches"), facts)
        cur.execute(ledger.sql("people", "cancel"), facts)
        batches = [row["batch_id"] for row in cur.fetchall()]
        cur.execute(ledger.sql("people", "thaw"), {"batches": batches})
        cur.execute(ledger.sql("people", "keep_frozen"), facts)
        in_doubt = int(one(cur)["mails"])
        erased = {}
        for name in (
            "erase_mailbox",
            "erase",
            "erase_decisions",
            "erase_goals",
            "erase_events",
            "erase_changes",
            "erase_inbox",
        ):
            cur.execute(ledger.sql("people", name), facts)
            erased[name] = cur.rowcount
        deliveries = erased["erase_mailbox"] + erased["erase"]
        done = Forgotten(len(hidden), deliveries, staged, len(batches), in_doubt)
        if is_address:
            cur.execute(ledger.sql("people", "hide_key"), facts)
            user_key = one(cur)["hidden_key"]
        control.note(ledger, cur, actor, "forget", user=user_key, reason=why, **asdict(done))
    return done


def export(ledger: Ledger, user_key: str, actor: str, why: str = "") -> dict[str, Any]:
    """All that the ledger holds of a person, addresses and values too; audited.

    Lists by name: deliveries, decisions, inbox, staged, events, changes, goals, suppressions, audit. Times are
    ISO 8601.
    """
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("people", "hidden"), {"user_key": user_key})
        facts = {"user_key": user_key, "hidden": [row["address_hmac"] for row in cur.fetchall()]}
        cur.execute(ledger.sql("people", "held"), facts)
        held: dict[str, Any] = json.loads(one(cur)["held"])
        held["staged"] = [json.loads(row["row"]) for row in _staged(ledger, cur, "staged", user_key)]
        control.note(ledger, cur, actor, "export", user=user_key, reason=why)
    return held


def _suppress(ledger: Ledger, cur: Cursor, user_key: str, known: set[str], actor: str) -> list[bytes]:
    """Suppress the person by key and by every address; ``known`` gets the addresses that are still kept."""
    key = address_key(cur, ledger)
    cur.execute(ledger.sql("people", "addresses"), {"user_key": user_key})
    known.update(row["address"] for row in cur.fetchall())
    known.update(row["address"] for row in _staged(ledger, cur, "staged_addresses", user_key))
    cur.execute(ledger.sql("people", "hidden"), {"user_key": user_key})
    hidden = {row["address_hmac"] for row in cur.fetchall()} | {address_hmac(key, each) for each in known}
    # Rows of their own: nothing says any more that this key had that address.
    for person in ((user_key, None), *((None, each) for each in sorted(hidden))):
        named = dict(zip(("user_key", "address_hmac"), person, strict=True))
        suppressions.refuse(ledger, cur, named, "all", "erased", actor)
    return sorted(hidden)


def _unstage(ledger: Ledger, cur: Cursor, run_no: int, user_key: str, known: set[str]) -> int:
    facts = {"run_no": run_no, "user_key": user_key, "addresses": _compared(known)}
    cur.execute(_of_stage(ledger, "unstage", run_no), facts)
    return int(one(cur)["rows"])


def _compared(addresses: Iterable[str]) -> list[str]:
    return sorted(comparable(each) for each in addresses)


def _staged(ledger: Ledger, cur: Cursor, name: str, user_key: str) -> list[dict[str, Any]]:
    """What the statement ``name`` finds of the person in every run that waits to be judged."""
    found = []
    for run_no in _staged_runs(ledger, cur):
        cur.execute(_of_stage(ledger, name, run_no), {"run_no": run_no, "user_key": user_key})
        found += cur.fetchall()
    return found


def _staged_runs(ledger: Ledger, cur: Cursor) -> list[int]:
    cur.execute(ledger.sql("people", "staged_runs"), {"schema": ledger.schema})
    return [row["run_no"] for row in cur.fetchall()]


def _of_stage(ledger: Ledger, name: str, run_no: int) -> str:
    return ledger.sql("people", name).replace("/* stage */", f"{ledger.schema}.stage_{run_no}")
