"""The database itself refuses what the ledger promises never to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from typing import Any

import psycopg
import pytest

from skene_airflow.ledger import Ledger

STORED = ("queued", "sent", "failed", "uncertain", "abandoned", "expired", "cancelled", "held_out", "existing")
LAWFUL = {
    ("queued", "sent"),
    ("queued", "failed"),
    ("queued", "uncertain"),
    ("queued", "expired"),
    ("queued", "cancelled"),
    ("uncertain", "sent"),
    ("uncertain", "queued"),
    ("uncertain", "abandoned"),
    *product(("expired", "cancelled"), ("queued", "held_out", "existing")),
    ("failed", "queued"),
    ("abandoned", "queued"),
}
INSERT = """
INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, batch_id, pos,
                              address_hmac, sent_at)
VALUES ('l', 'main', %(user)s, '', 1, 'live', 'all', %(status)s,
        CASE WHEN %(status)s IN ('held_out', 'existing') THEN NULL ELSE 1 END, 1, '\\x00',
        CASE WHEN %(status)s = 'sent' THEN now() END)
"""


@pytest.fixture
def conn(connect: Callable[[], psycopg.Connection[Any]]) -> Iterator[psycopg.Connection[Any]]:
    with closing(Ledger(connect)) as ledger:
        ledger.migrate()
    with connect() as conn:
        conn.autocommit = True
        yield conn


def test_only_lawful_transitions(conn: psycopg.Connection[Any]) -> None:
    allowed = set()
    for old, new in product(STORED, STORED):
        if old == new:
            continue
        user = f"{old} {new}"
        conn.execute(INSERT, {"user": user, "status": old})
        try:
            conn.execute(
                "UPDATE skene.deliveries SET status = %(new)s, sent_at = CASE WHEN %(new)s = 'sent' THEN now() END,"
                " batch_id = CASE WHEN %(new)s IN ('held_out', 'existing') THEN NULL ELSE 1 END WHERE user_key = %(u)s",
                {"new": new, "u": user},
            )
        except psycopg.errors.CheckViolation:
            continue
        allowed.add((old, new))
    assert allowed == LAWFUL


def test_one_person_enters_once(conn: psycopg.Connection[Any]) -> None:
    conn.execute(INSERT, {"user": "7", "status": "queued"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(INSERT, {"user": "7", "status": "held_out"})


def test_a_batch_is_never_sending_without_its_body(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "INSERT INTO skene.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at,"
        " idem_key) VALUES (1, 'l', 'main', 'live', 'resend', 0, 0, 1, now(), 'k')"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("UPDATE skene.batches SET status = 'sending', lease_token = gen_random_uuid()")
