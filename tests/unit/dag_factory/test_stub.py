"""The bundle: one stub for each loop file, an import error under the file's own name, and no more work than needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.exceptions import AirflowFailException

from skene_airflow.bundle import LoopsBundle
from skene_airflow.dag_factory.stub_files import write_stubs
from skene_airflow.errors import SettingsError

Sync = Callable[[], BundleDagBag]


@pytest.fixture
def bundle(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoopsBundle:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    return LoopsBundle(name="loops", path=str(folder))


@pytest.fixture
def sync(bundle: LoopsBundle) -> Sync:
    """Refresh the bundle, and read it as Airflow does."""

    def synced() -> BundleDagBag:
        bundle.initialize()
        return BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name="loops")

    return synced


def stubs(bundle: LoopsBundle) -> dict[str, str]:
    return {path.relative_to(bundle.path).as_posix(): path.read_text() for path in bundle.path.rglob("*.py")}


def times(bundle: LoopsBundle) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in bundle.path.rglob("*.py")}


def test_every_loop_is_a_dag_and_upkeep_comes_once(sync: Sync, folder: Path, text: str) -> None:
    (folder / "eu").mkdir()
    (folder / "eu" / "hello.yml").write_text(text)
    bag = sync()
    assert sorted(bag.dags) == ["hello", "re_engagement", "skene_upkeep"]
    assert bag.import_errors == {}
    assert bag.dags["hello"].relative_fileloc == "eu/hello.yml.py"


def test_the_code_that_is_shown_is_the_yaml(sync: Sync, bundle: LoopsBundle, text: str) -> None:
    sync()
    assert text.strip() in stubs(bundle)["re_engagement.yaml.py"]


def test_a_broken_file_is_an_import_error_of_its_own_without_a_traceback(sync: Sync, folder: Path, text: str) -> None:
    (folder / "win_back.yaml").write_text(text.replace("opinion:", "opinoin:"))
    (folder / "never.yaml").write_text(text.replace("0 9 * * *", "61 9 * * *"))
    (folder / "lost.yaml").write_text(text.replace("template: re_engagement", "template: nowhere"))
    bag = sync()
    assert sorted(bag.dags) == ["re_engagement", "skene_upkeep"]
    assert sorted(bag.import_errors) == ["lost.yaml.py", "never.yaml.py", "win_back.yaml.py"]
    said = bag.import_errors["win_back.yaml.py"]
    assert "nothing of it is sent until its file is mended" in said
    assert "loops/win_back.yaml:3:1: opinoin: unknown key; did you mean 'opinion'?" in said
    assert "Traceback" not in said
    assert "loops/never.yaml:7:13" in bag.import_errors["never.yaml.py"]
    assert "nowhere" in bag.import_errors["lost.yaml.py"]
    (folder / "win_back.yaml").write_text(text)
    assert "win_back" in sync().dags


def test_two_files_with_one_id_are_both_refused(sync: Sync, folder: Path, text: str) -> None:
    assert "re_engagement" in sync().dags
    (folder / "eu").mkdir()
    (folder / "eu" / "re_engagement.yml").write_text(text)
    bag = sync()
    assert sorted(bag.dags) == ["skene_upkeep"]
    assert "also that of loops/eu/re_engagement.yml" in bag.import_errors["re_engagement.yaml.py"]
    assert "also that of loops/re_engagement.yaml" in bag.import_errors["eu/re_engagement.yml.py"]
    (folder / "eu" / "re_engagement.yml").unlink()
    assert "re_engagement" in sync().dags


def test_removing_a_file_removes_its_stub(sync: Sync, bundle: LoopsBundle, folder: Path) -> None:
    sync()
    (folder / "re_engagement.yaml").unlink()
    assert sorted(sync().dags) == ["skene_upkeep"]
    assert sorted(stubs(bundle)) == ["skene_upkeep.py"]


def test_what_did_not_change_is_not_touched_and_what_did_is(
    sync: Sync, bundle: LoopsBundle, folder: Path, text: str
) -> None:
    other = folder / "templates" / "other.html"
    shutil.copy(folder / "templates" / "re_engagement.html", other)
    (folder / "other.yaml").write_text(text.replace("template: re_engagement", "template: other"))
    sync()
    before = times(bundle)
    sync()
    assert times(bundle) == before
    other.write_text(other.read_text().replace("Until soon", "See you"))
    sync()
    changed = {name for name, time in times(bundle).items() if time != before[name]}
    assert changed == {"other.yaml.py"}
    before = times(bundle)
    (folder / "_defaults.yaml").write_text("owner: growth\n")
    bag = sync()
    assert {name for name, time in times(bundle).items() if time != before[name]} == {
        "other.yaml.py",
        "re_engagement.yaml.py",
    }
    assert bag.dags["other"].get_task("send").owner == "growth"


def test_an_edit_that_keeps_size_and_time_is_seen(bundle: LoopsBundle, folder: Path, sync: Sync) -> None:
    sync()
    template = folder / "templates" / "re_engagement.html"
    stat = template.stat()
    template.write_text(template.read_text().replace("Until soon", "Until then"))
    os.utime(template, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    before = stubs(bundle)
    sync()
    assert stubs(bundle) != before


@pytest.mark.parametrize(
    "words",
    ["# \"\"\" and ''' ", "# ends in a backslash \\", "# coding: latin-1", "# \u2028 \u00e4\u00f6 \U0001f600"],
)
def test_no_text_gets_out_of_its_quotes(sync: Sync, folder: Path, text: str, words: str) -> None:
    (folder / "odd.yaml").write_text(f"{words}\n{text}{words}", encoding="utf-8")
    bag = sync()
    assert "odd" in bag.dags or "loops/odd.yaml:" in bag.import_errors["odd.yaml.py"]
    assert "SyntaxError" not in "".join(bag.import_errors.values())


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"type: \x00", b"a: b\r\nc: [", b"x" * 400_000])
def test_no_bytes_hide_a_file(sync: Sync, folder: Path, raw: bytes) -> None:
    (folder / "odd.yaml").write_bytes(raw)
    bag = sync()
    assert (
        "loops/odd.yaml:1" in bag.import_errors["odd.yaml.py"] or "loops/odd.yaml:" in bag.import_errors["odd.yaml.py"]
    )
    assert sorted(bag.dags) == ["re_engagement", "skene_upkeep"]


@pytest.mark.parametrize("name", ["Win back.yaml", "skene_upkeep.yaml", "it's.yaml", "élan.yml"])
def test_a_name_that_cannot_be_an_id_is_an_import_error(sync: Sync, folder: Path, text: str, name: str) -> None:
    (folder / name).write_text(text)
    bag = sync()
    assert "the file's name is the loop's id" in bag.import_errors[f"{name}.py"]
    assert sorted(bag.dags) == ["re_engagement", "skene_upkeep"]


def test_for_a_queued_task_a_broken_file_is_a_task_that_fails_and_says_so(
    sync: Sync, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "re_engagement.yaml").write_text(text.replace("opinion:", "opinoin:"))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "re_engagement")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "send")
    bag = sync()
    task: Any = bag.dags["re_engagement"].get_task("send")
    with pytest.raises(AirflowFailException, match=r"nothing is sent until it is mended:\nloops/re_engagement.yaml:3"):
        task.execute({})


def test_for_one_task_run_only_its_loop_is_built(
    sync: Sync, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.yaml").write_text(text)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "other")
    assert sorted(sync().dags) == ["other"]
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "skene_upkeep")
    assert sorted(sync().dags) == ["skene_upkeep"]


def test_two_folders_with_one_bundle_name_do_not_meet(bundle: LoopsBundle, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "more" / "loops"
    shutil.copytree(folder, other)
    assert LoopsBundle(name="loops", path=str(other)).path != bundle.path


def test_the_folder_may_stand_in_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SKENE__LOOPS_FOLDER", str(folder))
    assert LoopsBundle(name="loops").loops == folder
    monkeypatch.delenv("AIRFLOW__SKENE__LOOPS_FOLDER")
    with pytest.raises(SettingsError, match="knows no loops folder"):
        _ = LoopsBundle(name="loops").loops
    with pytest.raises(SettingsError, match="does not exist"):
        LoopsBundle(name="loops", path=str(folder / "nowhere")).initialize()


def test_writing_again_opens_no_file_when_nothing_changed(folder: Path, tmp_path: Path) -> None:
    write_stubs(folder, tmp_path / "out")
    (tmp_path / "out" / "re_engagement.yaml.py").write_text("touched")
    write_stubs(folder, tmp_path / "out")
    assert (tmp_path / "out" / "re_engagement.yaml.py").read_text() == "touched"
