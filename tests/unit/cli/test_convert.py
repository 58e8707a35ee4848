from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop

Said = Callable[..., tuple[int, str, str]]
GOLDEN = Path(__file__).parents[2] / "golden" / "convert"


@pytest.fixture(autouse=True)
def config(here: Path) -> None:
    shutil.copy(GOLDEN / "reference.ts", here / "skene.config.ts")


def test_it_prints_yaml(said: Said) -> None:
    code, out, err = said("convert", "skene.config.ts")
    assert (code, err) == (0, "")
    assert out == (GOLDEN / "reference.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["-o", "loops/welcome.yaml"], ["--name", "welcome"]])
def test_it_writes_a_loop_and_overwrites_none(said: Said, here: Path, words: list[str]) -> None:
    assert said("convert", "skene.config.ts", *words) == (0, "wrote loops/welcome.yaml\n", "")
    assert isinstance(load_loop(here / "loops" / "welcome.yaml"), Loop)
    code, _, err = said("convert", "skene.config.ts", *words)
    assert code == 2
    assert "is there already; nothing was written" in err


def test_refused_shapes_are_1_by_name_and_nothing_is_written(said: Said, here: Path) -> None:
    shutil.copy(GOLDEN / "SK017_shapes.ts", here / "api.ts")
    code, out, err = said("convert", "api.ts", "--name", "api")
    assert (code, out) == (1, "")
    for shape in ("type 'api' is refused", "type 'usage' is refused", "type 'block' is refused"):
        assert shape in err
    assert not (here / "loops" / "api.yaml").exists()


def test_code_is_told_at_its_place_and_never_run(said: Said, here: Path) -> None:
    (here / "evil.ts").write_text(
        "export default {\n  type: require('fs').writeFileSync('x', ''),\n}\n", encoding="utf-8"
    )
    code, _, err = said("convert", "evil.ts")
    assert code == 1
    assert err.startswith("evil.ts:2:9: type: this is a call")
    assert not (here / "x").exists()


def test_a_converted_loop_with_faults_is_1_and_printed_all_the_same(said: Said, here: Path) -> None:
    (here / "half.json").write_text('{"type": "a", "opinon": "b"}', encoding="utf-8")
    code, out, err = said("convert", "half.json")
    assert code == 1
    assert out == "type: a\nopinon: b\n"
    assert "half.json:1:15: opinon: unknown key; did you mean 'opinion'? [SK012]" in err


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere.ts"],
        ["skene.config.ts", "-o", "Bad.yaml"],
        ["skene.config.ts", "-o", "a.yaml", "--name", "a"],
        ["loops"],
    ],
)
def test_what_cannot_be_done_is_2(said: Said, words: list[str]) -> None:
    code, out, err = said("convert", *words)
    assert (code, out) == (2, "")
    assert err.startswith("skene-airflow convert: ")
