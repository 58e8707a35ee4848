"""The long scenarios on the real scheduler: thirty days at once, ten days missed, a scheduler that dies in the middle,
and runs that Airflow itself would never let meet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.dags.deployment import AIRFLOW, REPOSITORY
from tests.dags.installation import LIVE, Installation, installation

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]

NOW = datetime.now(UTC)
MISSED = f'{{type: schedule, cron: "0 {(NOW.hour + 12) % 24} * * *"}}'
"""Daily; its last tick was about half a day ago."""


@pytest.fixture
def airflow(pg: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation that the test itself starts."""
    with installation(tmp_path / "world", pg) as world:
        yield world


def backfill(airflow: Installation, dag_id: str, first: int, last: int, **more: object) -> None:
    """Backfill the days from ``first`` to ``last`` days ago."""
    days = {"from_date": str(NOW - timedelta(days=first)), "to_date": str(NOW - timedelta(days=last))}
    airflow.post("/backfills", {"dag_id": dag_id, "max_active_runs": 3, "reprocess_behavior": "none", **days, **more})


def test_thirty_days_of_backfill_decide_everything_and_mail_nobody(airflow: Installation) -> None:
    loop = airflow.scenario("history", 3, MISSED, "mode: shadow")
    asked = airflow.scenario("asked", 3, MISSED)
    airflow.start()
    backfill(airflow, "history", 31, 1, dag_run_conf={"expires_after": "90d"})
    backfill(airflow, "asked", 3, 1, dag_run_conf={"mode": "live", "expires_after": "90d"})
    query = "SELECT count(*) AS n FROM dag_run WHERE dag_id = 'history' AND run_type = 'backfill' AND state = 'success'"
    airflow.wait(lambda: airflow.airflow_rows(query) == [{"n": 30}], "thirty runs never ended", patience=1200)
    runs = [run for run in loop.runs() if run["run_type"] == "backfill"]
    assert {run["mode"] for run in runs} == {"shadow"}
    assert [run["verdicts"]["send"] for run in runs] == [3] * 30
    assert len({run["as_of"] for run in runs}) == 30
    assert not loop.provider.requests
    airflow.wait(lambda: bool(asked.accepted()), "a backfill that was asked to send never did")
    assert asked.accepted() == asked.everybody()


def test_ten_days_without_a_run_are_made_up_for_by_the_last_one_alone(airflow: Installation) -> None:
    loop = airflow.scenario("missed", 3, MISSED)
    airflow.start()
    backfill(airflow, "missed", 12, 10)
    scheduled = "SELECT run_id FROM dag_run WHERE dag_id = 'missed' AND run_type = 'scheduled'"
    airflow.wait(lambda: bool(airflow.airflow_rows(scheduled)), "the missed run never came")
    assert loop.ended(airflow.airflow_rows(scheduled)[0]["run_id"]) == "success"
    backfilled = "SELECT 1 FROM dag_run WHERE dag_id = 'missed' AND run_type = 'backfill' AND state = 'success'"
    airflow.wait(lambda: len(airflow.airflow_rows(backfilled)) == 2, "the backfill never ended")
    assert len(airflow.airflow_rows(scheduled)) == 1
    assert loop.accepted() == loop.everybody()
    assert {run["run_type"]: run["mode"] for run in loop.runs()} == {"backfill": "shadow", "scheduled": "live"}


def test_a_scheduler_that_dies_with_all_its_tasks_and_comes_back(airflow: Installation) -> None:
    loop = airflow.scenario("restarted", 800, latency=3.0)
    airflow.start()
    run_id = loop.trigger(dict(LIVE))
    airflow.wait(lambda: len(loop.provider.requests) > 1, "nobody was called")
    airflow.kill_component("scheduler")
    assert loop.accepted() != loop.everybody(), "it died too late to prove anything"
    loop.provider._latency = 0.0
    loop.forget_leases()
    airflow.start_component("scheduler")
    assert loop.ended(run_id) == "success"
    assert loop.accepted() == loop.everybody()
    assert loop.statuses() == {"sent": 800}


def test_what_a_failed_run_left_is_finished_by_the_upkeep_dag(airflow: Installation) -> None:
    loop = airflow.scenario("left", 250, faults=lambda _: "bad_key")
    (airflow.dags / "growth_loops.py").write_text((REPOSITORY / "dags" / "growth_loops.py").read_text())
    airflow.start()
    run_id = loop.trigger(dict(LIVE))
    assert loop.ended(run_id) == "failed"
    loop.provider._faults = None
    airflow.wait(lambda: bool(airflow.airflow_rows("SELECT 1 FROM dag WHERE dag_id = 'skene_upkeep'")), "no upkeep")
    airflow.post("/dags/skene_upkeep/dagRuns", {"logical_date": None})
    airflow.wait(lambda: loop.statuses() == {"sent": 250}, "what was left never left")
    assert loop.accepted() == loop.everybody()


def test_runs_that_race_in_processes_that_know_nothing_of_each_other(airflow: Installation) -> None:
    loop = airflow.scenario("raced", 500, latency=0.5)
    airflow.start()
    command = [AIRFLOW, "dags", "test", "raced", "--conf", json.dumps(LIVE)]
    # Beside a live scheduler on an unpaused DAG, Airflow runs each of their tasks twice.
    racing = [
        subprocess.Popen(command, env=airflow.environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    run_id = loop.trigger(dict(LIVE))
    for process in racing:
        process.wait(900)
    loop.ended(run_id)
    query = "SELECT 1 FROM task_instance WHERE dag_id = 'raced' AND state IN ('running', 'queued', 'scheduled')"
    airflow.wait(lambda: not airflow.airflow_rows(query), "tasks of the race never ended")
    assert loop.accepted() == loop.everybody()
    assert loop.statuses() == {"sent": 500}
