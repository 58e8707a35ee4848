"""`guard.approve_above` in a running Airflow: the question stands in its API, and each answer does what it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.dags.installation import LIVE, Installation, Scenario, installation

pytestmark = pytest.mark.timeout(600)

GUARD = "guard: {approve_above: 2}\nalerts: [{email: ops@acme.example}]"
NAMES = ("approved", "rejected", "silent")


@dataclass
class World:
    """Three loops that ask, each with its first run parked."""

    airflow: Installation
    loops: dict[str, Scenario]
    first: dict[str, str]


@pytest.fixture(scope="module")
def world(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE approval")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="approval")
    with installation(tmp_path_factory.mktemp("approval"), uri, AIRFLOW__API__BASE_URL="https://a.example") as airflow:
        loops = {name: airflow.scenario(name, 3, more=GUARD) for name in NAMES}
        airflow.start()
        first = {name: loop.trigger(dict(LIVE)) for name, loop in loops.items()}
        yield World(airflow, loops, first)


def url(world: World, name: str) -> str:
    path = f"dags/{name}/dagRuns/{world.first[name]}/taskInstances/approve/-1/hitlDetails"
    return f"http://127.0.0.1:{world.airflow.port}/api/v2/{path}"


def parked(world: World, name: str) -> dict[str, Any]:
    """Wait until the run's question may be answered; the question.

    Airflow 3.3.2 fails a try that is answered before the scheduler has heard from the executor that it parked.
    """
    loop, run_id = world.loops[name], world.first[name]
    heard = (
        f"with state success for task instance TaskInstanceKey(dag_id='{name}', task_id='approve', run_id='{run_id}'"
    )
    log = world.airflow.home / "logs" / "scheduler.log"

    def may_be_answered() -> bool:
        return loop.states(run_id).get("approve") == "awaiting_input" and heard in log.read_text(errors="replace")

    world.airflow.wait(may_be_answered, f"{name}: it never asked")
    answer: dict[str, Any] = httpx.get(url(world, name), timeout=60).raise_for_status().json()
    return answer


def reply(world: World, name: str, option: str) -> None:
    httpx.patch(url(world, name), json={"chosen_options": [option], "params_input": {}}, timeout=60).raise_for_status()


def alerts(loop: Scenario) -> Counter[str]:
    return loop.accepted() - loop.everybody()


def test_it_waits_without_a_slot_shows_numbers_and_samples_and_a_yes_sends(world: World) -> None:
    loop, run_id = world.loops["approved"], world.first["approved"]
    asked = parked(world, "approved")
    assert asked["subject"] == "approved: mail 3 people?"
    assert asked["options"] == ["Approve", "Reject"]
    assert "| to be mailed | 3 |" in asked["body"]
    assert asked["body"].count("Subject: We miss you, ‹name›") == 3
    states = loop.states(run_id)
    assert (states["segment"], states["approve"]) == ("success", "awaiting_input")
    assert loop.statuses() == {}, "nobody is claimed"
    [task] = [each for each in loop.tasks(run_id) if each["task_id"] == "approve"]
    assert task["trigger_id"] is None, "no triggerer is needed"
    assert not psutil.pid_exists(task["pid"]), "no process waits"
    assert alerts(loop) == {"ops@acme.example": 1}
    [alert] = [mail.mail or {} for mail in loop.provider.accepted if mail.to == "ops@acme.example"]
    assert f"https://a.example/dags/approved/runs/{run_id}/tasks/approve/required_actions" in str(alert["text"])

    reply(world, "approved", "Approve")
    assert loop.ended(run_id) == "success"
    assert loop.accepted() - Counter({"ops@acme.example": 1}) == loop.everybody()
    assert loop.states(run_id) == {
        "evaluate": "success", "segment": "success", "approve": "success", "send[0]": "success", "report": "success",
    }  # fmt: skip
    [said] = world.airflow.ledger("SELECT action, details ->> 'loop' AS loop FROM skene.audit")
    assert said == {"action": "approve", "loop": "approved"}

    clear = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
    world.airflow.post("/dags/approved/clearTaskInstances", clear)
    assert loop.ended(run_id) == "success"
    assert loop.accepted() - Counter({"ops@acme.example": 1}) == loop.everybody(), "nobody is asked or mailed again"


def test_a_no_sends_nothing_and_the_run_succeeds(world: World) -> None:
    loop, run_id = world.loops["rejected"], world.first["rejected"]
    parked(world, "rejected")
    reply(world, "rejected", "Reject")
    assert loop.ended(run_id) == "success"
    assert [run["verdicts"]["skip"] for run in loop.runs()] == [{"not_approved": 3}]
    assert loop.statuses() == {}
    states = loop.states(run_id)
    assert (states["approve"], states["send"], states["report"]) == ("success", "skipped", "skipped")
    assert not loop.accepted() & loop.everybody()


def test_no_answer_in_time_sends_nothing(world: World) -> None:
    loop, run_id = world.loops["silent"], world.first["silent"]
    parked(world, "silent")
    # As if `expires_after` had passed.
    world.airflow.ledger("UPDATE skene.runs SET expires_at = now() WHERE loop_id = 'silent' RETURNING 1")
    late = (
        "UPDATE task_instance SET trigger_timeout = now() WHERE dag_id = 'silent' AND task_id = 'approve' RETURNING 1"
    )
    assert world.airflow.airflow_rows(late)
    assert loop.ended(run_id) == "success"
    assert [run["verdicts"]["skip"] for run in loop.runs()] == [{"not_approved": 3}]
    assert not loop.accepted() & loop.everybody()


def test_nothing_personal_is_left_in_airflows_database_and_logs(world: World) -> None:
    for name, run_id in world.first.items():
        world.loops[name].ended(run_id)
    written = world.airflow.everything_written()
    assert "‹name›" in written, "what is searched must hold the questions"
    for name in world.loops:
        assert not re.search(rf"{name}\d+@|Surname\d+{name}", written)
