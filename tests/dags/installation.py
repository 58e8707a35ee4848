"""A whole running Airflow with its metadata in PostgreSQL: api-server, dag-processor and scheduler (LocalExecutor).

Several loops live in it side by side, each with people, a connection and a provider's double of its own, so that
one start serves many scenarios. What the doubles accepted is the truth that scenarios are judged by.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from skene_airflow.testing import ResendServer
from tests.dags.deployment import AIRFLOW, airflow_environment, postgres_connection

PATIENCE = 240.0
"""Seconds until anything that a scenario waits for must have happened."""

LIVE = {"mode": "live"}

DAG_FILE = """\
from skene_airflow.dag_factory import load_loops  # an Airflow DAG file

# Without skene_upkeep: at half past it would finish what a scenario means to leave behind.
globals().update({name: dag for name, dag in load_loops().items() if name != "skene_upkeep"})
"""

LOOP = """\
type: test
opinion: A scenario
user: {{table: {name}_users}}
connections: {{email: {name}_mail}}
steps:
  - trigger: {trigger}
    condition: {condition}
    action:
      type: email
      template: {name}
      personalization: {{name: "{{{{ user.name }}}}"}}
recovery: {{retries: 3, backoff: fixed, retry_delay: 1s, max_retry_delay: 5s}}
{more}
"""

TEMPLATE = """\
---
subject: We miss you, {{ name }}
---
<p>Hi {{ name }}, this is the first version.</p>
"""


@dataclass
class Scenario:
    """One loop in the installation, with its people and its provider."""

    name: str
    world: Installation
    provider: ResendServer
    people: int

    @property
    def file(self) -> Path:
        """The loop's file."""
        return self.world.loops / f"{self.name}.yaml"

    @property
    def template(self) -> Path:
        """The loop's template."""
        return self.world.loops / "templates" / f"{self.name}.html"

    def accepted(self) -> Counter[str]:
        """Who was mailed how often, as the provider knows it."""
        return Counter(mail.to for mail in self.provider.accepted)

    def everybody(self) -> Counter[str]:
        """Each person once."""
        return Counter(f"{self.name}{n}@example.com" for n in range(1, self.people + 1))

    def trigger(self, conf: dict[str, object] | None = None, logical_date: datetime | None = None) -> str:
        """Start a manual run; returns its id."""
        body: dict[str, object] = {
            "conf": conf or {},
            "logical_date": logical_date.isoformat() if logical_date else None,
        }
        return str(self.world.post(f"/dags/{self.name}/dagRuns", body)["dag_run_id"])

    def runs(self) -> list[dict[str, Any]]:
        """The loop's runs as the ledger knows them, oldest first."""
        return self.world.ledger("SELECT * FROM skene.runs_v WHERE loop_id = %s ORDER BY started_at", self.name)

    def statuses(self) -> dict[str, int]:
        """How many deliveries of the loop stand in each status."""
        query = "SELECT status, count(*) AS n FROM skene.deliveries_v WHERE loop_id = %s GROUP BY status"
        return {row["status"]: row["n"] for row in self.world.ledger(query, self.name)}

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        query = "SELECT * FROM task_instance WHERE dag_id = %s AND run_id = %s ORDER BY task_id, map_index"
        return self.world.airflow_rows(query, self.name, run_id)

    def states(self, run_id: str) -> dict[str, str]:
        """The states of the tasks of a run; each shard by itself."""
        tasks = self.tasks(run_id)
        return {t["task_id"] if t["map_index"] < 0 else f"{t['task_id']}[{t['map_index']}]": t["state"] for t in tasks}

    def tries(self, run_id: str) -> int:
        """The most tries that a `send` of the run has had."""
        return max((task["try_number"] for task in self.tasks(run_id) if task["task_id"] == "send"), default=0)

    def ended(self, run_id: str) -> str:
        """Wait until a run has ended; its state."""
        query = "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s AND state IN ('success', 'failed')"
        rows: list[dict[str, Any]] = []

        def over() -> bool:
            rows[:] = self.world.airflow_rows(query, self.name, run_id)
            return bool(rows)

        self.world.wait(over, f"{self.name}: {run_id} never ended; {self.states(run_id)}")
        return str(rows[0]["state"])

    def sender(self) -> psutil.Process:
        """A running `send` of the loop, as a process."""
        query = "SELECT pid FROM task_instance WHERE dag_id = %s AND task_id = 'send' AND state = 'running'"
        pids: list[int] = []

        def there() -> bool:
            pids[:] = [row["pid"] for row in self.world.airflow_rows(query, self.name) if row["pid"]]
            return bool(pids) and psutil.pid_exists(pids[0])

        self.world.wait(there, f"{self.name}: no sender runs")
        return psutil.Process(pids[0])

    def forget_leases(self) -> None:
        """As if two minutes had passed: leases of those who died run out."""
        self.world.ledger(
            "UPDATE skene.batches SET lease_until = clock_timestamp() WHERE loop_id = %s AND status = 'sending'"
            " RETURNING 1",
            self.name,
        )


