"""Eight runs at once, and a shadow run beside a live one: everybody once, and the same decision."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.ledger import Ledger
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.segment import segment
from tests.integration.shop import Shop

LOOP = """\
type: retention
opinion: Races
{keys}
steps:
  - trigger: {{type: manual}}
    condition: {condition}
    segments: [{{name: odd, when: "length(id) % 2 = 1"}}, {{name: most, when: "id < 'p7'"}}]
    action: {{type: email, template: re_engagement, personalization: {{name: "{{{{ user.plan }}}}", lastActivity: y}}}}
"""
PEOPLE = """
CREATE TABLE people (id text, email text, plan text, seen timestamptz, yes boolean, timezone text)
"""


def people(shop: Shop, number: int, seed: int = 7) -> None:
    """People with text keys, doubles, gaps and shared mailboxes."""
    shop.sql(PEOPLE)
    draw = random.Random(seed)
    rows = [
        (
            draw.choice([f"p{n}", f"p{n}", f"p{n // 2}", f"ü{n}", None]),
            draw.choice([f"u{n}@example.com", f"u{n // 3}@example.com", "nobody", None]),
            draw.choice(["a", "b", None]),
            f"2026-0{draw.randint(1, 9)}-01 12:00+05:30",
            draw.choice([True, True, True, False, None]),
            draw.choice(["Asia/Kolkata", "America/St_Johns", "nowhere", None]),
        )
        for n in range(number)
    ]
    with psycopg.connect(shop.uri) as conn, conn.cursor() as cur:
        cur.executemany("INSERT INTO people VALUES (%s, %s, %s, %s, %s, %s)", rows)


def write(shop: Shop, keys: str, condition: str = "SELECT * FROM people ORDER BY email, id", name: str = "race") -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition), name)


def at_once(shop: Shop, jobs: Sequence[Job], do: Callable[[Job], object]) -> None:
    """Do it for every job at the same moment, each over a ledger connection of its own."""
    barrier, wrong = threading.Barrier(len(jobs)), []

    def run(job: Job) -> None:
        ledger = Ledger(lambda: psycopg.connect(shop.uri))
        try:
            barrier.wait(60)
            do(replace(job, ledger=ledger))
        except Exception as error:  # noqa: BLE001 - told below
            wrong.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("keys", ["", "entry: {every: 60d}", "entry: {per: [plan, seen], every: 60d}", "holdout: 50%"])
def test_eight_runs_at_once_claim_everybody_once(shop: Shop, resend: Channel, keys: str) -> None:
    people(shop, 300)
    shop.ledger.migrate()
    jobs = [shop.job(loop=write(shop, keys)) for _ in range(8)]
    at_once(shop, jobs, lambda job: (evaluate(job), segment(job, resend)))
    per_person = shop.sql("SELECT user_key, count(*) AS n FROM skene.deliveries GROUP BY 1")
    assert per_person
    assert {row["n"] for row in per_person} == {1}
    for row in shop.sql("SELECT candidates, verdicts, run_id FROM skene.runs_v"):
        verdicts = row["verdicts"]
        assert row["candidates"] == verdicts["send"] + verdicts["hold_out"] + sum(verdicts["skip"].values())
    rows = shop.sql("SELECT sum((verdicts->>'send')::int + (verdicts->>'hold_out')::int) AS n FROM skene.runs_v")
    assert rows == [{"n": len(per_person)}]


RULES = [
    "",
    "entry: {per: [plan, seen]}",
    "entry: {per: [plan, seen]}\nfrequency_cap: 1/7d",
    "entry: {per: [plan, seen], every: 60d}\nfrequency_cap: 1/7d",
    "entry: {existing: skip}\nconsent: yes",
    "entry: each_run\nsample: 60%\nholdout: 30%",
    'quiet_hours: {from: "06:00", to: "18:00"}\nexit: "SELECT id FROM people WHERE plan = \'b\'"',
    "class: transactional\nconsent: yes\nholdout: 50%",
]


@pytest.mark.parametrize("keys", RULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_shadow_run_decides_exactly_what_the_live_run_after_it_does(
    shop: Shop, resend: Channel, keys: str, seed: int
) -> None:
    people(shop, 200, seed)
    loop = write(shop, keys)
    as_of = shop.sql("SELECT now() AS t")[0]["t"]
    for _ in range(2):  # the second time with a history
        judged = [shop.decide(resend, shop.job(conf, loop=loop, as_of=as_of)) for conf in ({}, {"mode": "live"})]
        assert judged[0].verdicts == judged[1].verdicts
        assert judged[0].candidates == judged[1].candidates
        rows = "SELECT user_key, entry_key, verdict, reason, segment, variant FROM skene.decisions_v WHERE mode = %s"
        found = [Counter(tuple(row.values()) for row in shop.sql(rows, mode)) for mode in ("shadow", "live")]
        assert found[0] == found[1]
    for row in shop.sql("SELECT candidates, verdicts, statuses FROM skene.runs_v WHERE mode = 'live'"):
        verdicts, statuses = row["verdicts"], row["statuses"]
        assert row["candidates"] == verdicts["send"] + verdicts["hold_out"] + sum(verdicts["skip"].values())
        assert statuses.get("held_out", 0) == verdicts["hold_out"]
        assert statuses.get("existing", 0) == verdicts["skip"].get("existing", 0)
        assert statuses.get("queued", 0) == verdicts["send"]


def test_a_holdout_of_52_to_48_is_one(shop: Shop, resend: Channel) -> None:
    shop.dormant(5_000)
    condition = "SELECT u.*, u.id::text AS key FROM users u"
    text = LOOP.format(keys="holdout: 48%\nuser: {key: key}", condition=condition)
    loop = shop.loop(text.replace("length(id) % 2 = 1", "true").replace("id < 'p7'", "false").replace("plan", "name"))
    judged = shop.decide(resend, shop.job({}, loop=loop))
    held = judged.verdicts["hold_out"]
    assert judged.verdicts["send"] + held == 5_000
    # Four standard deviations of a fair draw; the keys are fixed, so this never flakes.
    assert abs(held - 2_400) < 4 * (5_000 * 0.48 * 0.52) ** 0.5
