"""A task and its supervisor are two processes with a socket between them, as Airflow makes them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TASK = """
import sys, time
from skene_airflow.operators.supervisor import Supervisor
supervisor = Supervisor()
print("alive" if supervisor.alive() else "alone", flush=True)
for _ in range(int(sys.argv[1]) if sys.argv[1:] else 600):
    if not supervisor.alive():
        print("alone", flush=True)
        sys.exit(3)
    time.sleep(0.05)
"""
SUPERVISOR = """
import socket, subprocess, sys, time
mine, its = socket.socketpair()
task = subprocess.Popen([sys.executable, sys.argv[1]], stdin=its)
its.close()
print(task.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "task.py"
    path.write_text(TASK)
    return path


def test_a_task_hears_of_its_supervisors_death(task: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(task)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            assert "alive\n" in [supervisor.stdout.readline(), supervisor.stdout.readline()]
            supervisor.kill()
            # The task inherited the same pipe: it ends when the last writer, the task, has ended.
            assert supervisor.stdout.read() == "alone\n"
        finally:
            end_group(supervisor.pid)


def test_a_supervisor_that_was_gone_before_the_task_began(task: Path) -> None:
    mine, its = socket.socketpair()
    mine.close()
    with its:
        done = subprocess.run(
            [sys.executable, str(task)], stdin=its.fileno(), capture_output=True, text=True, timeout=60
        )
    assert done.stdout.startswith("alone")


def test_nobody_is_missed_where_there_is_no_supervisor(task: Path) -> None:
    shell = f'"{sys.executable}" "{task}" 20 < /dev/null & echo started'
    started = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60, start_new_session=True)
    # Its parent, the shell, is gone by now; `airflow dags test` in the background of a shell is such a process.
    assert started.stdout.splitlines()[:2] == ["started", "alive"]
    assert "alone" not in started.stdout


def end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
