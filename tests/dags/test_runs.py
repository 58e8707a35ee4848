"""Whole runs of the reference loop through `airflow dags test`, watched from outside."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.dags.deployment import AWAKE, DORMANT, Deployment

ADDRESSES = sorted(address for _, address, _ in DORMANT)
LIVE: dict[str, object] = {"mode": "live"}

pytestmark = pytest.mark.timeout(240)


def test_live_twice_everybody_once_and_nothing_personal_stays_in_airflow(deployment: Deployment) -> None:
    first = deployment.run("re_engagement", LIVE)
    assert first.returncode == 0, first.stdout
    assert deployment.recipients() == ADDRESSES
    assert deployment.states("re_engagement") == {
        "run": "success",
        "evaluate": "success",
        "segment": "success",
        "send[0]": "success",
        "report": "success",
    }

    assert all(request.headers.get("idempotency-key") for request in deployment.resend.requests)
    assert deployment.airflow_rows("SELECT value FROM xcom WHERE task_id = 'segment' AND key = 'return_value'") == [
        ("[0]",)
    ]

    template = deployment.loops / "templates" / "re_engagement.html"
    template.write_text(template.read_text().replace("Until soon", "See you soon"))
    second = deployment.run("re_engagement", LIVE)
    assert second.returncode == 0, second.stdout
    assert deployment.recipients() == ADDRESSES
    states = deployment.states("re_engagement")
    assert (states["run"], states["send"], states["report"]) == ("success", "skipped", "skipped")

    versions = "SELECT max(version_number) FROM dag_version WHERE dag_id = 're_engagement'"
    assert deployment.airflow_rows(versions) == [(2,)], "the edit of the template is a new version of the DAG"

    written = deployment.everything_written()
    for words in ("7 candidates", 'INSERT INTO "task_instance"', "already_entered"):
        assert words in written, "what is searched must hold the logs and the database"
    for _, address, name in (*DORMANT, AWAKE):
        assert address not in written
        assert name not in written
    for secret in ("re_test_key", "not-so-secret-key-for-tests"):
        assert secret not in written


def test_a_manual_run_is_a_shadow_run_that_decides_the_same(deployment: Deployment) -> None:
    del deployment.environment["AIRFLOW_CONN_RESEND_DEFAULT"]  # A shadow run calls nobody, and needs nobody to call.
    done = deployment.run("re_engagement")
    assert done.returncode == 0, done.stdout
    assert deployment.recipients() == []
    states = deployment.states("re_engagement")
    assert (states["run"], states["send"], states["report"]) == ("success", "skipped", "success")
    assert f"a live run would have mailed {len(DORMANT)}" in done.stdout
    decided = deployment.ledger("SELECT mode, verdict, count(*)::int FROM skene.decisions_v GROUP BY 1, 2")
    assert decided == [("shadow", "send", len(DORMANT))]


def test_with_nobody_there_it_ends_skipped_and_succeeds(deployment: Deployment) -> None:
    with psycopg.connect(deployment.source) as conn:
        conn.execute("DELETE FROM users")
    done = deployment.run("re_engagement", LIVE)
    assert done.returncode == 0, done.stdout
    states = deployment.states("re_engagement")
    assert (states["run"], states["send"], states["report"]) == ("success", "skipped", "skipped")


def test_a_failed_shard_fails_the_run_and_is_not_tried_in_vain(deployment: Deployment) -> None:
    deployment.environment["AIRFLOW_CONN_RESEND_DEFAULT"] = (
        '{"conn_type": "resend", "host": "' + deployment.resend.url + '", "password": "re_wrong_key"}'
    )
    done = deployment.run("re_engagement", LIVE)
    assert done.returncode == 1
    assert deployment.recipients() == []
    states = deployment.states("re_engagement")
    assert (states["run"], states["send[0]"], states["report"]) == ("failed", "failed", "failed")
    assert "failed: send_0" in done.stdout


def test_a_failed_condition_fails_the_run_and_says_only_the_sqlstate(deployment: Deployment) -> None:
    loop = deployment.loops / "re_engagement.yaml"
    text = loop.read_text().replace("retries: 3", "retries: 0")
    loop.write_text(text.replace("re_engagement_sent = false", "name::int > 0"))
    done = deployment.run("re_engagement", LIVE)
    assert done.returncode == 1
    assert deployment.recipients() == []
    states = deployment.states("re_engagement")
    assert {name: states[name] for name in ("run", "evaluate", "segment", "report")} == {
        "run": "failed",
        "evaluate": "failed",
        "segment": "upstream_failed",
        "report": "failed",
    }
    assert "22P02" in done.stdout
    assert "because of: evaluate. Nothing was sent" in done.stdout
    assert not re.search(r"Surname\d|person\d", deployment.everything_written())


def test_a_missing_connection_is_named_and_not_waited_for(deployment: Deployment) -> None:
    del deployment.environment["AIRFLOW_CONN_SKENE_SOURCE"]
    done = deployment.run("re_engagement", LIVE)
    assert done.returncode == 1
    assert "AIRFLOW_CONN_SKENE_SOURCE" in done.stdout


def test_a_broken_file_fails_visibly_and_takes_no_other_loop_down(deployment: Deployment) -> None:
    sound = (deployment.loops / "re_engagement.yaml").read_text()
    (deployment.loops / "win_back.yaml").write_text(sound.replace("opinion:", "opinoin:"))
    broken = deployment.run("win_back", LIVE)
    assert broken.returncode == 1
    assert "loops/win_back.yaml:3:1" in broken.stdout
    assert deployment.run("re_engagement").returncode == 0
    assert deployment.recipients() == []


def test_a_held_brake_fails_the_run_prints_the_conf_that_lets_it_pass_and_mails_nobody(deployment: Deployment) -> None:
    loop = deployment.loops / "re_engagement.yaml"
    loop.write_text(loop.read_text() + "guard: {max: 3}\n")
    done = deployment.run("re_engagement", LIVE)
    assert done.returncode != 0
    assert deployment.recipients() == []
    states = deployment.states("re_engagement")
    assert (states["run"], states["segment"], states["report"]) == ("failed", "failed", "failed")
    assert 'trigger a run with conf {"mode": "live", "release": ["max"]}' in done.stdout
    released = deployment.run("re_engagement", {"mode": "live", "release": ["max"]})
    assert released.returncode == 0, released.stdout
    assert deployment.recipients() == ADDRESSES


def test_evaluate_gives_its_slot_back_until_ready_and_a_time_out_mails_nobody(deployment: Deployment) -> None:
    with psycopg.connect(deployment.source) as conn:
        conn.execute("CREATE TABLE loaded (at timestamptz)")
    loop = deployment.loops / "re_engagement.yaml"
    text = loop.read_text()
    ready = "    ready: {query: SELECT count(*) > 0 FROM loaded, timeout: 8s}\n"
    loop.write_text(text.replace("    action:", f"{ready}    action:", 1))
    late = deployment.run("re_engagement", LIVE)
    assert late.returncode != 0
    assert "up_for_reschedule" in late.stdout.lower()
    assert "`ready` was not true within 0:00:08" in late.stdout
    states = deployment.states("re_engagement")
    assert (states["run"], states["evaluate"], states["segment"]) == ("failed", "failed", "upstream_failed")
    assert deployment.recipients() == []
    with psycopg.connect(deployment.source) as conn:
        conn.execute("INSERT INTO loaded VALUES (now())")
    there = deployment.run("re_engagement", LIVE)
    assert there.returncode == 0, there.stdout
    assert deployment.recipients() == ADDRESSES
