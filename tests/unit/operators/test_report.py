from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG, BaseOperator, TaskGroup

from skene_airflow.operators.report import ReportOperator, failed_tasks


class Idle(BaseOperator):
    def execute(self, context: Any) -> None: ...


def states_before(states: dict[str, str], report: ReportOperator) -> dict[str, str]:
    ti = SimpleNamespace(run_id="r", get_task_states=lambda **_: {"r": states})
    return report.states_before({"ti": ti})  # type: ignore[typeddict-item] # only this key is read


def test_it_sees_the_tasks_before_it_and_each_shard_and_nobody_else() -> None:
    with DAG("d", schedule=None):
        report = ReportOperator(task_id="report", loop=None)  # type: ignore[arg-type] # no loop is needed
        Idle(task_id="evaluate") >> Idle(task_id="send") >> report >> Idle(task_id="after")
        Idle(task_id="aside")
    states = {"evaluate": "success", "send_0": "failed", "send_11": "success", "after": "failed", "aside": "failed"}
    assert states_before(states, report) == {"evaluate": "success", "send_0": "failed", "send_11": "success"}


def test_in_a_task_group_it_sees_its_own_step_only() -> None:
    with DAG("d", schedule=None):
        with TaskGroup("advanced"):
            report = ReportOperator(task_id="report", loop=None)  # type: ignore[arg-type] # no loop is needed
            Idle(task_id="send") >> report
        Idle(task_id="send")
    assert report.group == "advanced."
    states = {"advanced.send": "skipped", "send": "failed"}
    assert states_before(states, report) == {"advanced.send": "skipped"}


def test_a_run_without_any_state_is_no_failure() -> None:
    with DAG("d", schedule=None):
        report = ReportOperator(task_id="report", loop=None)  # type: ignore[arg-type] # no loop is needed
    assert states_before({}, report) == {}


def test_only_the_causes_are_named() -> None:
    assert failed_tasks({"evaluate": "failed", "segment": "upstream_failed", "send": "upstream_failed"}) == ["evaluate"]
    assert failed_tasks({"evaluate": "success", "send_1": "failed", "send_0": "failed"}) == ["send_0", "send_1"]
    assert failed_tasks({"segment": "upstream_failed"}) == ["segment"]
    assert failed_tasks({"send": "skipped", "send_0": "removed"}) == []
    assert failed_tasks({"evaluate": "success", "send": "skipped"}) == []
