"""One loop is read again without listing its folder, as long as nothing that it depends on has changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from skene_airflow.errors import LoopError
from skene_airflow.loop.load import loop_files
from skene_airflow.loop.memo import memo
from skene_airflow.loop.schema import Loop
from skene_airflow.stages.check import Remembered, check_again, check_one
from tests.golden_cases import LOOP, TEMPLATE

YEAR = 365 * 86400


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    root = tmp_path / "loops"
    (root / "templates").mkdir(parents=True)
    (root / "more").mkdir()
    (root / "hello.yaml").write_text(LOOP)
    (root / "templates" / "hello.html").write_text(TEMPLATE)
    (root / "_defaults.yaml").write_text("owner: growth\n")
    grow_old(root)
    return root


def grow_old(root: Path) -> None:
    """A folder that changed a moment ago may change again without showing it; these have not for a year."""
    for folder in (root, root / "templates", root / "more"):
        found = folder.stat()
        os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns - YEAR * 10**9))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were listed for loop files."""
    folders: list[Path] = []

    def counted(root: Path, *args: object) -> list[Path]:
        folders.append(root)
        return loop_files(root, *args)  # type: ignore[arg-type]

    monkeypatch.setattr("skene_airflow.stages.check.loop_files", counted)
    return folders


def read(root: Path) -> Loop:
    found = check_one(root, "hello", Remembered(root, memo()))
    assert found.errors == ()
    (loop,) = found.loops
    return loop


def test_the_folder_is_listed_once(root: Path, listed: list[Path]) -> None:
    first = read(root)
    again = read(root)
    assert listed == [root]
    assert (again.version, again.owner, again.text) == (first.version, "growth", first.text)
    check_again(first)
    assert listed == [root]


def test_a_folder_that_has_just_changed_is_listed_again(root: Path, listed: list[Path]) -> None:
    (root / "other.yaml").write_text(LOOP)
    read(root)
    read(root)
    assert len(listed) == 2


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda root: (root / "hello.yaml").write_text(LOOP.replace("opinion", "opinoin")),
    "its template edited": lambda root: (root / "templates" / "hello.html").write_text("{{"),
    "its template gone": lambda root: (root / "templates" / "hello.html").unlink(),
    "its template twice": lambda root: shutil.copy(root / "templates/hello.html", root / "templates/hello.md"),
    "defaults edited": lambda root: (root / "_defaults.yaml").write_text("ownr: growth\n"),
    "a twin": lambda root: shutil.copy(root / "hello.yaml", root / "hello.yml"),
    "a twin in a folder": lambda root: shutil.copy(root / "hello.yaml", root / "more"),
    "gone": lambda root: (root / "hello.yaml").unlink(),
    "all gone": lambda root: root.rename(root.with_name("loops_before")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_breaks_it_is_seen_at_once(root: Path, change: str) -> None:
    loop = read(root)
    check_again(read(root))
    CHANGES[change](root)
    for _ in range(2):
        with pytest.raises(LoopError):
            check_again(loop)


def test_another_language_of_its_template_makes_another_version(root: Path) -> None:
    read(root)
    shared = Remembered(root, memo()).shared
    before = shared.drawn_on(LOOP, root)
    (root / "templates" / "hello.de.html").write_text(TEMPLATE)
    remembered = Remembered(root, memo())
    (loop,) = check_one(root, "hello", remembered).loops
    assert remembered.shared.drawn_on(loop.text, root).keys() - before.keys() == {"templates/hello.de.html"}


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '["hello.yaml", {}, 7]', '["a", {}, {}]', '["hello.yaml", {}, {"a": null}]', "{", '{"a": 1}'],
)
def test_a_note_that_is_none_costs_time_only(root: Path, text: str) -> None:
    loop = read(root)
    for note in Path(tempfile.gettempdir()).rglob("*"):
        if note.is_file():
            note.write_text(text)
    assert read(root).id == "hello"
    for note in Path(tempfile.gettempdir()).rglob("*"):
        if note.is_file():
            note.write_text(text)
    (root / "hello.yaml").write_text("opinion")
    with pytest.raises(LoopError):
        check_again(loop)
