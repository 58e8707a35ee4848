"""What the documents name exists: files, links, chores, commands, settings; and the loop shown is the loop shipped."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from skene_airflow.cli import VERBS
from skene_airflow.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# The words that only explain; `<name>` is the reader's own.
PLACEHOLDER = re.compile(r"<\w+>|…|\.\.\.")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def chores() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_the_loop_in_the_readme_is_the_loop_that_ships() -> None:
    assert fences(read("README.md"), "yaml") == [read("loops/re_engagement.yaml")]


def test_the_readme_keeps_its_order() -> None:
    text = read("README.md")
    order = ["# skene-airflow", "```yaml", "docs/images/dag.svg", "make demo", "make test", "is promised", "## Links"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_every_chore_exists(name: str) -> None:
    for chore in re.findall(r"(?:`|^ *)make ([a-z]+)", read(name), re.MULTILINE):
        assert chore in chores(), chore


def test_no_chore_is_mistaken_for_a_folder() -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert set(phony.split()) == chores()


@pytest.mark.parametrize("name", NAMES)
def test_every_named_path_exists(name: str) -> None:
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for path in re.findall(r"`([\w.-]+/[\w./<>-]*)`", read(name)):
        if path.split("/")[0] in tops and not PLACEHOLDER.search(path):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_exists(name: str) -> None:
    known = get_provider_info()["config"]["skene"]["options"]
    text = read(name)
    named = re.findall(r"AIRFLOW__SKENE__(\w+)", text) + re.findall(r"\[skene\] (\w+)", text)
    for option in named:
        assert option.lower() in known, option


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_exists(name: str) -> None:
    for verb in re.findall(r"(?:skene-airflow|airflow skene) ([a-z][a-z-]*)[ `\]]", read(name)):
        assert verb in VERBS, verb


@pytest.mark.parametrize("name", NAMES)
def test_every_module_that_is_run_exists(name: str) -> None:
    for module in re.findall(r"python -m (demo\.\w+)", read(name)):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), module


def test_architecture_names_every_room_and_stays_short() -> None:
    text = read("ARCHITECTURE.md")
    assert len(text.splitlines()) < 120
    package = ROOT / "skene_airflow"
    for room in package.iterdir():
        if (room / "__init__.py").is_file():
            assert f"`skene_airflow/{room.name}/`" in text, room.name


def test_what_ships_is_described_in_one_place() -> None:
    assert "[project]" not in read("pyproject.toml")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["name"] == get_provider_info()["package-name"]


def test_constraints_pin_names_and_nothing_else() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+( ; .+)?", line), line
        assert "/" not in line
