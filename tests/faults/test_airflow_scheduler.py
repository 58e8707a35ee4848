"""The real scheduler with LocalExecutor, started once; every scenario is a loop of its own, all of them run at once.

The oracle is what each loop's provider accepted. `test_airflow_torture.py` has the long ones.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from skene_airflow.testing.resend_state import Request
from tests.dags.installation import LIVE, Installation, Scenario, installation

pytestmark = pytest.mark.timeout(600)

NOW = datetime.now(UTC)
CALLER = """\
from airflow.sdk import DAG
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

with DAG("caller", schedule=None):
    TriggerDagRunOperator(task_id="call", trigger_dag_id="called")
"""


class Metrics:
    """A StatsD server: what Airflow's own metrics say."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def _listen(self) -> None:
        while self._open:
            try:
                self.lines.extend(self._socket.recv(65_536).decode().splitlines())
            except TimeoutError:
                continue

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()


@dataclass
class Editor:
    """Refuses the first calls, and edits the loop and its template while they are refused."""

    scenario: Scenario | None = None
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, request: Request) -> str | None:
        assert self.scenario is not None
        self.bodies.append(request.body)
        if request.number == 2:
            for path in (self.scenario.template, self.scenario.file):
                text = path.read_text().replace("the first version", "the second version")
                path.write_text(text.replace("opinion: A scenario", "opinion: An edited scenario"))
        return "unavailable" if request.number <= 4 else None


@dataclass
class World:
    """Every scenario, under way."""

    airflow: Installation
    metrics: Metrics
    loops: dict[str, Scenario]
    first: dict[str, str]


