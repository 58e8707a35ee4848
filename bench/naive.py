"""Airflow with a mapped task for each person, through its own ``dag.test()`` in an Airflow home of its own.

``dag.test()`` runs tasks one after the other in one process. That is the cheaper way: a scheduler starts a process
for each task.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_DAGS = Path(__file__).parent / "dags"
_ANSWER = "seconds a mail: "


def seconds_per_mail(sink: str, people: int) -> float:
    """How long one mail takes when it is a mapped task. Raises RuntimeError if Airflow fails."""
    with tempfile.TemporaryDirectory() as home:
        env = environment(home, _DAGS) | {"BENCH_SINK": sink, "BENCH_PEOPLE": str(people)}
        run(["-m", "airflow", "db", "migrate"], env)
        output = run([str(_DAGS / "one_task_each.py")], env)
    line = next(line for line in output.splitlines() if line.startswith(_ANSWER))
    return float(line.removeprefix(_ANSWER))


def environment(home: str, dags: Path) -> dict[str, str]:
    """The environment of an Airflow of its own, whatever the shell has set."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "_AIRFLOW"))}
    return inherited | {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }


def run(arguments: list[str], env: dict[str, str]) -> str:
    """What a Python process prints. Raises RuntimeError if it fails."""
    command = [sys.executable, "-W", "ignore", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout
