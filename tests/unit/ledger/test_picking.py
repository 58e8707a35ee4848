"""Which batch a sender gets next, and that finding it does not take longer the more are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from skene_airflow.ledger import Ledger, batches
from skene_airflow.ledger.batches import Lane
from skene_airflow.ledger.runs import Names
from skene_airflow.nouns import Mode

RUN = """
INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at, loop_version)
VALUES ('loop', 'main', 'r', 'manual', 'live', now(), now() + interval '1 day', 'v')
"""
BATCH = """
INSERT INTO skene.batches (run_no, loop_id, step_id, mode, provider, ordinal, shard, members, expires_at, idem_key,
                           status, in_doubt, next_at, lease_token, lease_until, body, member_ids)
SELECT 1, %(loop_id)s, 'main', 'live', %(provider)s, 0, %(shard)s, 1, now() + interval '1 day',
       gen_random_uuid()::text, %(status)s, %(in_doubt)s, now() + make_interval(secs => %(next_in)s),
       CASE %(status)s WHEN 'sending' THEN gen_random_uuid() END, now() + make_interval(secs => %(lease)s), '', '{{}}'
FROM generate_series(1, %(number)s) RETURNING batch_id
"""
PLAIN = {"loop_id": "loop", "provider": "resend", "shard": 1, "status": "open", "in_doubt": False, "next_in": None,
         "lease": None, "number": 1}  # fmt: skip
LANE = Lane(Names(["loop", "earlier"], ["main"]), Mode.LIVE, 1, "resend", timedelta(hours=23))


@pytest.fixture
def ledger(connect: Callable[[], psycopg.Connection[Any]]) -> Iterator[Ledger]:
    with closing(Ledger(connect)) as ledger:
        ledger.migrate()
        with ledger.transaction() as cur:
            cur.execute(RUN)
        yield ledger


def put(ledger: Ledger, **facts: object) -> int:
    """Make batches with these facts; returns the first one's number."""
    with ledger.transaction() as cur:
        cur.execute(BATCH.replace("{{", "{").replace("}}", "}"), {**PLAIN, **facts})
        row = cur.fetchone()
    assert row is not None
    return int(row["batch_id"])


def drained(ledger: Ledger, lane: Lane = LANE) -> list[int]:
    """The batches in the order in which a sender gets them."""
    found = []
    with ledger.transaction() as cur:
        while picked := batches.pick(ledger, cur, lane):
            found.append(picked.batch_id)
            batches.close(ledger, cur, picked)
    return found


def test_doubt_first_then_ones_own_shard_then_any_other(ledger: Ledger) -> None:
    other = put(ledger, shard=0)
    own = put(ledger)
    late = put(ledger)
    doubtful_other = put(ledger, shard=0, in_doubt=True)
    doubtful_own = put(ledger, in_doubt=True)
    crashed = put(ledger, shard=0, status="sending", lease=-1.0)
    earlier_name = put(ledger, loop_id="earlier")
    assert drained(ledger) == [crashed, doubtful_own, doubtful_other, earlier_name, own, late, other]


def test_what_is_leased_parked_given_up_or_another_lanes_is_not_picked(ledger: Ledger) -> None:
    put(ledger, status="sending", lease=60.0)
    put(ledger, next_in=60.0)
    put(ledger, in_doubt=True, next_in=60.0)
    put(ledger, provider="smtp")
    put(ledger, loop_id="stranger")
    given_up = put(ledger), put(ledger, in_doubt=True), put(ledger, shard=0)
    lane = Lane(LANE.names, LANE.mode, 1, "resend", LANE.window, given_up)
    assert drained(ledger, lane) == []
    assert batches.pending(ledger, lane) == pytest.approx(60.0, abs=30.0)
    assert sorted(drained(ledger)) == sorted(given_up)


def test_while_the_loop_is_stopped_a_batch_in_doubt_waits(ledger: Ledger) -> None:
    put(ledger, in_doubt=True)
    put(ledger, status="sending", lease=-1.0)
    to_cancel = put(ledger, shard=0)
    with ledger.transaction() as cur:
        cur.execute("INSERT INTO skene.stops (loop_id, actor) VALUES ('earlier', 'somebody')")
    assert batches.pending(ledger, LANE) == 0.0
    assert drained(ledger) == [to_cancel]
    assert batches.pending(ledger, LANE) is None


def test_two_senders_never_get_the_same(ledger: Ledger, connect: Callable[[], psycopg.Connection[Any]]) -> None:
    put(ledger, number=2)
    put(ledger, in_doubt=True, number=2)
    with closing(Ledger(connect)) as second:
        found = []
        for _ in range(2):
            with ledger.transaction() as one, second.transaction() as two:
                picked = batches.pick(ledger, one, LANE), batches.pick(second, two, LANE)
                for mine, cur, batch in ((ledger, one, picked[0]), (second, two, picked[1])):
                    assert batch is not None
                    found.append(batch.batch_id)
                    batches.close(mine, cur, batch)
    assert len(set(found)) == 4


@pytest.mark.parametrize("shard", [0, 1], ids=["its own", "another shard's"])
def test_a_pick_reads_the_beginning_of_an_index(ledger: Ledger, shard: int) -> None:
    put(ledger, shard=shard, number=6000)
    drained_first = 3000
    with ledger.transaction() as cur:  # a database that last counted its rows when all of them were open
        cur.execute("ANALYZE skene.batches")
        cur.execute("UPDATE skene.batches SET status = 'done' WHERE batch_id <= %s", [drained_first])
    with ledger.transaction() as cur:  # whoever comes first steps over what is done, and remembers that it is
        batches.pick(ledger, cur, LANE)
    with ledger.transaction() as cur:
        cur.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + ledger.sql("batches", "pick"), LANE.facts())
        row = cur.fetchone()
    assert row is not None
    plan = row["QUERY PLAN"][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 40, plan
