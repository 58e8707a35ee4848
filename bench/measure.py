"""Measured processes, started together once all of them are ready."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.world import Place


@dataclass(frozen=True, slots=True)
class Measured:
    """``number`` mails in ``seconds``, with ``cpu`` seconds of the clients' own and their memory."""

    number: int
    seconds: float
    cpu: float
    idle_mb: float
    peak_mb: float


def measure(place: Place, way: str, shards: int = 1) -> Measured:
    """Do one thing in as many processes as there are shards. Raises RuntimeError if one of them fails."""
    workers = [_start(place, way, shard) for shard in range(shards)]
    for worker in workers:
        _read(worker)
    began = time.perf_counter()
    for worker in workers:
        _tell(worker, "go")
    reports = [json.loads(_read(worker)) for worker in workers]
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.communicate()
    return Measured(
        number=sum(report["number"] for report in reports),
        seconds=seconds,
        cpu=sum(report["cpu"] for report in reports),
        idle_mb=max(report["idle_mb"] for report in reports),
        peak_mb=max(report["peak_mb"] for report in reports),
    )


def _start(place: Place, way: str, shard: int) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "bench.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _tell(worker, json.dumps({"place": asdict(place), "way": way, "shard": shard}))
    return worker


def _tell(worker: subprocess.Popen[str], line: str) -> None:
    pipe: Any = worker.stdin
    pipe.write(line + "\n")
    pipe.flush()


def _read(worker: subprocess.Popen[str]) -> str:
    pipe: Any = worker.stdout
    line: str = pipe.readline()
    if not line:
        message = f"a measured process ended with {worker.wait()} instead of an answer"
        raise RuntimeError(message)
    return line
