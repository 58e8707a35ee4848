"""Whatever a component started ends with it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest

from demo import processes

# A stubborn component: it ignores the polite signal, and so does its child.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, __file__, "child"])
    print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[processes.Children, list[psutil.Process]]:
    """One stubborn component, and its processes."""
    monkeypatch.setattr(processes, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setattr(processes, "_NOTE", tmp_path / "processes.json")
    monkeypatch.setattr(processes, "_PATIENCE_SECONDS", 0.5)
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN, encoding="utf-8")
    children = processes.Children()
    children.start("stubborn", [sys.executable, str(script)], {})
    log = tmp_path / "logs" / "stubborn.log"
    deadline = time.monotonic() + 20
    while not log.read_text(encoding="utf-8").strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    [[leader, _]] = json.loads((tmp_path / "processes.json").read_text(encoding="utf-8"))
    return children, [psutil.Process(leader), psutil.Process(int(log.read_text(encoding="utf-8")))]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_stop_ends_the_whole_family(started: tuple[processes.Children, list[psutil.Process]], tmp_path: Path) -> None:
    children, family = started
    assert not any(gone(process) for process in family)
    children.stop()
    psutil.wait_procs(family, timeout=5)
    assert all(gone(process) for process in family)
    assert not (tmp_path / "processes.json").exists()


def test_what_a_killed_parent_left_is_found(started: tuple[processes.Children, list[psutil.Process]]) -> None:
    children, family = started
    processes.stop_leftovers()
    psutil.wait_procs(family, timeout=5)
    assert all(gone(process) for process in family)
    assert children.ended() == ["stubborn"]


def test_a_number_that_now_belongs_to_somebody_else_is_left_alone(
    started: tuple[processes.Children, list[psutil.Process]], tmp_path: Path
) -> None:
    children, family = started
    note = tmp_path / "processes.json"
    note.write_text(json.dumps([[family[0].pid, 1.0]]), encoding="utf-8")
    processes.stop_leftovers()
    assert not any(gone(process) for process in family)
    children.stop()
