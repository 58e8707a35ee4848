"""``make airflow``: the real Airflow UI on this machine only, with the loops loaded and the demo's shop connected."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import NoReturn

import httpx

from demo import data, environment, lock, postgres
from demo.console import progress, say, title
from demo.paths import LOGS, LOOPS, OUTBOX, ROOT, STATE
from demo.processes import Children, stop_leftovers

HOST = "127.0.0.1"
HOME = STATE / "airflow"
METADATA = "airflow"
PATIENCE_SECONDS = 180
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
BUNDLE = {"name": "loops", "classpath": "skene_airflow.bundle.LoopsBundle", "kwargs": {"path": str(LOOPS)}}
COMPONENTS = {
    "api-server": ["api-server", "--host", HOST],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


def main() -> int:
    """Run until Ctrl-C; returns the exit code."""
    for sign in SIGNALS:
        signal.signal(sign, _interrupt)
    with lock.held("The demo is running already (`make demo` or another `make airflow`); wait for it or stop it."):
        stop_leftovers()
        _prepare_data()
        port = _port()
        env = _environment(port)
        children = Children()
        try:
            with progress("Preparing Airflow's metadata database"):
                _migrate(env)
            for name, words in COMPONENTS.items():
                more = ["--port", str(port)] if name == "api-server" else []
                children.start(name, [sys.executable, "-m", "airflow", *words, *more], env)
            with progress("Starting the api-server, scheduler, dag-processor and triggerer"):
                _wait_until_healthy(children, port)
            _welcome(port)
            return _watch(children)
        except KeyboardInterrupt:
            say()
            return 0
        finally:
            # A second Ctrl-C, or a terminal that is closed after the first, must not interrupt the clearing away.
            for sign in SIGNALS:
                signal.signal(sign, signal.SIG_IGN)
            with progress("Stopping"):
                children.stop()


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _prepare_data() -> None:
    title("Airflow with the demo's shop")
    with progress("Starting the embedded PostgreSQL"):
        postgres.start()
    if not postgres.exists(postgres.SHOP):
        with progress("Loading the orders"):
            postgres.create(postgres.SHOP)
            data.load(postgres.dsn())
    if not postgres.exists(METADATA):
        postgres.create(METADATA)


def _port() -> int:
    """The port that ``PORT`` names, else 8080, else a free one."""
    wanted = os.environ.get("PORT", "")
    for port in [int(wanted)] if wanted.isdigit() else [8080, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    sys.exit(f"Port {wanted} is taken; choose another: make airflow PORT=8081")


def _environment(port: int) -> dict[str, str]:
    database = postgres.connection(METADATA)
    address = f"{database['login']}@/{METADATA}?host={database['host']}&port={database['port']}"
    return environment.airflow(
        HOME,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"postgresql+psycopg2://{address}",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=f"postgresql+asyncpg://{address}",
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        AIRFLOW__CORE__PARALLELISM="4",
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://{HOST}:{port}/execution/",
        # Whoever can reach 127.0.0.1 is this machine's user: no password to look for.
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
        AIRFLOW__API__BASE_URL=f"http://{HOST}:{port}",
        AIRFLOW__API__WORKERS="1",
        AIRFLOW__API__SECRET_KEY=environment.secret("api"),
        AIRFLOW__API_AUTH__JWT_SECRET=environment.secret("jwt"),
        AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps([BUNDLE]),
        # Of the demo's own: the machine may have another Airflow, with a bundle of this name.
        AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH=str(HOME / "bundles"),
        # A file that was edited is read at once all the same.
        AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="300",
        AIRFLOW__SKENE__BASE_URL=f"http://{HOST}:{port}/skene",
    )


def _migrate(env: dict[str, str]) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "migrate.log").open("wb") as output:
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=env,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )


def _wait_until_healthy(children: Children, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        _complain_of(children)
        try:
            health = httpx.get(f"http://{HOST}:{port}/api/v2/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            health = {}
        if health and all(part.get("status") == "healthy" for part in health.values()):
            return
        time.sleep(1)
    sys.exit(f"Airflow was not healthy after {PATIENCE_SECONDS} seconds; see {LOGS}/")


def _complain_of(children: Children) -> None:
    for name in children.ended():
        sys.exit(f"The {name} ended by itself; see {LOGS / f'{name}.log'}")


def _welcome(port: int) -> None:
    say()
    say(f"  Airflow    http://{HOST}:{port}/  (no password; only this machine can reach it)")
    say("  the loops  every file in loops/ is a DAG; save a file and its DAG follows within seconds")
    say(f"  the mails  {(OUTBOX / 'index.html').as_uri()} once a live run has sent some")
    say(f"  the logs   {LOGS.relative_to(ROOT)}/")
    say()
    say('Trigger a run by hand: it is a shadow run unless its conf says {"mode": "live"}. Ctrl-C stops everything.')


def _watch(children: Children) -> int:
    while True:
        _complain_of(children)
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
