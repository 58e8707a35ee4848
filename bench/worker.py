"""One measured process: it gets ready, waits for the word, does one thing, and says what it cost."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from bench.world import Place


def main() -> None:
    """Read {place, way, shard} from the first line of standard input, and begin at the second."""
    order = json.loads(sys.stdin.readline())
    act = _act(order["way"], Place(**order["place"]), order["shard"])
    print("ready", flush=True)
    sys.stdin.readline()
    idle, cpu, began = _memory(), time.process_time(), time.perf_counter()
    number = act()
    report = {
        "number": number,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "idle_mb": idle,
        "peak_mb": _memory(),
    }
    print(json.dumps(report), flush=True)


def _act(way: str, place: Place, shard: int) -> Any:
    # Each process imports what it needs before the clock starts, as a task of Airflow would.
    if way == "plain":
        from bench import plain

        return lambda: plain.send_all(place)
    from bench import ours

    return {
        "decide": lambda: ours.decide(place),
        "evaluate": lambda: ours.stage(place),
        "segment": lambda: ours.judge(place),
        "send": lambda: ours.send_shard(place, shard),
        "ceiling": lambda: ours.ceiling(place),
    }[way]


def _memory() -> float:
    """The most memory (MB) the process has had so far."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
