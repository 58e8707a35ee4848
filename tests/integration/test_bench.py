"""The benchmark's command works: every way of sending, and the large run, over a few hundred people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "more",
    [
        ["--large", "0", "--repeat", "1", "--latency", "0", "--no-airflow"],
        ["--large", "300", "--scale", "--patience", "0", "--no-airflow"],
    ],
)
def test_the_command_measures_and_writes_its_table(more: list[str], tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    command = [sys.executable, "-m", "bench.send", "--people", "300", "--write", str(page), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text(encoding="utf-8")
    assert text.strip() == done.stdout.strip()
    for word in (
        ["(a) plain script", "(b) ours, 2 shards, whole run", "(d) ceiling"]
        if "--scale" not in more
        else ["| 300 | 300 |", "Judging 300 candidates", "every gate, second run"]
    ):
        assert word in text
