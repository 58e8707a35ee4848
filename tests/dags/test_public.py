"""A really running Airflow, reached from outside: people say no, a provider tells, and nobody's data stays in it.

Its loops go well, are refused by a provider that repeats people's data, are retried, mapped over many batches,
backfilled, and meet a database that repeats people's data in its errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from skene_airflow.testing.resend_events import Webhook, new_secret
from skene_airflow.testing.resend_faults import Reply, refusal
from skene_airflow.testing.resend_state import Request
from tests.dags.installation import LIVE, Installation, Scenario, installation

pytestmark = pytest.mark.timeout(600)

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def echo(status: int, name: str) -> Reply:
    """A refusal that repeats whom it is about."""
    return refusal(status, name, f"Surname1{name} <{name}1@example.com> is not welcome, nor is {name}2@example.com")


def flaky(request: Request) -> Reply | None:
    """Refuses the whole first try of a task, and each call that has the second person in it."""
    if request.number <= 3:
        return echo(500, "retried")
    return echo(422, "retried") if b"retried2@" in request.body else None


@dataclass
class World:
    """Every loop of the installation, its runs ended."""

    airflow: Installation
    loops: dict[str, Scenario]
    states: dict[str, str]

    def site(self, link: str) -> str:
        """Where a link in a mail leads here."""
        return link.replace("https://airflow.acme.example", f"http://127.0.0.1:{self.airflow.port}")


@pytest.fixture(scope="module")
def world(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One start for all."""
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE public_pages")
    uri = psycopg.conninfo.make_conninfo(postgres, dbname="public_pages")
    secret = new_secret()
    with installation(tmp_path_factory.mktemp("world"), uri) as airflow:
        hook = Webhook(f"http://127.0.0.1:{airflow.port}/skene/resend/calm_mail", secret)
        loops = {
            "calm": airflow.scenario("calm", 3, webhook=hook),
            "many": airflow.scenario("many", 350),
            "refused": airflow.scenario("refused", 3, faults=lambda _: echo(403, "refused")),
            "retried": airflow.scenario("retried", 3, faults=flaky),
            "broken": airflow.scenario("broken", 3),
            "marks": airflow.scenario("marks", 3),
            "filled": airflow.scenario("filled", 3, '{type: schedule, cron: "0 0 * * *"}', "mode: shadow"),
        }
        known = json.loads(airflow.environment["AIRFLOW_CONN_CALM_MAIL"])
        known["extra"] = {"webhook_secret": secret}
        airflow.environment["AIRFLOW_CONN_CALM_MAIL"] = json.dumps(known)
        swap(loops["broken"], "SELECT * FROM broken_users", "SELECT * FROM broken_users WHERE name::int > 0")
        mark = "UPDATE marks_users u SET email = (u.name::int)::text FROM sent WHERE u.id = sent.id"
        swap(loops["marks"], "\nrecovery:", f"\n    on_sent: {mark}\nrecovery:")
        airflow.start()
        runs = {name: loops[name].trigger(dict(LIVE)) for name in loops if name != "filled"}
        days = {"from_date": str(NOW - timedelta(days=3)), "to_date": str(NOW - timedelta(days=1))}
        airflow.post("/backfills", {"dag_id": "filled", **days, "max_active_runs": 2, "reprocess_behavior": "none"})
        states = {name: loops[name].ended(run_id) for name, run_id in runs.items()}
        filled = "SELECT 1 FROM dag_run WHERE dag_id = 'filled' AND state = 'success' AND run_type = 'backfill'"
        airflow.wait(lambda: len(airflow.airflow_rows(filled)) >= 2, "the backfill never ended")
        yield World(airflow, loops, states)


NOW = datetime.now(UTC)


def swap(scenario: Scenario, old: str, new: str) -> None:
    """Edit a loop's file."""
    text = scenario.file.read_text()
    assert old in text
    scenario.file.write_text(text.replace(old, new, 1))


def links(scenario: Scenario) -> list[str]:
    """The unsubscribe links of the mails that were taken."""
    found = [mail.mail["headers"]["List-Unsubscribe"] for mail in scenario.provider.accepted if mail.mail is not None]
    return [header.strip("<>") for header in found]


def test_the_runs_went_as_they_were_meant_to(world: World) -> None:
    assert world.states == {
        "calm": "success", "many": "success", "refused": "failed", "retried": "success", "broken": "failed",
        "marks": "failed",
    }  # fmt: skip
    assert world.loops["calm"].accepted() == world.loops["calm"].everybody()
    assert world.loops["many"].accepted() == world.loops["many"].everybody()
    assert world.loops["retried"].statuses() == {"sent": 2, "failed": 1}
    assert world.loops["filled"].accepted() == {}


def test_what_the_provider_tells_is_heard(world: World) -> None:
    def delivered() -> bool:
        query = "SELECT count(delivered_at) AS n FROM skene.deliveries_v WHERE loop_id = 'calm'"
        return bool(world.airflow.ledger(query)[0]["n"] == 3)

    world.airflow.wait(delivered, f"no event was heard: {world.loops['calm'].provider.events.posted}")
    place = f"http://127.0.0.1:{world.airflow.port}/skene/resend/calm_mail"
    assert httpx.post(place, content=b"{}", timeout=60).status_code == 401
    assert httpx.post(place + "_of_somebody_else", content=b"{}", timeout=60).status_code == 401


def test_people_say_no_without_a_login(world: World) -> None:
    link = world.site(links(world.loops["calm"])[0])
    page = httpx.get(link, timeout=60)
    assert (page.status_code, page.is_redirect) == (200, False)
    assert "Unsubscribe?" in page.text
    style = httpx.get(f"http://127.0.0.1:{world.airflow.port}/skene/no.css", timeout=60)
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert refusals(world) == 0
    done = httpx.post(link, data=ONE_CLICK, timeout=60)
    assert (done.status_code, done.is_redirect) == (200, False)
    assert refusals(world) == 1
    assert httpx.get(link[:-2], timeout=60).status_code == 404


def refusals(world: World) -> int:
    query = "SELECT count(*) AS n FROM skene.suppressions WHERE reason = 'unsubscribed'"
    return int(world.airflow.ledger(query)[0]["n"])


def test_nothing_personal_is_left_anywhere_in_airflow(world: World) -> None:
    """It runs last: the pages and the provider's calls have left their traces by now."""
    written = world.airflow.everything_written()
    for words in (
        "350 candidates",
        "SQLSTATE 22P02",
        "request finished",
        "/skene/u/***",
        "would get mail",
        "‹address›",
    ):
        assert words in written, f"what is searched must hold {words!r}"
    for name in world.loops:
        found = re.search(rf".*(?:{name}\d+@|Surname\d+{name}).*", written)
        assert not found, found.group()[:500]
    tokens = [link.rpartition("/")[2] for each in world.loops.values() for link in links(each)]
    assert len(tokens) > 350
    assert not [token for token in tokens if token in written]
    for secret in ("re_test_key", "not-so-secret-key-for-tests", "whsec_"):
        assert secret not in written
