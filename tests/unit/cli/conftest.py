"""A folder to stand in, with the reference loop in `loops/`; no setting of this machine counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skene_airflow.cli import deployment, main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the test."""
    (tmp_path / "loops").mkdir()
    shutil.copy(ROOT / "loops" / "re_engagement.yaml", tmp_path / "loops")
    shutil.copytree(ROOT / "loops" / "templates", tmp_path / "loops" / "templates")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("AIRFLOW__SKENE__LOOPS_FOLDER", raising=False)
    deployment._airflow_cfg.cache_clear()
    return tmp_path


@pytest.fixture
def said(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs one command line: its exit code, what it printed, and what it complained of."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
