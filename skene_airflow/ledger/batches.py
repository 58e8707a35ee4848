"""How a batch is leased, frozen and settled. The body is frozen and the lease committed before the network call."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from skene_airflow.ledger.packed import pack, unpack
from skene_airflow.ledger.runs import address_key, one
from skene_airflow.nouns import Doubt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from skene_airflow.ledger.ledger import Cursor, Ledger
    from skene_airflow.ledger.runs import Names
    from skene_airflow.nouns import Mode, Status


@dataclass(frozen=True, slots=True)
class Lane:
    """What one sender may lease: the open batches of one step and mode that one channel can send.

    ``account`` is that of the channel, as `account_of` has it.
    """

    names: Names
    mode: Mode
    shard: int
    provider: str
    window: timedelta | None
    given_up: tuple[int, ...] = ()
    account: bytes | None = None

    def facts(self) -> dict[str, object]:
        """The lane as parameters of a statement."""
        return {
            **self.names.facts(),
            "mode": self.mode,
            "shard": self.shard,
            "provider": self.provider,
            "window": self.window,
            "given_up": list(self.given_up),
            "account": self.account,
        }


@dataclass(frozen=True, slots=True)
class Picked:
    """An open batch, locked until the transaction ends, before anybody leased it.

    ``outside_window``: the provider does not know its key any more, or the account is another one and never did.
    """

    batch_id: int
    run_no: int
    body: bytes | None
    member_ids: Sequence[int] | None
    attempts: int
    in_doubt: bool
    late: bool
    outside_window: bool | None
    stale: bool | None
    stopped: bool
    columns: Mapping[str, str]
    as_of: datetime

    @property
    def must_freeze(self) -> bool:
        """Never frozen, or thawed: without doubt, and for too long or with too much changed to trust its body."""
        parked = self.stale or self.outside_window or self.late or self.stopped
        return self.body is None or (not self.in_doubt and bool(parked))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send one frozen batch until the lease ends (two minutes)."""

    batch_id: int
    token: UUID
    idem_key: str
    body: bytes
    member_ids: tuple[int, ...]
    in_doubt: bool


Member = dict[str, Any]
MOST_RESENDS = 4
"""How often the policy `resend` sends a batch anew before a person has to look."""


def pick(ledger: Ledger, cur: Cursor, lane: Lane) -> Picked | None:
    """Lock the next batch this lane may send; None if there is none now."""
    cur.execute(ledger.sql("batches", "pick"), lane.facts())
    row = cur.fetchone()
    return Picked(**row) if row else None


def members(ledger: Ledger, cur: Cursor, picked: Picked, recheck: str, params: Mapping[str, object]) -> list[Member]:
    """The batch's people; ``recheck`` is the SQL expression that says why somebody must leave, or NULL."""
    text = ledger.sql("batches", "members").replace("/* recheck */", recheck)
    cur.execute(text, {**params, "run_no": picked.run_no, "batch_id": picked.batch_id})
    return cur.fetchall()


def window(ledger: Ledger, cur: Cursor, picked: Picked, lane: Lane, most: int) -> list[str]:
    """The keys of the people who are frozen next: this batch's, and those of batches behind it, ``most`` in all."""
    facts = {**lane.facts(), "run_no": picked.run_no, "batch_id": picked.batch_id, "most": most}
    cur.execute(ledger.sql("batches", "window"), facts)
    return [row["user_key"] for row in cur.fetchall()]


def leave(ledger: Ledger, cur: Cursor, status: Status, gone: Mapping[int, str]) -> None:
    """Take people out of a batch before it is frozen: ``gone`` maps delivery ids to reasons."""
    if gone:
        facts = {"status": status, "ids": list(gone), "reasons": list(gone.values())}
        cur.execute(ledger.sql("batches", "leave"), facts)


def close(ledger: Ledger, cur: Cursor, picked: Picked, error_class: str | None = None) -> None:
    """End a batch that nobody is left in."""
    cur.execute(ledger.sql("batches", "close"), {"batch_id": picked.batch_id, "error_class": error_class})


def account_of(ledger: Ledger, account: str) -> bytes:
    """What the ledger keeps of a provider account: enough to tell it from another, and nothing to log in with."""
    with ledger.transaction() as cur:
        return hmac.digest(address_key(cur, ledger), f"account\0{account}".encode(), "sha256")


