"""From Hasura's call to the mail with every real part: api-server, triggerer, scheduler, PostgreSQL.

The oracle is what the provider accepted, and how many runs Airflow began.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from skene_airflow.cli import main
from tests.dags.installation import Installation, installation

pytestmark = pytest.mark.timeout(600)

SECRET = "shared with Hasura"
EVENT = "SELECT u.* FROM {name}_users u JOIN event e ON e.id = u.id"


@pytest.fixture(scope="module")
def airflow(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a triggerer, and `skene_upkeep` beside the loops."""
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE changing")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="changing")
    hasura = json.dumps({"conn_type": "http", "host": "https://hasura.example", "extra": {"webhook_secret": SECRET}})
    with installation(tmp_path_factory.mktemp("changing"), uri, AIRFLOW_CONN_HASURA_DEFAULT=hasura) as world:
        (world.dags / "growth_loops.py").write_text(
            "from skene_airflow.dag_factory import load_loops  # an Airflow DAG file\nglobals().update(load_loops())\n"
        )
        for name in ("arrivals", "flood", "patient"):
            trigger = f"{{type: database, table: {name}_users, event: [insert, manual]}}"
            world.scenario(name, 300, trigger, condition=EVENT.format(name=name))
        # This one's rows are noted by triggers of its own, with no Hasura anywhere.
        world.scenario(
            "plain", 300, "{type: database, table: plain_users, event: insert}", condition=EVENT.format(name="plain")
        )
        assert main(["events", "install", "plain_users", "--event", "insert", "--source", uri]) == 0
        world.start("triggerer")
        yield world


def call(name: str, number: int) -> dict[str, Any]:
    """What Hasura posts of one person."""
    row = {"id": number, "email": f"{name}{number}@example.com", "name": "x"}
    return {
        "id": str(uuid.uuid4()),
        "created_at": "2026-11-25T07:14:21.601701Z",
        "table": {"schema": "public", "name": f"{name}_users"},
        "trigger": {"name": "skene"},
        "event": {"op": "INSERT", "data": {"old": None, "new": row}, "session_variables": None},
        "delivery_info": {"current_retry": 0, "max_retries": 5},
    }


def post(world: Installation, body: dict[str, Any], secret: str = SECRET) -> int:
    """Hasura's call to the plugin in Airflow's api-server."""
    url = f"http://127.0.0.1:{world.port}/skene/hasura/events"
    return httpx.post(url, json=body, headers={"X-Skene-Secret": secret}, timeout=60).status_code


def test_a_row_that_is_inserted_becomes_a_mail_by_itself(airflow: Installation) -> None:
    arrivals = airflow.scenarios["arrivals"]
    assert post(airflow, call("arrivals", 7), "wrong") == 401
    bodies = [call("arrivals", number) for number in (1, 2, 3)]
    for body in bodies * 5:
        assert post(airflow, body) == 200
    airflow.wait(lambda: len(arrivals.provider.accepted) == 3, "nobody was mailed")
    assert arrivals.accepted() == Counter(f"arrivals{n}@example.com" for n in (1, 2, 3))
    assert {run["run_type"] for run in arrivals.runs()} == {"asset_triggered"}
    assert {run["mode"] for run in arrivals.runs()} == {"live"}


def test_a_row_of_a_plain_postgres_becomes_a_mail_by_itself_too(airflow: Installation) -> None:
    plain = airflow.scenarios["plain"]
    with psycopg.connect(airflow.uri) as conn:
        conn.execute("INSERT INTO plain_users VALUES (501, 'plain501@example.com', 'Grace')")
    airflow.wait(lambda: len(plain.provider.accepted) == 1, "nobody was mailed")
    assert plain.accepted() == Counter({"plain501@example.com": 1})
    assert {run["run_type"] for run in plain.runs()} == {"asset_triggered"}


def test_many_changes_make_few_runs(airflow: Installation) -> None:
    flood = airflow.scenarios["flood"]
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda n: post(airflow, call("flood", n)), range(1, 301))) == {200}
    airflow.wait(lambda: len(flood.provider.accepted) == 300, "somebody was not mailed")
    assert flood.accepted() == flood.everybody()
    begun = airflow.airflow_rows("SELECT count(*) AS n FROM dag_run WHERE dag_id = 'flood'")
    assert begun[0]["n"] <= 6


def test_a_change_that_brought_nobody_yet_is_asked_again_once_upkeep_has_started_the_loop(
    airflow: Installation,
) -> None:
    patient = airflow.scenarios["patient"]
    assert post(airflow, call("patient", 400)) == 200
    airflow.wait(lambda: bool(patient.runs()), "it never began")
    assert patient.ended(patient.runs()[0]["run_id"]) == "success"
    assert not patient.provider.accepted
    with psycopg.connect(airflow.uri) as conn:
        conn.execute("INSERT INTO patient_users VALUES (400, 'patient400@example.com', 'Late')")
    airflow.post("/dags/skene_upkeep/dagRuns", {"logical_date": None})
    airflow.wait(lambda: len(patient.provider.accepted) == 1, "nobody was mailed")
    assert patient.accepted() == Counter({"patient400@example.com": 1})


def test_nothing_of_a_person_is_in_airflows_own_database_or_logs(airflow: Installation) -> None:
    written = airflow.everything_written()
    for address in (
        "arrivals1@example.com",
        "flood7@example.com",
        "patient400@example.com",
        "plain501@example.com",
        SECRET,
    ):
        assert address not in written
