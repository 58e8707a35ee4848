"""Every fault a file can have: the smallest broken file, and beside it exactly what is said about it.

`tests/golden/broken/<code>_<name>.yaml` is read as `loops/<name>.yaml`; a folder is read as `loops/`.
After a change of words: `SKENE_GOLDEN=write pytest tests/unit/loop/test_golden.py`, and read the difference.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from skene_airflow.loop.codes import REFUSED_BY_AIRFLOW, TITLES
from skene_airflow.loop.load import load_folder
from skene_airflow.loop.source import MAX_BYTES

BROKEN = Path(__file__).parents[2] / "golden" / "broken"
# Too large to lie in a repository.
GENERATED = {"SK007_too_large": b"#" * (MAX_BYTES + 1)}


def said_about(case: str, tmp_path: Path) -> str:
    root, source = tmp_path / "loops", BROKEN / case
    if source.is_dir():
        shutil.copytree(source, root, symlinks=True)
    else:
        root.mkdir()
        text = GENERATED[case] if case in GENERATED else source.with_suffix(".yaml").read_bytes()
        (root / f"{case.partition('_')[2]}.yaml").write_bytes(text)
    folder = load_folder(root)
    assert folder.loops == ()
    return "".join(f"{error}\n" for error in folder.errors)


def all_cases() -> list[str]:
    files = {path.stem for path in BROKEN.iterdir() if path.suffix == ".yaml" or path.is_dir()}
    return sorted(files | set(GENERATED))


@pytest.mark.parametrize("case", all_cases())
def test_says_exactly_what_is_written_beside_the_file(case: str, tmp_path: Path) -> None:
    said, golden = said_about(case, tmp_path), BROKEN / f"{case}.txt"
    if os.environ.get("SKENE_GOLDEN") == "write":
        golden.write_text(said, encoding="utf-8")
    assert said == golden.read_text(encoding="utf-8")
    assert f"[{case[:5]}]" in said, "the code in the file's name is not among the faults"


def test_every_code_has_a_broken_file() -> None:
    # What Airflow refuses and we do not know of has no example here; tests/unit/dag_factory makes one.
    assert {case[:5] for case in all_cases()} == set(TITLES) - {REFUSED_BY_AIRFLOW}


def test_no_text_is_left_over_from_a_removed_file() -> None:
    assert {path.stem for path in BROKEN.glob("*.txt")} == set(all_cases())


@pytest.mark.parametrize("case", all_cases())
def test_every_line_has_a_place_and_a_code(case: str) -> None:
    for line in (BROKEN / f"{case}.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"loops/[\w/.-]+\.(ya?ml|sql):\d+:\d+: .+ \[SK\d{3}\]", line)