def lease(
    ledger: Ledger,
    cur: Cursor,
    picked: Picked,
    account: bytes | None,
    body: bytes | None = None,
    member_ids: Sequence[int] | None = None,
) -> Lease:
    """Lease the batch with the body it has, or with a new ``body`` (a batch that had one before gets a new key)."""
    facts = {
        "batch_id": picked.batch_id,
        "in_doubt": picked.in_doubt,
        "account": account,
        "body": pack(body) if body is not None else None,
        "sha256": sha256(body).digest() if body is not None else None,
        "member_ids": list(member_ids) if member_ids is not None else None,
        "thaw": body is not None and picked.body is not None,
    }
    cur.execute(ledger.sql("batches", "lease"), facts)
    row = one(cur)
    frozen = body if body is not None else unpack(picked.body or b"")
    ids = member_ids if member_ids is not None else picked.member_ids
    return Lease(picked.batch_id, row["lease_token"], row["idem_key"], frozen, tuple(ids or ()), picked.in_doubt)


def settle_sent(ledger: Ledger, held: Lease, message_ids: Sequence[str | None]) -> int:
    """The provider took every message of the batch. Returns the rows that became `sent` (0: the lease was lost)."""
    facts = {"ids": list(held.member_ids), "message_ids": list(message_ids)}
    return _settle(ledger, held, "settle_sent", facts)


def renew(ledger: Ledger, held: Lease) -> bool:
    """Make the lease last two minutes from now. False if somebody else has the batch by now."""
    return _settle(ledger, held, "renew", {}) > 0


def settle_all(
    ledger: Ledger, held: Lease, status: Status, error_class: str, detail: str = "", policy: Doubt = Doubt.HOLD
) -> int:
    """Every row ends as ``status``: failed (a definite no) or uncertain (nobody can know: ``policy`` goes on)."""
    facts = {"status": status, "error_class": error_class, "detail": detail or None}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("batches", "settle_all"), {**facts, **_key(held)})
        settled = cur.rowcount
        if settled:
            resolve(ledger, cur, held.batch_id, policy)
    return settled


def release(ledger: Ledger, held: Lease, seconds: float, in_doubt: bool, error_class: str) -> int:
    """Give the lease back: the same frozen batch again after ``seconds``."""
    return _settle(ledger, held, "release", {"seconds": seconds, "in_doubt": in_doubt, "error_class": error_class})


def recut(ledger: Ledger, held: Lease, error_class: str) -> int:
    """Cut the batch into two halves with keys of their own, so that one bad row ends up alone."""
    return _settle(ledger, held, "recut", {**_halves(held.member_ids), "error_class": error_class})


def split(ledger: Ledger, cur: Cursor, picked: Picked, ids: Sequence[int]) -> None:
    """Cut a batch that was picked and is too long for one call into two halves, before anybody leased it."""
    facts = {**_halves(ids), "batch_id": picked.batch_id, "lease_token": None, "error_class": "too_long"}
    cur.execute(ledger.sql("batches", "recut"), facts)


def _halves(ids: Sequence[int]) -> dict[str, object]:
    middle = len(ids) // 2
    return {"first": list(ids[:middle]), "second": list(ids[middle:])}


def _key(held: Lease) -> dict[str, object]:
    return {"batch_id": held.batch_id, "lease_token": held.token}


def _settle(ledger: Ledger, held: Lease, name: str, facts: dict[str, object]) -> int:
    with ledger.statement() as cur:
        cur.execute(ledger.sql("batches", name), {**facts, **_key(held)})
        return cur.rowcount


def pending(ledger: Ledger, lane: Lane) -> float | None:
    """Seconds until a batch of this lane may be picked; None when nothing is left to do or to wait for."""
    with ledger.statement() as cur:
        cur.execute(ledger.sql("batches", "pending"), lane.facts())
        seconds: float | None = one(cur)["seconds"]
    return None if seconds is None else max(0.0, seconds)


def doubt(ledger: Ledger, cur: Cursor, batch_id: int) -> int:
    """End a batch whose outcome nobody can know any more. Returns how many rows became `uncertain`."""
    cur.execute(ledger.sql("batches", "doubt"), {"batch_id": batch_id})
    return cur.rowcount


def left_in_doubt(ledger: Ledger, cur: Cursor, lane: Lane, others: Sequence[str]) -> list[int]:
    """Lock the lane's batches whose last call was made with one of the ``others`` and whose outcome is unknown."""
    cur.execute(ledger.sql("batches", "left_in_doubt"), {**lane.facts(), "others": list(others)})
    return [row["batch_id"] for row in cur.fetchall()]


def take_over(ledger: Ledger, cur: Cursor, lane: Lane, others: Sequence[str]) -> int:
    """Give the lane's provider the open batches that one of the ``others`` would have sent. Returns how many."""
    cur.execute(ledger.sql("batches", "take_over"), {**lane.facts(), "others": list(others)})
    return cur.rowcount


def resolve(ledger: Ledger, cur: Cursor, batch_id: int, policy: Doubt) -> None:
    """Do with a batch's uncertain rows what the connection's policy says; `hold` leaves them for a person."""
    if policy is not Doubt.HOLD:
        cur.execute(ledger.sql("batches", policy.value), {"batch_id": batch_id, "most": MOST_RESENDS})
