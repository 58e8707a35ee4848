"""Loops of several steps: task groups, and the second DAG where the first one comes round too seldom."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from skene_airflow.dag_factory import load_loops
from skene_airflow.dag_factory.build import RUN_TYPES_WITHOUT_BACKFILL, build_dags
from skene_airflow.dag_factory.stub import dags_of_loop
from skene_airflow.errors import LoopError
from skene_airflow.loop.journeys import longest_pause
from skene_airflow.stages.check import check_loop

LOOP = """\
type: adoption
opinion: One thing after another
{keys}
action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
steps:
  - id: hello
    trigger: {root}
    {condition}
  - id: later
    trigger: {{type: after, wait: 7d}}
  - id: soon
    trigger: {{type: after, step: later, wait: 30m}}
    condition: {{type: query, query: SELECT * FROM users, timeout: 1h}}
"""
DAILY = '{type: schedule, cron: "0 9 * * *"}'
TASKS = ("evaluate", "segment", "send", "report")


def build(folder: Path, root: str = DAILY, keys: str = "") -> dict[str, DAG]:
    file = folder / "journey.yaml"
    file.write_text(LOOP.format(root=root, keys=keys, condition="condition: SELECT * FROM users"))
    loop = check_loop(file, folder)
    assert not isinstance(loop, LoopError), str(loop)
    return {dag.dag_id: dag for dag in build_dags(loop)}


def test_further_steps_sit_in_groups_and_no_step_waits_for_another(folder: Path) -> None:
    dags = build(folder)
    first, second = dags["journey"], dags["journey__after"]
    assert set(first.task_ids) == {*TASKS, *(f"later.{task}" for task in TASKS)}
    assert set(second.task_ids) == {f"soon.{task}" for task in TASKS}
    for dag in dags.values():
        for task in dag.tasks:
            step = task.task_id.rpartition(".")[0]
            assert all(other.rpartition(".")[0] == step for other in task.downstream_task_ids)
    assert first.get_task("later.evaluate").downstream_task_ids == {"later.segment"}
    assert first.get_task("later.send").downstream_task_ids == {"later.report"}
    assert first.get_task("later.report").trigger_rule == "all_done"


@pytest.mark.parametrize(
    ("root", "in_first"),
    [
        (DAILY, {"later"}),
        ('{type: schedule, cron: "*/30 * * * *"}', {"later", "soon"}),
        ('{type: schedule, cron: "0 9 * * 1-5"}', {"later"}),
        ('{type: schedule, cron: "0 9 * * 1"}', {"later"}),
        ('{type: schedule, cron: "0 9 1,15 * *"}', set()),
        ('{type: schedule, cron: "@monthly"}', set()),
        ('{type: schedule, cron: "0 9 * * 1", timezone: user}', {"later"}),
        ("{type: asset, asset: dbt_users}", set()),
        ("{type: manual}", set()),
    ],
)
def test_a_step_is_in_the_first_dag_if_that_comes_round_within_its_wait(
    folder: Path, root: str, in_first: set[str]
) -> None:
    dags = build(folder, root)
    found = {dag_id: {task.split(".")[0] for task in dag.task_ids if "." in task} for dag_id, dag in dags.items()}
    others = {"later", "soon"} - in_first
    assert found == {"journey": in_first} | ({"journey__after": others} if others else {})


def test_the_second_dag_looks_every_hour_and_has_all_that_the_loop_says(folder: Path) -> None:
    more = "airflow: {dagrun_timeout: 2h, pool: crm}"
    keys = f"owner: growth\ntags: [reports]\nbackfill: forbid\nalerts: [{{email: a@acme.example}}]\n{more}"
    dags = build(folder, keys=keys)
    first, second = dags["journey"], dags["journey__after"]
    assert second.timetable == CronTriggerTimetable("0 * * * *", timezone="UTC")
    assert (second.catchup, second.max_active_runs, second.start_date) == (False, 1, None)
    assert second.tags == first.tags == {"skene", "adoption", "reports"}
    assert second.allowed_run_types == first.allowed_run_types == frozenset(RUN_TYPES_WITHOUT_BACKFILL)
    assert second.dagrun_timeout == timedelta(hours=2)
    assert "mode" in second.params
    task = second.get_task("soon.evaluate")
    assert (task.owner, task.pool, task.retries) == ("growth", "crm", 3)
    assert alerted(first) == [("journey", "journey", None)]
    assert alerted(second) == [("journey", "journey__after", None)]
    assert alerted(second.get_task("soon.report")) == [("journey", "journey__after", "soon")]


def alerted(of: Any) -> list[tuple[str, str, str | None]]:
    """The loop, DAG and step that the alerts of a failure are about."""
    return [(each.loop_id, each.dag_id, getattr(each, "step_id", None)) for each in of.on_failure_callback]


def test_each_query_has_its_own_time(folder: Path) -> None:
    dags = build(folder)
    assert dags["journey__after"].get_task("soon.evaluate").execution_timeout == timedelta(minutes=62)
    assert dags["journey"].get_task("later.evaluate").execution_timeout == timedelta(minutes=12)


def test_the_docs_tell_of_every_step_and_where_the_others_are(folder: Path) -> None:
    dags = build(folder)
    docs = {dag_id: dag.doc_md or "" for dag_id, dag in dags.items()}
    assert "7d after the first step was sent to the person, until 37d after it" in docs["journey"]
    assert "Other steps of this loop: `soon` in the DAG `journey__after`." in docs["journey"]
    assert "Step `soon`" in docs["journey__after"]
    assert "Other steps of this loop: `hello`, `later` in the DAG `journey`." in docs["journey__after"]


def test_any_edit_is_a_new_version_of_both(folder: Path) -> None:
    def serialized(keys: str = "") -> dict[str, str]:
        dags = build(folder, keys=keys)
        return {name: json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for name, dag in dags.items()}

    before, same, after = serialized(), serialized(), serialized(keys="mode: shadow")
    assert before == same
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    ("cron", "days"),
    [("@yearly", 366), ("0 0 29 2 *", 1461), ("30 9 1,15 * *", 17), ("0 9,17 * * *", 16 / 24), ("* * * * *", 1 / 1440)],
)
def test_the_longest_pause_of_a_cron_expression(cron: str, days: float) -> None:
    assert longest_pause(cron) == timedelta(days=days)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Parse as Airflow does for one task run."""

    def ask(dag_id: str, task_id: str) -> None:
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)

    return ask


