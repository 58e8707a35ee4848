"""Conditions that try to write, to stay, or to run for ever: refused by the loader, and harmless if they were not."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import pytest

from skene_airflow.errors import LoopError, SkeneError
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import QueryCondition
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from tests.integration.shop import LOOP, Shop

QUERY = "SELECT * FROM users WHERE last_activity_at < NOW() - INTERVAL '7 days' AND re_engagement_sent = false"
OUT = ") AS q) TO STDOUT; DELETE FROM users; --"
NOT_ONE_SELECT = [
    "DELETE FROM users RETURNING *",
    "UPDATE users SET name = 'x' RETURNING *",
    "INSERT INTO users (id) VALUES (99) RETURNING *",
    "MERGE INTO users u USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE users",
    "DROP TABLE users",
    "SELECT * FROM users; DELETE FROM users",
    "SELECT * FROM users; COMMIT; DELETE FROM users",
    "SET TRANSACTION READ WRITE; DELETE FROM users",
    "COMMIT; DELETE FROM users",
    "ROLLBACK; DELETE FROM users; BEGIN",
    "END; DROP TABLE users; SELECT 1",
    "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
    "WITH gone AS (UPDATE users SET name = 'x' RETURNING *) SELECT * FROM gone",
    "SELECT * FROM users FOR UPDATE",
    "SELECT * INTO stolen FROM users",
    "CREATE TABLE stolen AS SELECT * FROM users",
    "CREATE TEMP TABLE stolen AS SELECT * FROM users",
    "COPY users TO '/dev/null'",
    "COPY users FROM PROGRAM 'true'",
    "DO $$ BEGIN DELETE FROM users; END $$",
    "CALL nothing()",
    "EXPLAIN ANALYZE DELETE FROM users",
    "LISTEN secrets",
    "LOCK TABLE users",
    f"SELECT * FROM users {OUT}",
    f"SELECT * FROM users -- \n{OUT}",
    f"SELECT * FROM users /* {OUT} */ {OUT}",
    f"SELECT * FROM users WHERE name = $$x$$ {OUT}",
    f"SELECT * FROM users WHERE name = $a$x$a$ {OUT}",
    f"SELECT * FROM users WHERE name = E'\\'' {OUT}",
    f"SELECT * FROM users WHERE name = U&'\\0027' {OUT}",
    "SELECT * FROM users) AS q, (SELECT 1",
    "SELECT * FROM users) AS q; SELECT * FROM (SELECT 1",
    "SELECT * FROM users UNION SELECT * FROM users) TO STDOUT; DELETE FROM users; --",
]
ONE_SELECT = [
    "SELECT *, nextval('canary') FROM users",
    "SELECT *, setval('canary', 99) FROM users",
    "SELECT *, lo_create(0) FROM users",
    "SELECT *, pg_notify('a', 'b') FROM users",
    "SELECT *, query_to_xml('DELETE FROM users', true, true, '') FROM users",
    "SELECT set_config('transaction_read_only', 'off', true), query_to_xml('DELETE FROM users', true, true, '')",
    "SELECT *, set_config('default_transaction_read_only', 'off', false) FROM users",
    "SELECT *, writes() FROM users",
    "SELECT *, commits() FROM users",
]
CANARY = """
CREATE SEQUENCE canary;
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; RETURN 1; END $$;
CREATE FUNCTION commits() RETURNS int LANGUAGE plpgsql AS $$ BEGIN COMMIT; DELETE FROM users; RETURN 1; END $$;
CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1'
"""


def everything(shop: Shop) -> list[object]:
    """Whatever a condition could have changed."""
    return [
        shop.sql("SELECT * FROM users ORDER BY id"),
        shop.sql("SELECT last_value, is_called FROM canary"),
        shop.sql("SELECT count(*) AS n FROM pg_class WHERE relname IN ('users', 'stolen', 'canary')"),
        shop.sql("SELECT count(*) AS n FROM pg_largeobject_metadata"),
        shop.sql("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'"),
    ]


def smuggled(shop: Shop, query: str, timeout: str = "10m") -> Job:
    """A job whose condition says this although the loader was never asked."""
    job = shop.job(loop=shop.loop(LOOP.replace("timeout: 10m", f"timeout: {timeout}")))
    assert isinstance(job.step.condition, QueryCondition)
    condition = job.step.condition.model_copy(update={"query": query})
    step = job.step.model_copy(update={"condition": condition})
    return replace(job, step=step, loop=job.loop.model_copy(update={"steps": (step,)}))


def test_nothing_in_the_corpus_writes_even_where_the_loader_was_not_asked(shop: Shop) -> None:
    shop.dormant(3)
    shop.sql(CANARY)
    shop.ledger.migrate()
    before = everything(shop)
    for query in NOT_ONE_SELECT + ONE_SELECT:
        with suppress(SkeneError, ValueError):
            evaluate(smuggled(shop, query))
        assert everything(shop) == before, query
    staged = shop.sql("SELECT count(*) AS n FROM skene.runs WHERE staged_at IS NOT NULL")[0]["n"]
    assert staged <= 2, "what stays inside its SELECT may be asked, and nothing else"


@pytest.mark.parametrize("query", NOT_ONE_SELECT)
def test_the_loader_refuses_what_is_not_one_plain_select(shop: Shop, query: str) -> None:
    quoted = query.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    path = shop.folder / "hostile.yaml"
    path.write_text(LOOP.replace(f"query: {QUERY}", f'query: "{quoted}"'), encoding="utf-8")
    assert isinstance(load_loop(path), LoopError)


@pytest.mark.parametrize(
    "query",
    [
        f"{QUERY} AND pg_sleep(600) IS NOT NULL",
        "SELECT u.*, set_config('statement_timeout', '0', false), pg_sleep(600) FROM users u",
        f"{QUERY} AND (SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b) > id",
        "SELECT u.*, pg_advisory_lock(1), pg_sleep(600) FROM users u",
    ],
)
def test_a_timeout_ends_what_does_not_end(shop: Shop, query: str) -> None:
    shop.dormant(2)
    began = time.monotonic()
    with pytest.raises(SkeneError, match="57014"):
        evaluate(smuggled(shop, query, "1s"))
    assert time.monotonic() - began < 120, "not the ten minutes it asked for"
    assert shop.sql("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'") == [{"n": 0}]
