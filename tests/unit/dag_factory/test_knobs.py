"""Airflow's own knobs, from YAML and from Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from skene_airflow.dag_factory import load_loops
from skene_airflow.notifications.run_failed import RunFailedNotifier
from skene_airflow.notifications.run_in_trouble import RunInTroubleNotifier

KNOBS = """airflow:
  pool: crm
  priority_weight: 5
  queue: growth
  executor: LocalExecutor
  dagrun_timeout: 2h
  max_consecutive_failed_dag_runs: 3
  access_control: {Growth: [can_read, can_edit], Ops: {DAGs: [can_read]}}
"""
ALERTS = "alerts: [{email: growth@acme.example}, {email: ops@acme.example}]\n"


@pytest.fixture
def build(folder: Path, text: str) -> Callable[..., DAG]:
    def built(more: str, **extras: Any) -> DAG:
        (folder / "re_engagement.yaml").write_text(text + more)
        return load_loops(folder, **extras)["re_engagement"]

    return built


def test_the_airflow_block(build: Callable[..., DAG]) -> None:
    dag = build(KNOBS, default_args={"pool": "theirs", "weight_rule": "absolute"})
    assert (dag.dagrun_timeout, dag.max_consecutive_failed_dag_runs) == (timedelta(hours=2), 3)
    assert dag.access_control == {"Growth": {"DAGs": {"can_read", "can_edit"}}, "Ops": {"DAGs": {"can_read"}}}
    for name in ("evaluate", "segment", "report"):
        task = dag.get_task(name)
        assert (task.pool, task.priority_weight, task.queue, task.executor) == ("crm", 5, "growth", "LocalExecutor")
    mapped: Any = dag.get_task("send")
    assert {name: mapped.partial_kwargs[name] for name in ("pool", "priority_weight", "queue", "executor")} == {
        "pool": "crm",
        "priority_weight": 5,
        "queue": "growth",
        "executor": "LocalExecutor",
    }
    DagSerialization.to_dict(dag)


def test_without_the_block_airflows_defaults_hold(build: Callable[..., DAG]) -> None:
    dag = build("")
    assert (dag.dagrun_timeout, dag.access_control, dag.on_failure_callback) == (None, None, None)
    assert dag.get_task("evaluate").pool == "default_pool"


def test_an_executor_that_is_not_there_breaks_one_loop_only(build: Callable[..., DAG], folder: Path, text: str) -> None:
    (folder / "other.yaml").write_text(text)
    dag = build("airflow: {executor: MoonExecutor}\n")
    assert "broken" in dag.tags
    assert "no executor 'MoonExecutor'" in (dag.doc_md or "")
    assert "airflow.executor" in (dag.doc_md or "")
    assert "broken" not in load_loops(folder)["other"].tags


@pytest.mark.parametrize("said", ["{Growth: 3}", "{Growth: can_read}", "{Growth: [1]}", "{Growth: {DAGs: can_read}}"])
def test_access_control_that_airflow_would_choke_on(build: Callable[..., DAG], said: str) -> None:
    dag = build(f"airflow:\n  access_control: {said}\n")
    assert "broken" in dag.tags
    assert "is not given a list of actions" in (dag.doc_md or "")


def test_owner_and_tags(build: Callable[..., DAG]) -> None:
    dag = build("owner: growth\ntags: [reports, eu]\n")
    assert dag.tags == {"skene", "retention", "reports", "eu"}
    assert {task.owner for task in dag.tasks} == {"growth"}


def test_alerts_are_notifiers(build: Callable[..., DAG]) -> None:
    dag = build(ALERTS)
    callbacks: Any = dag.on_failure_callback
    [failed] = callbacks
    assert isinstance(failed, RunFailedNotifier)
    assert failed.to == ("growth@acme.example", "ops@acme.example")
    assert failed.conn_id == "resend_default"
    report: Any = dag.get_task("report")
    for callbacks in (report.on_success_callback, report.on_failure_callback, report.on_skipped_callback):
        [trouble] = callbacks
        assert isinstance(trouble, RunInTroubleNotifier)
        assert trouble.step_id == "main"


def test_alerts_do_not_push_pythons_own_callbacks_away(build: Callable[..., DAG]) -> None:
    def of_dag(context: object) -> None: ...

    def of_task(context: object) -> None: ...

    dag = build(ALERTS, on_failure_callback=of_dag, default_args={"on_failure_callback": [of_task]})
    callbacks: Any = dag.on_failure_callback
    assert [type(callback).__name__ for callback in callbacks] == ["function", "RunFailedNotifier"]
    report: Any = dag.get_task("report")
    assert report.on_failure_callback[0] is of_task
    evaluate: Any = dag.get_task("evaluate")
    assert list(evaluate.on_failure_callback) == [of_task]


def test_alerts_leave_the_serialized_dag_the_same_each_time(build: Callable[..., DAG]) -> None:
    assert DagSerialization.to_dict(build(ALERTS)) == DagSerialization.to_dict(build(ALERTS))
