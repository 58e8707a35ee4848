"""What a person does to single deliveries: retry, abandon, settle, import. All or nothing, and audited.

Every change names the deliveries it is about. One that is not there, or not in a state that the change is for, keeps
the whole change from happening.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import SkeneError
from skene_airflow.ledger import control
from skene_airflow.ledger.runs import one
from skene_airflow.nouns import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from skene_airflow.ledger.ledger import Cursor, Ledger

RETRIED = (Status.FAILED, Status.UNCERTAIN, Status.ABANDONED)
"""Where a retry may begin."""


class DeliveriesRefused(SkeneError):
    """Nothing was changed, because some of these deliveries cannot be changed so."""


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries: by number, or by everything that is set."""

    ids: tuple[int, ...] | None = None
    loop_id: str | None = None
    step_id: str | None = None
    run_id: str | None = None
    user_key: str | None = None
    statuses: tuple[Status, ...] | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """Who changes something, why (no addresses), and how long each provider can be asked about a call in doubt."""

    actor: str
    reason: str
    windows: Mapping[str, timedelta | None]


@dataclass(frozen=True, slots=True)
class Again:
    """How a retry goes: messages in one call of each provider, a provider instead of the old one, and for how long."""

    sizes: Mapping[str, int]
    provider: str | None = None
    expires_after: Mapping[str, timedelta] | None = None


def find(ledger: Ledger, which: Which, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of deliveries_v, newest first; no address is among their columns."""
    facts = asdict(which) | {"limit": limit}
    for name in ("ids", "statuses"):
        facts[name] = None if facts[name] is None else list(facts[name])
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("deliveries", "list"), facts)
        return cur.fetchall()


def retry(ledger: Ledger, ids: Sequence[int], deed: Deed, again: Again, may_double: bool = False) -> int:
    """Queue failed, uncertain (only with ``may_double``) and abandoned ones anew, in new batches with new keys.

    Returns how many there are. Raises DeliveriesRefused.
    """
    with ledger.transaction() as cur:
        rows = _locked(ledger, cur, ids, deed)
        _refuse(rows, lambda row: _no_retry(row, may_double))
        loops = again.expires_after or {}
        facts = {
            "ids": list(ids),
            "provider": again.provider,
            "providers": list(again.sizes),
            "sizes": list(again.sizes.values()),
            "loops": list(loops),
            "spans": list(loops.values()),
        }
        cur.execute(ledger.sql("deliveries", "retry"), facts)
        if cur.rowcount != len(rows):
            raise DeliveriesRefused("Nothing was changed: a provider of these deliveries is not known here.")
        _note(ledger, cur, deed, "deliveries retry", rows, may_double=may_double)
    return len(rows)


def abandon(ledger: Ledger, ids: Sequence[int], deed: Deed) -> int:
    """Give up on uncertain ones: nobody is asked again, they keep their entry. Raises DeliveriesRefused."""
    with ledger.transaction() as cur:
        rows = _locked(ledger, cur, ids, deed)
        _refuse(rows, lambda row: "" if row["stored"] == Status.UNCERTAIN else _not_uncertain(row))
        cur.execute(ledger.sql("deliveries", "abandon"), {"ids": list(ids)})
        _note(ledger, cur, deed, "deliveries abandon", rows)
    return len(rows)


def settle(ledger: Ledger, ids: Sequence[int], deed: Deed, message_id: str | None = None) -> int:
    """Somebody knows that these uncertain ones went out: they become sent. Raises DeliveriesRefused."""
    with ledger.transaction() as cur:
        rows = _locked(ledger, cur, ids, deed)
        _refuse(rows, lambda row: "" if row["status"] == Status.UNCERTAIN else _not_uncertain(row))
        cur.execute(ledger.sql("deliveries", "settle"), {"ids": list(ids), "message_id": message_id})
        _note(ledger, cur, deed, "deliveries settle", rows, message_id=message_id)
    return len(rows)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found: people named, entries made now, entries held already, and those of them still queued."""

    people: int
    imported: int
    held: int
    queued: int


def import_people(
    ledger: Ledger,
    loop_id: str,
    step_id: str,
    people: Iterable[tuple[str, str, bytes | None]],
    deed: Deed,
    version: str = "",
) -> Imported:
    """Let people (person key, entry key, address HMAC if known) hold their entry without a mail. Idempotent.

    They read as `existing`, reason `imported`. An entry that somebody holds already stays as it is.
    """
    step = {"loop_id": loop_id, "step_id": step_id}
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("deliveries", "import_table"))
        with cur.copy(ledger.sql("deliveries", "import_copy")) as copy:
            for row in people:
                copy.write_row(row)
        cur.execute(ledger.sql("runs", "step_lock"), step)
        cur.execute(ledger.sql("deliveries", "import_missing"), step)
        found = one(cur)
        done = 0
        if found["missing"]:
            cur.execute(ledger.sql("deliveries", "import_run"), {**step, "version": version})
            run = one(cur)
            cur.execute(ledger.sql("deliveries", "import_rows"), {**step, "run_no": run["run_no"]})
            done = cur.rowcount
            facts = {"loop": loop_id, "step": step_id, "run": run["run_id"], "people": found["people"]}
            control.note(ledger, cur, deed.actor, "deliveries import", **facts, imported=done, reason=deed.reason)
    return Imported(found["people"], done, found["people"] - done, found["queued"])


