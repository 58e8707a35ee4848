"""`skene_upkeep` and alerts through Airflow: leftovers go out, and only those of loops that may send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.errors import LoopError
from skene_airflow.ledger import Ledger, control
from skene_airflow.settings import Settings
from skene_airflow.stages.check import check_loop
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job, RunFacts
from skene_airflow.stages.segment import segment
from tests.dags.deployment import DORMANT, Deployment

ADDRESSES = sorted(address for _, address, _ in DORMANT)
LIVE: dict[str, object] = {"mode": "live"}
SETTINGS = Settings(
    from_email="Acme <hello@acme.example>",
    base_url="https://airflow.acme.example/skene",
    postal_address="Acme Inc., 1 Main Street, Springfield",
    secret_keys=("not-so-secret-key-for-tests",),
)

pytestmark = pytest.mark.timeout(600)


def leave(deployment: Deployment, *names: str) -> dict[str, Path]:
    """Loops whose live run was killed after `segment`: everybody is queued. Returns their files."""
    text = (deployment.loops / "re_engagement.yaml").read_text()
    ledger = Ledger(deployment.connect, "skene")
    for name in names:
        file = deployment.loops / f"{name}.yaml"
        file.write_text(text)
        loop = check_loop(file, deployment.loops)
        assert not isinstance(loop, LoopError)
        facts = RunFacts("killed", "manual", datetime.now(UTC), LIVE)
        job = Job(loop, loop.steps[0], facts, SETTINGS, deployment.connect, ledger)
        evaluate(job)
        with make_channel(ChannelConfig("resend", host=deployment.resend.url, password="re_test_key")) as channel:
            segment(job, channel)
    ledger.close()
    return {name: deployment.loops / f"{name}.yaml" for name in names}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_it_sends_what_is_left_of_loops_that_may_send(deployment: Deployment) -> None:
    files = leave(deployment, "sound", "broken", "shady", "gone", "stopped")
    edit(files["broken"], "opinion:", "opinoin:")
    edit(files["shady"], "type: retention", "type: retention\nmode: shadow")
    files["gone"].unlink()
    ledger = Ledger(deployment.connect, "skene")
    control.stop(ledger, "stopped", "ada")
    ledger.close()
    done = deployment.run("skene_upkeep")
    assert done.returncode == 0, done.stdout
    assert "loops/broken.yaml is broken, and nothing of it is sent until it is mended" in done.stdout
    assert "loops/broken.yaml:3:1" in done.stdout
    assert deployment.recipients() == ADDRESSES
    statuses = "SELECT loop_id, status, count(*)::int FROM skene.deliveries_v GROUP BY 1, 2 ORDER BY 1"
    assert deployment.ledger(statuses) == [
        ("broken", "queued", len(DORMANT)),
        ("gone", "queued", len(DORMANT)),
        ("shady", "queued", len(DORMANT)),
        ("sound", "sent", len(DORMANT)),
        ("stopped", "cancelled", len(DORMANT)),
    ]
    assert deployment.states("skene_upkeep") == {"run": "success", "upkeep": "success", "restart": "success"}
    assert not [address for address in ADDRESSES if address in deployment.everything_written()]


def test_a_loop_without_its_connection_fails_the_task_and_keeps_no_other_waiting(deployment: Deployment) -> None:
    files = leave(deployment, "a_first", "last")
    with files["a_first"].open("a") as file:
        file.write("connections: {email: nowhere}\n")
    done = deployment.run("skene_upkeep")
    assert done.returncode == 1
    assert "a_first.main: the Airflow connection 'nowhere' does not exist" in done.stdout
    assert deployment.recipients() == ADDRESSES


def test_alerts_tell_of_a_failed_run_and_of_people_it_was_too_late_for(deployment: Deployment) -> None:
    outbox = {"conn_type": "outbox", "host": str(deployment.home / "outbox")}
    deployment.environment["AIRFLOW_CONN_OUTBOX_DEFAULT"] = json.dumps(outbox)
    loop = deployment.loops / "re_engagement.yaml"
    edit(loop, "type: retention", "type: retention\nalerts: [{email: growth@acme.example}]")
    edit(loop, "provider: resend", "provider: outbox")
    edit(loop, "retries: 3", "retries: 0")
    late = deployment.airflow("dags", "test", "re_engagement", "2026-01-01", "--conf", json.dumps(LIVE))
    assert late.returncode == 0, late.stdout
    edit(loop, "re_engagement_sent = false", "name::int > 0")
    assert deployment.run("re_engagement", LIVE).returncode == 1
    mails = [path.read_text() for path in (deployment.home / "outbox").rglob("*.eml")]
    subjects = sorted(line for mail in mails for line in mail.splitlines() if line.startswith("Subject:"))
    assert subjects == [
        "Subject: The loop re_engagement failed",
        f"Subject: re_engagement: {len(DORMANT)} people expired",
    ]
    assert all("To: growth@acme.example" in mail for mail in mails)
    assert not [name for _, _, name in DORMANT if any(name in mail for mail in mails)]
