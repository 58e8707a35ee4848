"""The bundle in a real Airflow: `dags test` finds it, every edit is a version, every broken file an import error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dags.deployment import DORMANT, Deployment, component

LIVE: dict[str, object] = {"mode": "live"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def bundled(deployment: Deployment) -> Deployment:
    """The deployment with the one line of configuration, and without a DAG file."""
    bundle_line(deployment)
    return deployment


def test_a_live_run_goes_through_the_bundle_and_a_broken_file_fails_in_words(bundled: Deployment) -> None:
    done = bundled.run("re_engagement", LIVE)
    assert done.returncode == 0, done.stdout
    assert bundled.recipients() == sorted(address for _, address, _ in DORMANT)
    loop = bundled.loops / "re_engagement.yaml"
    loop.write_text(loop.read_text().replace("opinion:", "opinoin:"))
    broken = bundled.run("re_engagement", LIVE)
    assert broken.returncode == 1
    assert "nothing is sent until it is mended" in broken.stdout
    assert "loops/re_engagement.yaml:3:1" in broken.stdout
    assert len(bundled.recipients()) == len(DORMANT)


@pytest.mark.parametrize("way", ["bundle", "dag file"])
def test_what_may_happen_to_files_of_a_running_airflow(deployment: Deployment, way: str) -> None:
    if way == "bundle":
        bundle_line(deployment)
    deployment.environment |= quick(followed_at_once=way == "bundle")
    loops, text = deployment.loops, (deployment.loops / "re_engagement.yaml").read_text()
    for number in range(20):
        (loops / f"loop_{number:03d}.yaml").write_text(text.replace("7 days", f"{number + 8} days"))
    (loops / "win_back.yaml").write_text(text.replace("opinion:", "opinoin:"))
    good = {f"loop_{number:03d}" for number in range(20)} | {"re_engagement", "skene_upkeep"}
    with component(["dag-processor"], deployment.environment, deployment.home):
        until(lambda: good <= live(deployment) and broken(deployment, way) == {"win_back"})
        assert deployment.airflow_rows("SELECT dag_id FROM dag WHERE NOT is_paused") == [("skene_upkeep",)]

        (loops / "win_back.yaml").write_text(text)
        until(lambda: "win_back" in live(deployment) and not broken(deployment, way))

        before = serialized(deployment, "loop_007")
        template = loops / "templates" / "re_engagement.html"
        template.write_text(template.read_text().replace("Until soon", "See you"))
        until(lambda: serialized(deployment, "loop_007") != before)

        (loops / "loop_001.yaml").write_text("steps: [")
        until(lambda: "loop_001" not in live(deployment) and broken(deployment, way) == {"loop_001"})
        assert good - {"loop_001"} <= live(deployment)

        (loops / "loop_002.yaml").unlink()
        until(lambda: "loop_002" not in live(deployment))
        (loops / "eu").mkdir()
        (loops / "eu" / "loop_003.yaml").write_text(text)
        until(lambda: "loop_003" not in live(deployment) and "loop_003" in broken(deployment, way))
        assert good - {"loop_001", "loop_002", "loop_003"} <= live(deployment)


def test_an_edit_is_a_new_version_and_the_code_is_the_yaml(bundled: Deployment) -> None:
    bundled.environment |= quick(followed_at_once=True)
    assert bundled.run("re_engagement").returncode == 0
    loop = bundled.loops / "re_engagement.yaml"
    loop.write_text(loop.read_text().replace("# Daily at 9 AM", "# at nine"))
    newest = "SELECT max(version_number) FROM dag_version WHERE dag_id = 're_engagement'"
    code = "SELECT source_code FROM dag_code WHERE dag_id = 're_engagement' ORDER BY last_updated DESC LIMIT 1"
    with component(["dag-processor"], bundled.environment, bundled.home):
        until(lambda: bundled.airflow_rows(newest) == [(2,)])
        assert loop.read_text().strip() in bundled.airflow_rows(code)[0][0]


def bundle_line(deployment: Deployment) -> None:
    """The one line of configuration that takes the place of a DAG file."""
    bundle = {"name": "loops", "classpath": "skene_airflow.bundle.LoopsBundle", "kwargs": {"refresh_interval": 1}}
    deployment.environment |= {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(deployment.home / "bundles"),
    }


def quick(*, followed_at_once: bool) -> dict[str, str]:
    """A dag-processor that need not be waited for; with the bundle, edits are followed without being polled for."""
    return {
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600" if followed_at_once else "1",
        "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "5",
        "AIRFLOW__DAG_PROCESSOR__DEACTIVATE_STALE_DAGS_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
    }


def live(deployment: Deployment) -> set[str]:
    """The DAGs that could run: neither stale, nor standing in for a broken file."""
    rows = deployment.airflow_rows(
        "SELECT dag_id FROM dag WHERE NOT is_stale AND dag_id NOT IN (SELECT dag_id FROM dag_tag WHERE name = 'broken')"
    )
    return {dag_id for (dag_id,) in rows}


def broken(deployment: Deployment, way: str) -> set[str]:
    """The loops that the UI shows as broken, each under its own name."""
    if way == "bundle":
        errors = deployment.airflow_rows("SELECT filename, stacktrace FROM import_error")
        for filename, said in errors:
            assert f"loops/{filename.removesuffix('.py')}:" in said
            assert "Traceback" not in said
        return {Path(filename).name.split(".")[0] for filename, _ in errors}
    rows = deployment.airflow_rows(
        "SELECT d.dag_id FROM dag d JOIN dag_tag t ON t.dag_id = d.dag_id AND t.name = 'broken' WHERE NOT d.is_stale"
    )
    return {dag_id for (dag_id,) in rows}


def serialized(deployment: Deployment, dag_id: str) -> str:
    """The hash of the DAG as Airflow keeps it."""
    newest = f"SELECT dag_hash FROM serialized_dag WHERE dag_id = '{dag_id}' ORDER BY last_updated DESC LIMIT 1"
    return str(deployment.airflow_rows(newest)[0][0])


def until(true: Callable[[], bool], patience: float = 100) -> None:
    """Wait for a condition; fails if it does not come true in time (seconds)."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)