def known_loops(ledger: Ledger) -> set[str]:
    """Every loop that the ledger has had a run of."""
    with ledger.transaction() as cur:
        cur.execute(ledger.sql("deliveries", "known_loops"))
        return {str(row["loop_id"]) for row in cur.fetchall()}


def _locked(ledger: Ledger, cur: Cursor, ids: Sequence[int], deed: Deed) -> list[dict[str, Any]]:
    """Lock them, find out what doubt can still be asked about, and read them. Raises DeliveriesRefused for none."""
    which = {"ids": list(ids)}
    cur.execute(ledger.sql("deliveries", "lock_batches"), which)
    windows = {"providers": list(deed.windows), "windows": list(deed.windows.values())}
    cur.execute(ledger.sql("deliveries", "close_doubt"), {**which, **windows})
    cur.execute(ledger.sql("deliveries", "lock"), which)
    rows = cur.fetchall()
    if missing := sorted(set(ids) - {row["delivery_id"] for row in rows}):
        raise DeliveriesRefused(f"Nothing was changed: there is no delivery {', '.join(map(str, missing[:10]))}.")
    return rows


def _refuse(rows: Sequence[Mapping[str, Any]], why: Any) -> None:
    faults = [f"{row['delivery_id']} {fault}" for row in rows if (fault := why(row))]
    if faults:
        more = f" (and {len(faults) - 10} more)" if len(faults) > 10 else ""
        raise DeliveriesRefused(f"Nothing was changed: {'; '.join(faults[:10])}{more}.")


def _no_retry(row: Mapping[str, Any], may_double: bool) -> str:
    if row["stored"] not in RETRIED:
        return (
            _asked_again(row)
            if row["status"] == Status.UNCERTAIN
            else f"is {row['status']}: only " + ("failed, uncertain and abandoned ones are retried")
        )
    if row["stored"] == Status.UNCERTAIN and not may_double:
        return "is uncertain and may have been mailed: --may-double sends it, perhaps twice; settle it if it went out"
    if row["erased"]:
        return "has no address and values any more: they were erased after [skene] retention_days"
    return f"belongs to {row['loop_id']}, which is stopped: start it first" if row["stopped"] else ""


def _not_uncertain(row: Mapping[str, Any]) -> str:
    return _asked_again(row) if row["status"] == Status.UNCERTAIN else f"is {row['status']}, not uncertain"


def _asked_again(row: Mapping[str, Any]) -> str:
    return f"is in doubt only for now: the next run or skene_upkeep asks {row['provider']} again under the same key"


def _note(
    ledger: Ledger, cur: Cursor, deed: Deed, action: str, rows: Sequence[Mapping[str, Any]], **facts: object
) -> None:
    were: dict[str, int] = {}
    for row in rows:
        were[row["status"]] = were.get(row["status"], 0) + 1
    ids = [row["delivery_id"] for row in rows]
    loops = sorted({row["loop_id"] for row in rows})
    control.note(ledger, cur, deed.actor, action, deliveries=ids, loops=loops, were=were, reason=deed.reason, **facts)
