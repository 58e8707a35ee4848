from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from skene_airflow.loop import memo as module
from skene_airflow.loop.memo import Memo, memo


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"skene_airflow_{os.getuid()}"


def test_what_is_added_is_known_to_the_next_process(temporary: Path) -> None:
    first = memo()
    assert not first.knows("a")
    first.add("a")
    assert first.knows("a")
    assert not memo().knows("a")
    first.save()
    second = memo()
    second.add("b")
    second.save()
    assert memo().knows("a")
    assert memo().knows("b")


def test_a_key_depends_on_every_part_and_on_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Memo.key(["a", "b"]) == Memo.key(["a", "b"])
    assert len({Memo.key(parts) for parts in (["a", "b"], ["ab"], ["b", "a"], ["a"])}) == 4
    before = Memo.key(["a"])
    monkeypatch.setattr(module, "_judge", lambda: "other code")
    assert Memo.key(["a"]) != before


@pytest.mark.parametrize("harm", ["not ours", "a file", "garbage", "read only"])
def test_trouble_with_the_file_costs_time_only(temporary: Path, harm: str) -> None:
    if harm == "a file":
        temporary.write_text("")
    else:
        temporary.mkdir(mode=0o700)
    if harm == "not ours":
        temporary.chmod(0o777)
        (temporary / "good").write_text("a\n")
    if harm == "garbage":
        (temporary / "good").write_bytes(b"\xff\xfe a")
    if harm == "read only":
        (temporary / "good").mkdir()
    found = memo()
    assert not found.knows("a")
    found.add("b")
    found.save()
    assert found.knows("b")


def test_the_file_begins_anew_before_it_gets_large(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST", 10)
    for key in ("a" * 40, "b" * 40):
        found = memo()
        found.add(key)
        found.save()
    assert (temporary / "good").read_text() == "b" * 40 + "\n"
