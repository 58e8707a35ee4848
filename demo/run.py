"""``make demo``: the reference loop in shadow, then live, then live again; exit code 0 only if the promise held."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from demo import data, environment, lock, postgres, report
from demo.console import progress, say, title
from demo.paths import LOGS, LOOPS, OUTBOX, ROOT, STATE
from demo.report import LOOP

HOME = STATE / "run"
NEXT = "win_back"
"""The loop whose turn it would be after the reference loop's."""


@dataclass(frozen=True, slots=True)
class Act:
    """One run of the demo: the mode it asks for, and what is said before it."""

    mode: str
    heading: str


ACTS = (
    Act("shadow", "1. Shadow: decide and record everything, send nothing"),
    Act("live", "2. Live: the demo's connection `resend_default` writes every mail to a folder"),
    Act("live", "3. Live again: nobody twice"),
)


def main() -> int:
    """Run the demo; returns the exit code."""
    started = time.monotonic()
    with lock.held("The Airflow UI of `make airflow` is using the demo's database; stop it first (Ctrl-C)."):
        _prepare()
        findings = [finding for act in ACTS for finding in _play(act)]
        findings += _look("4. Beforehand: what the next runs would do", "plan", LOOP, NEXT)
        findings += _look("5. Why: one person", "explain", NEXT, "--user", report.somebody(LOOP, NEXT))
    title("Where to look")
    report.where_to_look()
    say()
    for finding in findings:
        say(f"WRONG: {finding}")
    verdict = "The promise did not hold." if findings else "Everybody the query names got one mail, once."
    say(f"{verdict} ({time.monotonic() - started:.0f} s)")
    return 1 if findings else 0


def _prepare() -> None:
    title("A shop with real orders")
    with progress("Starting an embedded PostgreSQL"):
        postgres.start()
    with progress("Loading the orders, moved in time so that the last day is today"):
        postgres.create(postgres.SHOP)
        users, orders = data.load(postgres.dsn())
    shutil.rmtree(OUTBOX, ignore_errors=True)
    shutil.rmtree(HOME, ignore_errors=True)
    with progress("Preparing Airflow"):
        _airflow("db", "migrate", log="prepare.log")
    say(f"{users:,} users, {orders:,} orders. The query of loops/{LOOP}.yaml names {report.by_hand():,} people.")


def _play(act: Act) -> list[str]:
    """One run; returns what is wrong with it."""
    title(act.heading)
    say(f"airflow dags test {LOOP} --conf '{_conf(act)}'")
    before = report.Facts.now()
    started = time.monotonic()
    with progress("Running the DAG", report.sent_so_far):
        _airflow("dags", "test", LOOP, "--conf", _conf(act), log=f"{ACTS.index(act) + 1}_{act.mode}.log")
    after = report.Facts.now()
    report.what_happened(time.monotonic() - started)
    return report.check(act.mode, before, after)


def _look(heading: str, *words: str) -> list[str]:
    """One `skene-airflow` command that only reads, as a person would see it; returns what is wrong with it."""
    title(heading)
    say(f"skene-airflow {shlex.join(words)}")
    say()
    command = [str(Path(sys.executable).with_name("skene-airflow")), *words]
    env = environment.airflow(HOME, AIRFLOW__SKENE__LOOPS_FOLDER=str(LOOPS))
    done = subprocess.run(command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    return [f"`skene-airflow {shlex.join(words)}` ended with exit code {done.returncode}"] if done.returncode else []


def _conf(act: Act) -> str:
    return json.dumps({"mode": act.mode})


def _airflow(*words: str, log: str) -> None:
    """One `airflow` command; its output goes to a log file. Ends the demo if the command fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    file = LOGS / log
    with file.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *words],
            env=environment.airflow(HOME),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last_lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        sys.exit("\n".join([*last_lines, "", f"`airflow {shlex.join(words)}` failed; the whole log: {file}"]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. `make clean` ends the database and removes everything.")
