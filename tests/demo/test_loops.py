"""Every loop of `loops/` on the demo's data: the database takes its query, and it finds people."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest

from demo import data
from demo.paths import LOOPS
from skene_airflow.loop.schema import QueryCondition
from skene_airflow.loop.sql import bind
from skene_airflow.stages.check import check_folder
from skene_airflow.stages.describe import check_sources

IDS = sorted(path.stem for path in Path(LOOPS).glob("[!_]*.yaml"))


@pytest.fixture(scope="module")
def shop(postgres: str) -> str:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE shop_of_loops")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="shop_of_loops")
    data.load(uri)
    return uri


def test_the_folder_has_no_fault(shop: str) -> None:
    folder = check_folder(LOOPS)
    assert folder.errors == ()
    assert check_sources(folder.loops, lambda _: partial(psycopg.connect, shop)) == []


@pytest.mark.parametrize("loop_id", IDS)
def test_it_finds_people_of_the_demo_and_not_all(shop: str, loop_id: str) -> None:
    (loop,) = (loop for loop in check_folder(LOOPS).loops if loop.id == loop_id)
    now = f"'{datetime.now(UTC).isoformat()}'::timestamptz"
    with psycopg.connect(shop) as conn:
        everybody = conn.execute("SELECT count(*) FROM users").fetchone()
        for step in loop.steps:
            assert isinstance(step.condition, QueryCondition)
            query = f"SELECT count(DISTINCT id) FROM ({bind(step.condition.query, {'as_of': now})}) q"
            found = conn.execute(query.encode()).fetchone()
            assert found is not None
            assert everybody is not None
            assert 0 < found[0] < everybody[0]
