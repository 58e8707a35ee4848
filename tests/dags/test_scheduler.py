"""The real thing: api-server, dag-processor and scheduler with LocalExecutor; nobody starts the run by hand."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.dags.deployment import AIRFLOW, DORMANT, Deployment

PATIENCE = 170.0
"""Seconds until an unpaused loop with a tick each minute must have been through."""


@pytest.mark.timeout(240)
def test_an_unpaused_scheduled_loop_goes_through_and_mails_everybody_once(deployment: Deployment) -> None:
    loop = deployment.loops / "re_engagement.yaml"
    loop.write_text(loop.read_text().replace('"0 9 * * *"', '"* * * * *"'))
    deployment.environment |= live_environment(free_port())
    with components(deployment):
        wait_for_the_end_of_a_run(deployment)
    assert deployment.recipients() == sorted(address for _, address, _ in DORMANT)
    modes = deployment.ledger("SELECT DISTINCT mode FROM skene.runs_v")
    assert modes == [("live",)]
    written = deployment.everything_written()
    assert not [address for _, address, _ in DORMANT if address in written]


def live_environment(port: int) -> dict[str, str]:
    """What the components need to find each other, and to be quick and small."""
    return {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-test-alone-that-is-long-enough-for-sha-512-bits",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    }


@contextmanager
def components(deployment: Deployment) -> Iterator[None]:
    """The running components; each is the head of a process group of its own, which ends with it."""
    with ExitStack() as stack:
        for words in (["api-server"], ["dag-processor"], ["scheduler", "--skip-serve-logs"]):
            stack.enter_context(component(words, deployment.environment, deployment.home))
        yield


@contextmanager
def component(words: list[str], environment: dict[str, str], home: Path) -> Iterator[None]:
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


def wait_for_the_end_of_a_run(deployment: Deployment) -> None:
    """Return when the first run ended in success. Fails with the components' last words if it does not in time."""
    end = time.monotonic() + PATIENCE
    state = "no run"
    while time.monotonic() < end:
        time.sleep(1)
        state = deployment.first_run("re_engagement")
        if state == "success":
            return
        if state == "failed":
            break
    logs = [path.read_text(errors="replace")[-3000:] for path in sorted((deployment.home / "logs").glob("*.log"))]
    pytest.fail(f"the run ended as: {state}\n" + "\n".join(logs))


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
