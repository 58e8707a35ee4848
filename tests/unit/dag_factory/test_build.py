from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, CronTriggerTimetable
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.serialization.serialized_objects import DagSerialization

from skene_airflow.dag_factory import build_dag
from skene_airflow.errors import LoopError
from skene_airflow.stages.check import check_loop

ROW = '      type: schedule\n      cron: "0 9 * * *"        # Daily at 9 AM\n'


def build(folder: Path, text: str | None = None) -> DAG:
    file = folder / "re_engagement.yaml"
    if text is not None:
        file.write_text(text)
    loop = check_loop(file, folder)
    assert not isinstance(loop, LoopError), str(loop)
    return build_dag(loop)


def serialized(folder: Path, text: str | None = None) -> str:
    return json.dumps(DagSerialization.to_dict(build(folder, text)), sort_keys=True)


def test_the_shape(folder: Path) -> None:
    dag = build(folder)
    assert dag.dag_id == "re_engagement"
    assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
        "evaluate": ["segment"],
        "segment": ["send"],
        "send": ["report"],
        "report": [],
    }
    assert (dag.catchup, dag.max_active_runs, dag.start_date) == (False, 1, None)
    assert dag.tags == {"skene", "retention"}
    assert dag.get_task("report").trigger_rule == "all_done"


def test_a_loop_that_may_ask_has_a_task_for_it_before_send(folder: Path, text: str) -> None:
    dag = build(folder, text.replace("retries: 3", "retries: 0") + "guard: {approve_above: 500}\n")
    assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
        "evaluate": ["segment"],
        "segment": ["approve"],
        "approve": ["send"],
        "send": ["report"],
        "report": [],
    }
    approve = dag.get_task("approve")
    assert approve.retries == 1, "Airflow fails a try that is answered at once"
    assert not approve.template_fields
    assert "re_engagement.main@" in serialized(folder), "and it can be stored"


def test_recovery_becomes_airflows_retries(folder: Path, text: str) -> None:
    task = build(folder).get_task("evaluate")
    assert (task.retries, task.retry_exponential_backoff) == (3, 2.0)
    assert (task.retry_delay, task.max_retry_delay) == (timedelta(seconds=30), timedelta(minutes=10))
    fixed = text.replace("exponential", "fixed").replace("retries: 3", "retries: 1\n  retry_delay: 5s")
    task = build(folder, fixed).get_task("send")
    assert (task.retries, task.retry_exponential_backoff, task.retry_delay) == (1, 0, timedelta(seconds=5))


def test_the_task_lives_a_little_longer_than_the_condition(folder: Path) -> None:
    assert build(folder).get_task("evaluate").execution_timeout == timedelta(minutes=12)


def test_schedule(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", "Europe/Helsinki")
    timetable = build(folder).timetable
    assert isinstance(timetable, CronTriggerTimetable)
    assert (timetable.expression, str(timetable.timezone)) == ("0 9 * * *", "Europe/Helsinki")


def test_people_with_clocks_of_their_own_are_looked_at_every_hour(folder: Path, text: str) -> None:
    timetable: Any = build(folder, text.replace(ROW, ROW + "      timezone: user\n")).timetable
    assert (timetable.expression, str(timetable.timezone)) == ("0 * * * *", "UTC")


def test_schedule_in_its_own_zone(folder: Path, text: str) -> None:
    timetable: Any = build(folder, text.replace(ROW, ROW + "      timezone: Asia/Tokyo\n")).timetable
    assert str(timetable.timezone) == "Asia/Tokyo"


def test_manual(folder: Path, text: str) -> None:
    assert build(folder, text.replace(ROW, "      type: manual\n")).schedule is None


def test_assets_all_of_them(folder: Path, text: str) -> None:
    dag = build(folder, text.replace(ROW, "      type: asset\n      asset: [dbt_users, dbt_events]\n"))
    assert dag.schedule == [Asset("dbt_users"), Asset("dbt_events")]


def test_backfill_forbid_leaves_every_other_kind_of_run(folder: Path, text: str) -> None:
    assert build(folder).allowed_run_types is None
    allowed: Any = build(folder, f"{text}backfill: forbid\n").allowed_run_types
    assert {kind.value for kind in allowed} == {kind.value for kind in DagRunType} - {"backfill"}


def test_the_docs_say_it_in_words_and_in_yaml(folder: Path, text: str) -> None:
    doc = build(folder).doc_md or ""
    assert doc.startswith("Detect dormant users and trigger personalized re-engagement campaigns\n")
    for words in ("`0 9 * * *`", "once a person", "email `re_engagement` through `resend_default`", "at most 10m"):
        assert words in doc
    assert text.strip() in doc


def test_the_trigger_form_offers_the_modes(folder: Path) -> None:
    assert build(folder).params.get_param("mode").schema["enum"] == ["auto", "shadow", "live"]


def test_the_serialized_dag_is_deterministic_and_holds_no_path(folder: Path) -> None:
    first = serialized(folder)
    assert serialized(folder) == first
    assert str(folder) not in first
    assert '"loop": "re_engagement.main@' in first


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("re_engagement.yaml", "# Daily at 9 AM", "# Daily at nine"),
        ("re_engagement.yaml", "7 days", "8 days"),
        ("templates/re_engagement.html", "Until soon", "See you"),
        ("templates/re_engagement.html", "We miss you", "Hello"),
    ],
)
def test_any_edit_changes_the_serialized_dag(folder: Path, file: str, old: str, new: str) -> None:
    before = serialized(folder)
    path = folder / file
    path.write_text(path.read_text().replace(old, new))
    assert serialized(folder) != before


def test_inherited_defaults_change_it_too(folder: Path) -> None:
    before = serialized(folder)
    (folder / "_defaults.yaml").write_text("owner: growth\n")
    dag = build(folder)
    assert json.dumps(DagSerialization.to_dict(dag), sort_keys=True) != before
    assert dag.get_task("evaluate").owner == "growth"
