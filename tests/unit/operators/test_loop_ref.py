"""A loop's file may break while its last good version is deployed: then nothing is sent until it is mended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from skene_airflow.dag_factory import load_loops
from skene_airflow.errors import LoopError

LOOPS = Path(__file__).resolve().parents[3] / "loops"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(LOOPS, tmp_path / "loops")
    return tmp_path / "loops"


@pytest.fixture
def dag(folder: Path) -> DAG:
    return load_loops(folder)["re_engagement"]


def break_yaml(folder: Path) -> str:
    file = folder / "re_engagement.yaml"
    file.write_text(file.read_text().replace("opinion:", "opinoin:"))
    return "loops/re_engagement.yaml:3:1"


def break_template(folder: Path) -> str:
    file = folder / "templates" / "re_engagement.html"
    file.write_text(file.read_text().replace("{{ name }}", "{{ nmae }}"))
    return "loops/templates/re_engagement.html:"


def break_defaults(folder: Path) -> str:
    (folder / "_defaults.yaml").write_text("ownr: growth\n")
    return "loops/_defaults.yaml:1:1"


def twin(folder: Path) -> str:
    (folder / "more").mkdir()
    shutil.copy(folder / "re_engagement.yaml", folder / "more")
    return "also that of loops/more/re_engagement.yaml"


def remove(folder: Path) -> str:
    (folder / "re_engagement.yaml").unlink()
    return "the file is gone"


BREAKS = [break_yaml, break_template, break_defaults, twin, remove]


@pytest.mark.parametrize("harm", BREAKS)
@pytest.mark.parametrize("task_id", ["evaluate", "segment"])
def test_a_task_from_the_last_good_version_refuses(dag: DAG, folder: Path, harm: Any, task_id: str) -> None:
    words = harm(folder)
    task: Any = dag.get_task(task_id)
    with pytest.raises(AirflowFailException) as caught:
        task.execute({})
    assert words in str(caught.value)


@pytest.mark.parametrize("harm", BREAKS)
def test_a_running_sender_refuses_before_its_next_call(dag: DAG, folder: Path, harm: Any) -> None:
    task: Any = dag.get_task("send")
    ref = task.partial_kwargs["loop"]
    alive = ref.while_it_loads(lambda: True)
    assert alive()
    words = harm(folder)
    with pytest.raises(LoopError) as caught:
        alive()
    assert words in str(caught.value)


def test_an_edit_that_loads_stops_nobody(dag: DAG, folder: Path) -> None:
    file = folder / "re_engagement.yaml"
    file.write_text(file.read_text().replace("7 days", "8 days"))
    task: Any = dag.get_task("evaluate")
    task.loop.must_load()
