"""What settling costs the database: rows change in place, and no index hears of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from skene_airflow.ledger import Ledger

ROWS = """
INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, batch_id, pos,
                              address, address_hmac, vars)
SELECT 'loop', 'main', n::text, '', 1, 'live', 'all', 'queued', n / 100, n, n || '@example.com',
       sha256(n::text::bytea), jsonb_build_object('words', repeat('word ', n % 200))
FROM generate_series(1, 2000) n
"""
SETTLED = """
UPDATE skene.deliveries SET status = 'sent', sent_at = clock_timestamp(), settled_at = clock_timestamp(),
       provider_message_id = gen_random_uuid()::text
WHERE run_no = 1 AND batch_id = %s
"""


def test_settling_touches_no_index(connect: Callable[[], psycopg.Connection[Any]]) -> None:
    with closing(Ledger(connect)) as ledger:
        ledger.migrate()
    with connect() as conn:
        conn.autocommit = True
        conn.execute(ROWS)
        for batch in range(21):
            conn.execute(SETTLED, [batch])
        conn.execute("SELECT pg_stat_force_next_flush()")
        found = conn.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE schemaname = 'skene' AND relname = 'deliveries'"
        ).fetchone()
    assert found is not None
    updated, in_place = found
    assert updated == 2000
    assert in_place >= 0.9 * updated
