"""A small deployment: Airflow with a home of its own, a real Postgres, a server that behaves like Resend."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from skene_airflow.testing import ResendServer

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
DORMANT = tuple((n, f"person{n}@example.com", f"Surname{n}") for n in range(1, 8))
AWAKE = (100, "awake@example.com", "Awake")


@dataclass
class Deployment:
    """Folders, environment and databases of one Airflow installation; ``airflow`` runs its command."""

    home: Path
    loops: Path
    source: str
    resend: ResendServer
    environment: dict[str, str] = field(default_factory=dict)

    def airflow(self, *words: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        """One `airflow` command; its output is kept beside its logs."""
        done = subprocess.run(
            [AIRFLOW, *words],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        with (self.home / "logs" / "commands.log").open("a") as log:
            log.write(done.stdout)
        return done

    def run(self, dag_id: str, conf: dict[str, object] | None = None) -> subprocess.CompletedProcess[str]:
        """`airflow dags test`: one manual run of a loop, in this process tree alone."""
        return self.airflow("dags", "test", dag_id, *(["--conf", json.dumps(conf)] if conf else []))

    def states(self, dag_id: str) -> dict[str, str]:
        """The states of the tasks of the newest run, each shard by itself (`send[0]`), and of the run (`run`)."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as db:
            newest = "SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1"
            run_id, state = db.execute(newest, [dag_id]).fetchone()
            tasks = "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ? AND run_id = ?"
            rows = db.execute(tasks, [dag_id, run_id]).fetchall()
        return {"run": state} | {task if index < 0 else f"{task}[{index}]": state for task, index, state in rows}

    def airflow_rows(self, query: str) -> list[tuple[Any, ...]]:
        """What Airflow's own database answers."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as db:
            return db.execute(query).fetchall()

    def connect(self) -> psycopg.Connection[Any]:
        """A new session of the database that is source and ledger."""
        return psycopg.connect(self.source)

    def ledger(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger answers."""
        with psycopg.connect(self.source) as conn:
            return conn.execute(query.encode()).fetchall()

    def everything_written(self) -> str:
        """All that Airflow keeps: its whole database, every log file, and what its commands said."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as db:
            dump = "\n".join(db.iterdump())
        logs = [path.read_text(errors="replace") for path in (self.home / "logs").rglob("*") if path.is_file()]
        return "\n".join([dump, *logs])

    def recipients(self) -> list[str]:
        """Who got mail, sorted, once for each mail that the server accepted."""
        return sorted(mail.to for mail in self.resend.accepted)


def airflow_environment(home: Path) -> dict[str, str]:
    """The environment of an Airflow that knows nothing of the machine's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",  # edits count at once, not after half a minute
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "PYTHONPATH": str(REPOSITORY),
    }


def postgres_connection(uri: str) -> str:
    """An Airflow connection, as JSON, to the database at ``uri``."""
    parts = conninfo_to_dict(uri)
    fields = {"host": "host", "login": "user", "password": "password", "port": "port", "schema": "dbname"}
    known = {name: value for name, key in fields.items() if (value := parts.get(key))}
    return json.dumps({"conn_type": "postgres", **known})


def people(uri: str) -> None:
    """A table of users: the dormant ones, and one who was here yesterday."""
    with psycopg.connect(uri) as conn:
        conn.execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, email text, name text, last_activity_at timestamptz,"
            " re_engagement_sent boolean NOT NULL DEFAULT false)"
        )
        insert = "INSERT INTO users VALUES (%s, %s, %s, now() - %s * interval '1 day')"
        conn.cursor().executemany(insert, [(*person, 30) for person in DORMANT] + [(*AWAKE, 1)])


@contextmanager
def component(words: list[str], environment: dict[str, str], home: Path) -> Iterator[None]:
    """One running component of Airflow, at the head of a process group of its own, which ends with it."""
    with (home / "logs" / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [AIRFLOW, *words], env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with_group(process.pid, signal.SIGKILL)
                process.wait()


def with_group(pid: int, number: signal.Signals) -> None:
    """Signal whoever is left of a process group; nobody left is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
