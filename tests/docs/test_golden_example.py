"""The test that the documents show is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_golden_example_writes_then_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "how-to" / "look-before-sending.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copytree(ROOT / "loops", tmp_path / "loops")
    (tmp_path / "test_mail.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mail.py"]
    monkeypatch.delenv("SKENE_GOLDEN", raising=False)
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 1
    monkeypatch.setenv("SKENE_GOLDEN", "write")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert {path.name for path in (tmp_path / "golden").iterdir()} == {"re_engagement.html", "re_engagement.txt"}
    monkeypatch.delenv("SKENE_GOLDEN")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
