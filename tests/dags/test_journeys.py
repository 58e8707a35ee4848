"""Loops of several steps through `airflow dags test`: both DAGs, and steps that leave each other alone."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from tests.dags.deployment import DORMANT, Deployment

LIVE: dict[str, object] = {"mode": "live"}
LOOP = """\
type: adoption
opinion: One thing after another
action:
  type: email
  template: re_engagement
  personalization: {name: "{{ user.name }}", lastActivity: "{{ user.last_activity_at }}"}
steps:
  - id: hello
    trigger: {type: schedule, cron: "0 9 * * *"}
    condition: SELECT * FROM users WHERE last_activity_at < :as_of - interval '7 days'
  - id: later
    trigger: {type: after, wait: 7d}
  - id: soon
    trigger: {type: after, step: later, wait: 1h}
    condition: SELECT * FROM users WHERE id <= 3
recovery: {retries: 0}
"""

pytestmark = pytest.mark.timeout(280)


def mails(deployment: Deployment) -> Counter[str]:
    """How many mails of each step were accepted."""
    return Counter(mail.idem_key.split("/")[2] for mail in deployment.resend.accepted)


def days_pass(deployment: Deployment, days: int) -> None:
    with psycopg.connect(deployment.source) as conn:
        conn.execute("UPDATE skene.deliveries SET sent_at = sent_at - %s * interval '1 day'", [days])


def test_people_go_from_step_to_step_over_both_dags_each_once(deployment: Deployment) -> None:
    (deployment.loops / "journey.yaml").write_text(LOOP)
    first = deployment.run("journey", LIVE)
    assert first.returncode == 0, first.stdout
    assert mails(deployment) == {"hello": 7}, first.stdout
    states = deployment.states("journey")
    assert (states["run"], states["send[0]"], states["report"]) == ("success", "success", "success")
    assert (states["later.evaluate"], states["later.send"], states["later.report"]) == ("success", "skipped", "skipped")

    days_pass(deployment, 8)
    assert deployment.run("journey", LIVE).returncode == 0
    assert mails(deployment) == {"hello": 7, "later": 7}
    states = deployment.states("journey")
    assert (states["run"], states["send"], states["report"]) == ("success", "skipped", "skipped")
    assert (states["later.send[0]"], states["later.report"]) == ("success", "success")

    days_pass(deployment, 1)
    for _ in range(2):
        done = deployment.run("journey__after", LIVE)
        assert done.returncode == 0, done.stdout
        assert mails(deployment) == {"hello": 7, "later": 7, "soon": 3}
    assert deployment.states("journey__after") == {
        "run": "success",
        "soon.evaluate": "success",
        "soon.segment": "success",
        "soon.send": "skipped",
        "soon.report": "skipped",
    }
    assert Counter(deployment.recipients()) == {address: 3 if number <= 3 else 2 for number, address, _ in DORMANT}


AWAY = "interval '7 days'"
LATER = "trigger: {type: after, wait: 7d}"


@pytest.mark.parametrize(
    ("fails", "goes", "sound", "broken"),
    [
        ("", "later.", AWAY, f"{AWAY} AND name::int > 0"),
        ("later.", "", LATER, f"{LATER}\n    condition: SELECT * FROM users WHERE name::int > 0"),
    ],
)
def test_a_step_that_fails_neither_fails_nor_skips_the_other(
    deployment: Deployment, fails: str, goes: str, sound: str, broken: str
) -> None:
    loop = deployment.loops / "journey.yaml"
    loop.write_text(LOOP)
    assert deployment.run("journey", LIVE).returncode == 0
    days_pass(deployment, 8)
    with psycopg.connect(deployment.source) as conn:
        conn.execute("INSERT INTO users VALUES (50, 'new@example.com', 'New', now() - interval '30 days')")
    loop.write_text(LOOP.replace(sound, broken))
    done = deployment.run("journey", LIVE)
    assert done.returncode == 1, done.stdout
    states = deployment.states("journey")
    assert (states["run"], states[f"{fails}evaluate"], states[f"{fails}report"]) == ("failed", "failed", "failed")
    assert states[f"{fails}segment"] == "upstream_failed"
    assert (states[f"{goes}send[0]"], states[f"{goes}report"]) == ("success", "success")
    assert mails(deployment) == ({"hello": 7, "later": 7} if goes else {"hello": 8})
