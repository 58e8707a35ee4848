from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import CronTriggerTimetable
from airflow.serialization.serialized_objects import DagSerialization

from skene_airflow.dag_factory import load_loops


def test_it_is_hourly_unpaused_and_there_once(folder: Path) -> None:
    dag = load_loops(folder)["skene_upkeep"]
    timetable = dag.timetable
    assert isinstance(timetable, CronTriggerTimetable)
    assert timetable.expression.split()[1:] == ["*"] * 4
    assert (dag.is_paused_upon_creation, dag.catchup, dag.max_active_runs, dag.start_date) == (False, False, 1, None)
    assert [task.task_id for task in dag.tasks] == ["upkeep", "restart"]


def test_its_task_reads_every_loop_that_loads_when_it_runs(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "skene_upkeep")
    dags = load_loops(folder)
    assert list(dags) == ["skene_upkeep"]
    task: Any = dags["skene_upkeep"].get_task("upkeep")
    (folder / "other.yaml").write_text(text)
    (folder / "bad.yaml").write_text("steps: [")
    assert [str(ref).split("@")[0] for ref in task.loops.loops()] == ["other.main", "re_engagement.main"]
    assert "loops/bad.yaml is broken, and nothing of it is sent" in caplog.text


def test_pythons_arguments_count_for_it(folder: Path) -> None:
    def callback(context: object) -> None: ...

    dag = load_loops(folder, default_args={"pool": "crm"}, on_failure_callback=callback)["skene_upkeep"]
    assert dag.on_failure_callback is callback
    assert dag.get_task("upkeep").pool == "crm"


def test_it_holds_no_path_and_never_changes_with_the_loops(folder: Path, text: str) -> None:
    before = DagSerialization.to_dict(load_loops(folder)["skene_upkeep"])
    (folder / "other.yaml").write_text(text)
    assert DagSerialization.to_dict(load_loops(folder)["skene_upkeep"]) == before
    assert str(folder) not in str(before)
