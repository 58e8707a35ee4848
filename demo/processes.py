"""Child processes that leave nobody behind: every one leads its own process group, which ends as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from demo.paths import LOGS, ROOT, STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NOTE = STATE / "processes.json"
_PATIENCE_SECONDS = 15


class Children:
    """The components of one Airflow; ``stop`` ends them and everything they started."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a component; its output goes to ``.demo/logs/<name>.log``."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / f"{name}.log").open("wb") as output:
            self._children[name] = subprocess.Popen(
                command,
                env=dict(env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Should this process be killed outright, `make clean` finds its children here.
        _write_note([psutil.Process(child.pid) for child in self._children.values()])

    def ended(self) -> list[str]:
        """The names of the components that have ended."""
        return [name for name, child in self._children.items() if child.poll() is not None]

    def stop(self) -> None:
        """End every component with all it started."""
        _end(child.pid for child in self._children.values())
        for child in self._children.values():
            child.wait()
        _NOTE.unlink(missing_ok=True)


def stop_leftovers() -> None:
    """End the components of an earlier process that could not do it itself."""
    with suppress(FileNotFoundError):
        noted = json.loads(_NOTE.read_text(encoding="utf-8"))
        _end(pid for pid, created in noted if _still(pid, created))
        _NOTE.unlink()


def _write_note(processes: Iterable[psutil.Process]) -> None:
    _NOTE.write_text(json.dumps([[process.pid, process.create_time()] for process in processes]), encoding="utf-8")


def _still(pid: int, created: float) -> bool:
    # A number alone may by now belong to somebody else.
    with suppress(psutil.NoSuchProcess):
        return abs(psutil.Process(pid).create_time() - created) < 1
    return False


def _end(leaders: Iterable[int]) -> None:
    """Ask each leader and its descendants to end, and after a while make them."""
    family: list[psutil.Process] = []
    groups = list(leaders)
    for pid in groups:
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(pid)
            family += [leader, *leader.children(recursive=True)]
    for pid in groups:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and any(_alive(process) for process in family):
        time.sleep(0.2)
    for pid in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
