from __future__ import annotations

import shutil
from pathlib import Path

import pytest

LOOPS = Path(__file__).resolve().parents[3] / "loops"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A loops folder that holds the reference loop and its template."""
    root = tmp_path / "loops"
    (root / "templates").mkdir(parents=True)
    shutil.copy(LOOPS / "re_engagement.yaml", root)
    shutil.copy(LOOPS / "templates" / "re_engagement.html", root / "templates")
    return root


@pytest.fixture
def text(folder: Path) -> str:
    """The reference loop's YAML."""
    return (folder / "re_engagement.yaml").read_text()