def from_stub(folder: Path) -> dict[str, DAG]:
    return dags_of_loop(str(folder), "journey.yaml")


@pytest.mark.parametrize("load", [load_loops, from_stub])
def test_one_file_publishes_both_and_a_task_of_either_finds_its_own(
    folder: Path, load: Callable[[Path], dict[str, DAG]], asked: Callable[[str, str], None]
) -> None:
    build(folder)
    assert {"journey", "journey__after"} <= set(load(folder))
    asked("journey__after", "soon.evaluate")
    assert set(load(folder)) == {"journey", "journey__after"}
    assert load(folder)["journey__after"].has_task("soon.evaluate")


@pytest.mark.parametrize("load", [load_loops, from_stub])
def test_a_task_of_the_second_dag_fails_with_the_faults_of_a_file_that_broke_meanwhile(
    folder: Path, load: Callable[[Path], dict[str, DAG]], asked: Callable[[str, str], None]
) -> None:
    build(folder)
    file = folder / "journey.yaml"
    file.write_text(file.read_text().replace("wait: 7d", "wait: soon"))
    asked("journey__after", "soon.evaluate")
    (dag,) = load(folder).values()
    assert dag.dag_id == "journey__after"
    task: Any = dag.get_task("soon.evaluate")
    with pytest.raises(AirflowFailException, match=r"journey\.yaml:10:"):
        task.execute({})


def test_a_broken_file_stands_there_once_under_its_own_name(folder: Path) -> None:
    build(folder)
    file = folder / "journey.yaml"
    file.write_text(file.read_text().replace("wait: 7d", "wait: soon"))
    assert set(load_loops(folder)) == {"journey", "re_engagement", "skene_upkeep"}