@dataclass
class Installation:
    """Folders, databases and processes of one Airflow installation."""

    home: Path
    uri: str
    loops: Path
    dags: Path
    environment: dict[str, str]
    port: int
    stack: ExitStack = field(default_factory=ExitStack)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)

    @property
    def database(self) -> str:
        """The address of the metadata database."""
        return make_conninfo(self.uri, dbname=f"{conninfo_to_dict(self.uri)['dbname']}_airflow")

    def scenario(
        self,
        name: str,
        people: int,
        trigger: str = "{type: manual}",
        more: str = "",
        condition: str = "",
        **double: Any,
    ) -> Scenario:
        """A new loop: its file, template, people, connection and provider; before the components start.

        Without ``condition`` it is everybody.
        """
        condition = condition or f"SELECT * FROM {name}_users"
        provider = self.stack.enter_context(ResendServer(api_key="re_test_key", **double))
        (self.loops / f"{name}.yaml").write_text(
            LOOP.format(name=name, trigger=trigger, more=more, condition=condition)
        )
        (self.loops / "templates" / f"{name}.html").write_text(TEMPLATE)
        with psycopg.connect(self.uri) as conn:
            conn.execute(
                f"CREATE TABLE {name}_users AS SELECT n::bigint AS id, '{name}' || n || '@example.com' AS email,"
                f" 'Surname' || n || '{name}' AS name FROM generate_series(1, {people}) n"
            )
        self.environment[f"AIRFLOW_CONN_{name.upper()}_MAIL"] = json.dumps(
            {"conn_type": "resend", "host": provider.url, "password": "re_test_key"}
        )
        self.scenarios[name] = Scenario(name, self, provider, people)
        return self.scenarios[name]

    def start(self, *more: str) -> None:
        """Start the components and ``more`` of them, and return when every loop is known."""
        for name in ("api-server", "dag-processor", "scheduler", *more):
            self.start_component(name)
        expected = {path.stem for path in self.loops.glob("*.yaml")}

        def known() -> bool:
            rows = self.airflow_rows("SELECT dag_id FROM dag JOIN serialized_dag USING (dag_id)")
            return expected <= {row["dag_id"] for row in rows} and self.healthy()

        self.wait(known, "the loops never became DAGs")

    def start_component(self, name: str) -> None:
        """Start one component, as the head of a process group of its own."""
        words = [name, *(["--skip-serve-logs"] if name in ("scheduler", "triggerer") else [])]
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [AIRFLOW, *words], env=self.environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        self.running[name] = process
        self.stack.callback(end_group, process)

    def kill_component(self, name: str) -> None:
        """End a component and all its children at once, with no chance to tidy up."""
        process = self.running.pop(name)
        children = psutil.Process(process.pid).children(recursive=True)
        for victim in [psutil.Process(process.pid), *children]:
            if victim.is_running():
                victim.kill()
        process.wait()
        psutil.wait_procs(children, 10)

    def healthy(self) -> bool:
        """Whether the api-server answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/api/v2/version", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """One call of Airflow's own API."""
        answer = httpx.post(f"http://127.0.0.1:{self.port}/api/v2{path}", json=body, timeout=60)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        content: dict[str, Any] = answer.json()
        return content

    def wait(self, condition: Callable[[], bool], complaint: str, patience: float = PATIENCE) -> None:
        """Wait until something is true; fails with the components' last words."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.5)
        logs = [path.read_text(errors="replace")[-1500:] for path in sorted((self.home / "logs").glob("*.log"))]
        raise AssertionError("\n".join([complaint, *logs]))

    def ledger(self, query: str, *params: object) -> list[dict[str, Any]]:
        """What the ledger answers; nothing before there is one."""
        return rows(self.uri, query, params)

    def airflow_rows(self, query: str, *params: object) -> list[dict[str, Any]]:
        """What Airflow's own database answers."""
        return rows(self.database, query, params)

    def everything_written(self) -> str:
        """All that Airflow keeps: every row of its database, and every log file."""
        parts = [path.read_text(errors="replace") for path in (self.home / "logs").rglob("*") if path.is_file()]
        with psycopg.connect(self.database) as conn:
            tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                with conn.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as copy:
                    parts.extend(bytes(block).decode(errors="replace") for block in copy)
        return "\n".join(parts)


