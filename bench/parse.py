"""What Airflow pays to read loops, against dag-factory and against the same DAGs written by hand: `make bench-parse`.

Every number is processor time of a process of its own, the median of several, all taken in turn in one run. dag-factory
is installed from PyPI into an environment of its own, with our Airflow and constraints, and told not to phone home.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import parse_world

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "bench-dag-factory"
WORKER = ROOT / "bench" / "parse_worker.py"
RESULTS = ROOT / "bench" / "results-parse.md"
SIZES = {100: 5, 1000: 3}
"""How many DAGs, and how often each is measured."""

_SAID = (
    "Milliseconds of processor time for each DAG. dag-factory checks neither SQL nor templates; ours does, once for",
    "each edit: `first read ever` is that, and a loop that was found good is checked again only when it, or what",
    "it draws on, changes. `new process` is what every scheduler pays again and again; the factory's import is in it.",
)


def main() -> int:
    """Measure everything, print it as a table and keep it in `bench/results-parse.md`."""
    python = dag_factory()
    with tempfile.TemporaryDirectory(prefix="skene_bench") as folder:
        lines = report({number: measure(Path(folder), python, number) for number in SIZES}, imports(Path(folder)))
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def dag_factory() -> Path:
    """The Python of an environment that has dag-factory and the same Airflow."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".done").exists():
        print("Installing dag-factory into an environment of its own ...", flush=True)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        venv.create(ENVIRONMENT)
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--compile-bytecode"]
        constraints = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*uv, "--python", str(python), *constraints, "apache-airflow", "dag-factory"], check=True)
        (ENVIRONMENT / ".done").touch()
    return python


def measure(folder: Path, python: Path, number: int) -> dict[str, dict[str, float]]:
    """The medians of every way to have ``number`` DAGs; ``first``: loops that nobody has read before, once."""
    place = folder / str(number)
    parse_world.make(place, number)
    found: dict[str, list[dict[str, float]]] = {}
    for turn in range(SIZES[number]):
        print(f"{number:,} DAGs, round {turn + 1} of {SIZES[number]} ...", flush=True)
        forgetful = place / "tmp"  # what was found good is remembered there
        forgetful.mkdir(exist_ok=True)
        ways: list[tuple[str, Path, Sequence[str]]] = [
            *([("first", Path(sys.executable), ["loops"])] if turn == 0 else []),
            ("loops", Path(sys.executable), ["loops"]),
            ("one", Path(sys.executable), ["loops", "loop_0001"]),
            ("by_hand", Path(sys.executable), ["by_hand"]),
            ("dag_factory", python, ["dag_factory"]),
        ]
        for name, interpreter, words in ways:
            found.setdefault(name, []).append(run(interpreter, place, words, forgetful))
    alone = folder / f"alone{number}"
    parse_world.make(alone, 1)
    found["alone"] = [run(Path(sys.executable), alone, ["loops", "loop_0001"], alone) for _ in range(1 + SIZES[number])]
    found["alone"] = found["alone"][1:]
    return {name: median(runs) for name, runs in found.items()}


def imports(folder: Path) -> dict[str, float]:
    """What importing the factory costs on top of what every DAG file imports."""
    return median([run(Path(sys.executable), folder / "100", ["import"], folder) for _ in range(5)])


def run(python: Path, place: Path, words: Sequence[str], temporary: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    way, *dag_id = words
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    environment = kept | {
        "AIRFLOW_HOME": str(place / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
        "AIRFLOW__DAG_FACTORY__ENABLE_TELEMETRY": "False",
        "PYTHONPATH": str(place),
        "TMPDIR": str(temporary),
    }
    command = [str(python), str(WORKER), way, str(place), *dag_id]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=place)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def median(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each number."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def report(sizes: dict[int, dict[str, dict[str, float]]], imported: dict[str, float]) -> list[str]:
    """The table and what it means against the targets."""
    lines = ["# Reading loops: results of `make bench-parse`", "", *_SAID, ""]
    lines += ["| DAGs | | first read ever | new process | again | + serialize |", "|---|---|---|---|---|---|"]
    for number, ways in sizes.items():
        for name, words in (("loops", "skene_airflow"), ("dag_factory", "dag-factory"), ("by_hand", "by hand")):
            way = ways[name]
            dags = way["dags"]
            if dags != number:
                sys.exit(f"{words} made {dags} DAGs of {number}")
            first = ways["first"]["cold"] if name == "loops" else way["cold"]
            cells = [
                f"{1000 * seconds / number:.2f}" for seconds in (first, way["cold"], way["warm"], way["serialize"])
            ]
            lines.append(f"| {number:,} | {words} | {' | '.join(cells)} |")
    return [*lines, "", *verdicts(sizes, imported)]


def verdicts(sizes: dict[int, dict[str, dict[str, float]]], imported: dict[str, float]) -> list[str]:
    """Each target beside what was measured."""
    said: list[tuple[str, float, float]] = []
    for number, ways in sizes.items():
        ours, factory, hand = ways["loops"], ways["dag_factory"], ways["by_hand"]
        said += [
            (f"time of dag-factory, {number:,} loops, first read ever", ways["first"]["cold"] / factory["cold"], 0.5)
        ]
        said += [(f"time of dag-factory, {number:,} loops, new process", ours["cold"] / factory["cold"], 0.5)]
        said += [(f"time of dag-factory, {number:,} loops, again", ours["warm"] / factory["warm"], 0.5)]
        both: Any = [way["warm"] + way["serialize"] for way in (ours, hand)]
        said += [(f"time of the same DAGs by hand with serialization, {number:,} loops", both[0] / both[1], 1.5)]
        said += [
            (f"one loop of {number:,} for one task, against one of 1", ways["one"]["warm"] / ways["alone"]["warm"], 1.5)
        ]
    said += [("import, on top of Airflow's own", 1 + imported["and"] / imported["airflow"], 1.15)]
    lines = ["| what | measured | at most | |", "|---|---|---|---|"]
    return lines + [
        f"| {what} | {value:.2f} × | {limit} × | {'met' if value <= limit else '**missed**'} |"
        for what, value, limit in said
    ]


if __name__ == "__main__":
    sys.exit(main())