@pytest.fixture(scope="module")
def world(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One start for all: every run is begun, one task and one supervisor are killed."""
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE scheduler")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="scheduler")
    metrics, editor = Metrics(), Editor()
    options = {
        "AIRFLOW__CORE__MAX_MAP_LENGTH": "2",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(metrics.port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }
    noon = f'{{type: schedule, cron: "0 {(NOW.hour + 12) % 24} * * *"}}'  # its last tick was about half a day ago
    with installation(tmp_path_factory.mktemp("world"), uri, **options) as airflow:
        (airflow.dags / "caller.py").write_text(CALLER)
        loops = {
            "killed": airflow.scenario("killed", 600, latency=3.0),
            "orphaned": airflow.scenario("orphaned", 600, latency=3.0),
            "edited": airflow.scenario("edited", 3, faults=editor),
            "refused": airflow.scenario("refused", 3, faults=lambda _: "unverified_domain"),
            "twice": airflow.scenario("twice", 3),
            "calm": airflow.scenario("calm", 3),
            "called": airflow.scenario("called", 3),
            "fed": airflow.scenario("fed", 3, "{type: asset, asset: dbt_users}"),
            "due": airflow.scenario("due", 3, '{type: schedule, cron: "* * * * *"}'),
            "late": airflow.scenario("late", 3, noon, "expires_after: 1h"),
        }
        editor.scenario = loops["edited"]
        airflow.start()
        first = {name: loops[name].trigger(dict(LIVE)) for name in ("killed", "orphaned", "edited", "refused")}
        first["twice"] = loops["twice"].trigger(dict(LIVE))
        first["twice again"] = loops["twice"].trigger(dict(LIVE))
        first["calm"] = loops["calm"].trigger()
        first["late"] = loops["late"].trigger(dict(LIVE), NOW - timedelta(days=3))
        airflow.post("/dags/caller/dagRuns", {"logical_date": None})
        asset = airflow.airflow_rows("SELECT id FROM asset WHERE name = 'dbt_users'")
        airflow.post("/assets/events", {"asset_id": asset[0]["id"]})
        kill(loops["killed"], supervisor=False)
        kill(loops["orphaned"], supervisor=True)
        backfill = {
            "dag_id": "late",
            "from_date": str(NOW - timedelta(days=12)),
            "to_date": str(NOW - timedelta(days=9)),
        }
        airflow.post("/backfills", {**backfill, "max_active_runs": 3, "reprocess_behavior": "none"})
        yield World(airflow, metrics, loops, first)
        metrics.close()


def kill(scenario: Scenario, *, supervisor: bool) -> None:
    """Kill a sender, or its supervisor, while a call of it is under way."""
    scenario.world.wait(lambda: bool(scenario.provider.requests), f"{scenario.name}: nobody was called")
    task = scenario.sender()
    (task.parent() if supervisor else task).kill()  # type: ignore[union-attr] # a task always has a parent
    scenario.provider._latency = 0.0
    scenario.world.wait(lambda: not task.is_running() or task.status() == "zombie", f"{scenario.name}: it lives on")
    scenario.forget_leases()


@pytest.mark.parametrize("name", ["killed", "orphaned"])
def test_a_killed_task_and_a_killed_supervisor_cost_nobody_a_mail_and_give_nobody_two(world: World, name: str) -> None:
    loop = world.loops[name]
    assert loop.ended(world.first[name]) == "success"
    assert loop.accepted() == loop.everybody()
    assert loop.statuses() == {"sent": 600}
    assert loop.tries(world.first[name]) >= 2


def test_six_batches_are_sent_by_as_many_tasks_as_max_map_length_allows(world: World) -> None:
    loop = world.loops["killed"]
    loop.ended(world.first["killed"])
    assert [t["map_index"] for t in loop.tasks(world.first["killed"]) if t["task_id"] == "send"] == [0, 1]


def test_a_retry_sends_what_was_frozen_though_loop_and_template_were_edited_meanwhile(world: World) -> None:
    loop = world.loops["edited"]
    assert loop.ended(world.first["edited"]) == "success"
    assert loop.tries(world.first["edited"]) == 2
    delays = "SELECT retry_delay_override AS s FROM task_instance_history WHERE dag_id = 'edited' AND task_id = 'send'"
    assert all(1.0 <= row["s"] <= 1.25 for row in world.airflow.airflow_rows(delays)), "the loop's own policy decides"
    assert world.airflow.airflow_rows(delays)
    assert loop.accepted() == loop.everybody()
    assert len({request.idem_key for request in loop.provider.requests}) == 1
    assert len({request.body for request in loop.provider.requests}) == 1
    assert "the second version" in loop.template.read_text()
    assert {"the first version" in str((mail.mail or {})["html"]) for mail in loop.provider.accepted} == {True}


def test_an_account_that_is_refused_is_not_tried_again_and_the_report_says_why(world: World) -> None:
    loop = world.loops["refused"]
    run_id = world.first["refused"]
    assert loop.ended(run_id) == "failed"
    assert loop.tries(run_id) == 1
    assert loop.states(run_id) == {"evaluate": "success", "segment": "success", "send[0]": "failed", "report": "failed"}
    assert len(loop.provider.requests) == 1
    assert loop.statuses() == {"queued": 3}
    said = "\n".join(path.read_text() for path in world.airflow.home.glob("logs/dag_id=refused/**/*.log"))
    assert "domain is verified" in said
    assert "3 queued; the provider's last answer: validation_error 3; failed: send_0" in said


def test_two_runs_at_once_and_a_finished_run_that_is_cleared_mail_nobody_twice(world: World) -> None:
    loop = world.loops["twice"]
    for name in ("twice", "twice again"):
        assert loop.ended(world.first[name]) == "success"
    assert loop.accepted() == loop.everybody()
    first = world.first["twice"]
    clear = {"dry_run": False, "dag_run_id": first, "only_failed": False, "reset_dag_runs": True}
    world.airflow.post("/dags/twice/clearTaskInstances", clear)
    assert loop.ended(first) == "success"
    assert max(task["try_number"] for task in loop.tasks(first)) == 2
    assert loop.accepted() == loop.everybody()
    assert [run["verdicts"]["send"] for run in loop.runs()] == [3, 0]


def test_runs_by_hand_are_shadow_runs_that_decide_the_same(world: World) -> None:
    loop = world.loops["calm"]
    assert loop.ended(world.first["calm"]) == "success"
    assert [(run["mode"], run["verdicts"]["send"]) for run in loop.runs()] == [("shadow", 3)]
    assert loop.states(world.first["calm"])["send"] == "skipped"
    assert not loop.provider.requests


def test_an_unpaused_scheduled_loop_goes_through_and_mails_everybody_once(world: World) -> None:
    loop = world.loops["due"]
    ended = "SELECT run_id FROM dag_run WHERE dag_id = 'due' AND state = 'success' AND run_type = 'scheduled'"
    world.airflow.wait(lambda: len(world.airflow.airflow_rows(ended)) > 1, "the second minute never went through")
    assert loop.accepted() == loop.everybody()
    assert {run["mode"] for run in loop.runs()} == {"live"}


@pytest.mark.parametrize(("name", "run_type"), [("called", "operator_triggered"), ("fed", "asset_triggered")])
def test_runs_that_a_dag_or_an_asset_began_do_what_the_loop_says(world: World, name: str, run_type: str) -> None:
    loop = world.loops[name]
    world.airflow.wait(lambda: bool(loop.runs()), f"{name}: it never began")
    run = loop.runs()[0]
    assert (run["run_type"], run["mode"]) == (run_type, "live")
    assert loop.ended(run["run_id"]) == "success"
    assert loop.accepted() == loop.everybody()


def test_backfills_are_shadow_runs_and_whoever_is_late_is_recorded_and_not_mailed(world: World) -> None:
    loop = world.loops["late"]
    assert loop.ended(world.first["late"]) == "success"
    backfilled = "SELECT run_id FROM dag_run WHERE dag_id = 'late' AND run_type = 'backfill'"
    world.airflow.wait(lambda: len(world.airflow.airflow_rows(backfilled)) == 3, "the backfill never began")
    for row in world.airflow.airflow_rows(backfilled):
        assert loop.ended(row["run_id"]) == "success"
    # After ten days without a run the scheduler makes up for the last one alone; that one is late as well.
    scheduled = [run for run in loop.runs() if run["run_type"] == "scheduled"]
    assert len(scheduled) <= 1
    for run in scheduled:
        loop.ended(run["run_id"])
    verdicts = {(run["run_type"], run["mode"]): run["verdicts"] for run in loop.runs()}
    assert verdicts[("backfill", "shadow")] == {"send": 0, "hold_out": 0, "skip": {"expired": 3}}
    assert verdicts[("manual", "live")] == {"send": 0, "hold_out": 0, "skip": {"expired": 3}}
    assert all(mode == "shadow" for run_type, mode in verdicts if run_type == "backfill")
    assert not loop.provider.requests


def test_airflows_metrics_count_what_was_decided_and_sent(world: World) -> None:
    world.loops["twice"].ended(world.first["twice"])
    world.loops["refused"].ended(world.first["refused"])
    expected = [
        "airflow.skene.candidates,loop=twice,mode=live,step=main:3|c",
        "airflow.skene.verdicts,loop=twice,mode=live,reason=none,step=main,verdict=send:3|c",
        "airflow.skene.sends,loop=twice,outcome=sent,step=main:3|c",
        "airflow.skene.send_errors,error=validation_error,loop=refused,step=main:1|c",
    ]

    def told() -> set[str]:
        lines = [line for line in world.metrics.lines if ".skene." in line]
        return {f"{name},{','.join(sorted(tags.split(',')))}:{count}" for name, tags, count in map(parts, lines)}

    world.airflow.wait(lambda: set(expected) <= told(), f"missing: {set(expected) - told()}")


def parts(line: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([^,]+),(.+):([^:]+)", line)
    assert found is not None, line
    return found[1], found[2], found[3]


def test_nothing_personal_is_left_in_airflows_database_and_logs(world: World) -> None:
    for name, run_id in world.first.items():
        world.loops[name.removesuffix(" again")].ended(run_id)
    written = world.airflow.everything_written()
    for words in ("domain is verified", "already_entered", "600 candidates", "would get mail"):
        assert words in written, "what is searched must hold the logs of live, failed and retried runs"
    for name in world.loops:
        assert f"{name}1@example.com" not in written
        assert not re.search(rf"{name}\d+@|Surname\d+{name}", written)
    for secret in ("re_test_key", "not-so-secret-key-for-tests"):
        assert secret not in written