@contextmanager
def installation(home: Path, uri: str, **options: str) -> Iterator[Installation]:
    """An installation with nothing running yet; ``uri`` is an empty database, ``options`` are variables."""
    loops, dags = home / "loops", home / "dags"
    for folder in (home / "logs", loops / "templates", dags):
        folder.mkdir(parents=True)
    (dags / "growth_loops.py").write_text(DAG_FILE)
    port = free_port()
    environment = airflow_environment(home) | components_environment(port) | options
    world = Installation(home, uri, loops, dags, environment, port)
    parts = conninfo_to_dict(uri)
    environment |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{parts['user']}@/{parts['dbname']}_airflow"
        f"?host={parts['host']}",
        "AIRFLOW__SKENE__LOOPS_FOLDER": str(loops),
        "AIRFLOW__SKENE__FROM_EMAIL": "Acme <hello@acme.example>",
        "AIRFLOW__SKENE__BASE_URL": "https://airflow.acme.example/skene",
        "AIRFLOW__SKENE__POSTAL_ADDRESS": "Acme Inc., 1 Main Street, Springfield",
        "AIRFLOW__SKENE__SECRET_KEY": "not-so-secret-key-for-tests",
        "AIRFLOW_CONN_SKENE_SOURCE": postgres_connection(uri),
    }
    with psycopg.connect(uri, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {parts['dbname']}_airflow".encode())
    done = subprocess.run(
        [AIRFLOW, "db", "migrate"], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with world.stack:
        yield world


def components_environment(port: int) -> dict[str, str]:
    """What the components need to find each other, and to be quick and small."""
    return {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-test-alone-that-is-long-enough-for-sha-512-bits",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    }


def rows(uri: str, query: str, params: tuple[object, ...]) -> list[dict[str, Any]]:
    """The rows of a query; none while the schema is not there yet."""
    try:
        with psycopg.connect(uri, row_factory=dict_row) as conn:
            return conn.execute(query.encode(), params or None).fetchall()
    except psycopg.errors.UndefinedTable:
        return []


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a component with everything it started, whatever process groups those have made."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.kill()  # nothing of it is needed any more, so nobody waits for it to tidy up
    process.wait()
    for child in children:
        if child.is_running():
            child.kill()
    with_group(process.pid)


def with_group(pid: int) -> None:
    """Kill whoever is left of a process group; nobody left is fine."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
