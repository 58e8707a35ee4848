from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from skene_airflow.dag_factory import load_loops
from skene_airflow.dag_factory.stand_in import dag_id_of
from skene_airflow.errors import SettingsError

DAGS = Path(__file__).resolve().parents[3] / "dags"


def broken(dag: DAG) -> bool:
    return "broken" in dag.tags and dag.schedule is None


def test_a_broken_file_stands_under_its_own_name_and_the_others_run(folder: Path, text: str) -> None:
    (folder / "win_back.yaml").write_text(text.replace("opinion:", "opinoin:"))
    dags = load_loops(folder)
    assert sorted(dags) == ["re_engagement", "skene_upkeep", "win_back"]
    assert not broken(dags["re_engagement"])
    assert broken(dags["win_back"])
    assert "loops/win_back.yaml:3:1" in (dags["win_back"].doc_md or "")
    task: Any = dags["win_back"].get_task("evaluate")
    with pytest.raises(AirflowFailException, match=r"win_back\.yaml:3:1"):
        task.execute({})


def test_a_broken_template_too(folder: Path) -> None:
    template = folder / "templates" / "re_engagement.html"
    template.write_text(template.read_text().replace("{{ name }}", "{{ nmae }}"))
    dag = load_loops(folder)["re_engagement"]
    assert broken(dag)
    assert "nmae" in (dag.doc_md or "")


def test_a_broken_audience_takes_no_loop_of_its_name_down(folder: Path) -> None:
    (folder / "segments").mkdir()
    (folder / "segments" / "re_engagement.sql").write_text("DELETE FROM users")
    dags = load_loops(folder)
    assert "broken" not in dags["re_engagement"].tags
    (broken,) = [dag for dag in dags.values() if "broken" in dag.tags]
    assert broken.dag_id.startswith("segments.re_engagement__")
    assert "loops/segments/re_engagement.sql:1:13" in (broken.doc_md or "")


def test_what_airflow_itself_refuses_breaks_one_loop_only(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.yaml").write_text(text.replace("opinion:", "tags: ['" + "x" * 500 + "']\nopinion:"))
    dags = load_loops(folder)
    assert broken(dags["other"])
    assert "Airflow refuses this loop" in (dags["other"].doc_md or "")
    assert not broken(dags["re_engagement"])


def test_two_files_with_one_id_are_both_refused(folder: Path, text: str) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "re_engagement.yaml").write_text(text)
    dags = load_loops(folder)
    assert sorted(dags) == ["re_engagement", "skene_upkeep"]
    assert broken(dags["re_engagement"])
    assert "loops/more/re_engagement.yaml" in (dags["re_engagement"].doc_md or "")


@pytest.mark.parametrize("name", ["Win back.yaml", "skene_upkeep.yaml", "a__b.yml", "élan.yaml"])
def test_a_name_that_cannot_be_a_dag_id_is_still_seen(folder: Path, text: str, name: str) -> None:
    (folder / name).write_text(text)
    dags = load_loops(folder)
    dag = dags[dag_id_of(name)]
    assert broken(dag)
    assert dag.dag_display_name == Path(name).stem
    assert dag.dag_id != "skene_upkeep"


def test_a_missing_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_loops(tmp_path / "nowhere")


def test_python_may_add_what_yaml_cannot_say(folder: Path) -> None:
    def callback(context: object) -> None: ...

    dag = load_loops(folder, default_args={"pool": "crm", "retries": 9}, on_failure_callback=callback)
    assert dag["re_engagement"].on_failure_callback == callback
    assert dag["re_engagement"].get_task("evaluate").retries == 3
    assert dag["re_engagement"].get_task("evaluate").pool == "crm"


def test_for_one_task_run_only_its_loop_is_loaded(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other.yaml").write_text(text)
    (folder / "bad.yaml").write_text("steps: [")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "other")
    assert list(load_loops(folder)) == ["other"]
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "bad")
    assert broken(load_loops(folder)["bad"])
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "somebody_elses_dag")
    assert load_loops(folder) == {}


def test_for_one_task_run_a_second_file_with_its_id_still_counts(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "re_engagement.yaml").write_text(text)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "re_engagement")
    assert broken(load_loops(folder)["re_engagement"])


NO_OUTSIDE = """
import runpy, socket, sys
from airflow.sdk import Connection, Variable

def refuse(*args, **kwargs):
    raise SystemExit("parsing reached outside")

socket.socket.connect = socket.getaddrinfo = refuse
Connection.get = Variable.get = refuse
import airflow.sdk.execution_time.context as context
context._get_connection = context._get_variable = refuse
import airflow.sdk.bases.secrets_backend as backends
backends.BaseSecretsBackend.get_connection = backends.BaseSecretsBackend.get_variable = refuse
import psycopg
psycopg.connect = psycopg.Connection.connect = refuse
found = runpy.run_path(sys.argv[1])
print([name for name in found if name == "re_engagement"], found["re_engagement"].tags)
"""


def test_parsing_touches_no_database_network_connection_or_variable(folder: Path) -> None:
    environment = os.environ | {"AIRFLOW__SKENE__LOOPS_FOLDER": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", NO_OUTSIDE, str(DAGS / "growth_loops.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "['re_engagement']" in done.stdout


def test_without_a_setting_the_folder_is_beside_the_dag_files_folder(folder: Path) -> None:
    dags = folder.parent / "dags"
    dags.mkdir()
    (dags / "growth_loops.py").write_text((DAGS / "growth_loops.py").read_text())
    code = "import runpy, sys; print('re_engagement' in runpy.run_path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(dags / "growth_loops.py")],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.strip().endswith("True")


def test_of_two_hundred_files_with_one_broken_the_others_run(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(198):
        (folder / f"loop_{number:03d}.yaml").write_text(text.replace("7 days", f"{number + 8} days"))
    (folder / "bad.yaml").write_text(text.replace("0 9 * * *", "61 9 * * *"))
    monkeypatch.setenv("AIRFLOW__SKENE__LOOPS_FOLDER", str(folder))
    bag = DagBag(DAGS / "growth_loops.py", bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    assert len([dag for dag in bag.dags.values() if not broken(dag)]) == 199 + 1
    assert broken(bag.dags["bad"])
    assert len({json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for dag in bag.dags.values()}) == 201
