"""The gates in whole runs: consent, chance, caps, exit, quiet hours and people's own clocks."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from skene_airflow.audience.assignment import HOLDOUT, SAMPLE, salt, share
from skene_airflow.channels import Channel
from skene_airflow.errors import QueryError
from skene_airflow.ledger import Ledger
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed

LOOP = """\
type: retention
opinion: Gates
{keys}
steps:
  - trigger: {trigger}
    condition: {condition}
    action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
"""


def write(
    shop: Shop,
    keys: str = "",
    condition: str = "SELECT * FROM users ORDER BY id",
    name: str = "gated",
    trigger: str = "{type: manual}",
) -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition, trigger=trigger), name)


def skips(outcome: Any) -> dict[str, int]:
    return dict(outcome.verdicts["skip"])


def test_consent(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    query = "SELECT *, CASE id WHEN 1 THEN true WHEN 2 THEN false END AS yes FROM users"
    outcome = shop.run(resend, shop.job(loop=write(shop, "consent: yes", query)))
    assert skips(outcome) == {"no_consent": 2}
    assert mailed(server) == everybody(1)
    shop.run(resend, shop.job(loop=write(shop, "consent: yes\nclass: transactional", "SELECT * FROM users")))
    assert mailed(server) == everybody(3)


def test_consent_that_is_not_boolean(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    with pytest.raises(QueryError, match="'name', is text and not boolean"):
        shop.run(resend, shop.job(loop=write(shop, "consent: name")))


def test_sample_and_holdout_are_the_documented_hashes_and_exclude_each_other(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(300)
    outcome = shop.run(resend, shop.job(loop=write(shop, "sample: 50%\nholdout: 20%")))
    keys = [str(n) for n in range(1, 301)]
    sampled = {key for key in keys if share(salt("gated", SAMPLE), key) < 0.5}
    held = {key for key in sampled if share(salt("gated", HOLDOUT), key) < 0.2}
    assert outcome.verdicts == {
        "send": len(sampled - held),
        "hold_out": len(held),
        "skip": {"not_sampled": 300 - len(sampled)},
    }
    assert outcome.statuses == {"sent": len(sampled - held), "held_out": len(held)}
    assert mailed(server) == Counter(f"user{key}@example.com" for key in sampled - held)
    again = shop.run(resend, shop.job(loop=write(shop, "sample: 50%\nholdout: 20%")))
    assert skips(again) == {"already_entered": len(sampled), "not_sampled": 300 - len(sampled)}


def test_only_who_would_be_mailed_is_held_out(shop: Shop, resend: Channel) -> None:
    shop.dormant(60)
    shop.sql("UPDATE users SET email = 'nobody' WHERE id <= 30")
    outcome = shop.run(resend, shop.job(loop=write(shop, "holdout: 50%")))
    assert skips(outcome) == {"invalid_address": 30}
    held = {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.deliveries WHERE status = 'held_out'")}
    assert held == {str(n) for n in range(31, 61) if share(salt("gated", HOLDOUT), str(n)) < 0.5}


def test_transactional_mail_skips_what_it_may(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(4)
    shop.ledger.migrate()
    for key, scope, why in [
        ("1", "marketing", "unsubscribed"),
        ("2", "marketing", "complained"),
        ("3", "all", "bounced"),
    ]:
        shop.sql(
            "INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES (%s, %s, %s, 't')", key, scope, why
        )
    keys = """\
class: transactional
sample: 1%
holdout: 99%
frequency_cap: 1/7d
quiet_hours: {from: "00:00", to: "23:59"}
exit: SELECT id FROM users WHERE id = 4"""
    outcome = shop.run(resend, shop.job(loop=write(shop, keys)))
    assert skips(outcome) == {"suppressed": 2, "exited": 1}
    assert mailed(server) == everybody(1)


def test_a_suppression_by_hand_may_be_for_one_topic_and_may_end(shop: Shop, resend: Channel) -> None:
    shop.dormant(4)
    shop.ledger.migrate()
    for key, scope, days in (("1", "topic:news", None), ("2", "topic:tips", None), ("3", "all", 1), ("4", "all", -1)):
        shop.sql(
            "INSERT INTO skene.suppressions (user_key, scope, reason, source, expires_at)"
            " VALUES (%s, %s, 'manual', 't', now() + make_interval(days => %s))",
            key,
            scope,
            days,
        )
    assert skips(shop.decide(resend, shop.job(loop=write(shop, "topic: news")))) == {"suppressed": 2}
    assert skips(shop.run(resend, shop.job(loop=write(shop, "topic: news\nclass: transactional", name="due")))) == {
        "suppressed": 1
    }


def test_a_cap_counts_over_all_loops_on_person_or_address(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(4)
    shop.sql("INSERT INTO users SELECT 5, 'USER1@example.com', 'Five', now(), false, NULL, NULL")
    shop.run(resend, shop.job(loop=write(shop, "", "SELECT * FROM users WHERE id = 1", name="one")))
    shop.run(resend, shop.job(loop=write(shop, "class: transactional", "SELECT * FROM users WHERE id = 2", name="two")))
    shop.decide(resend, shop.job(loop=write(shop, "", "SELECT * FROM users WHERE id = 3", name="three")))
    capped = write(shop, "frequency_cap: 1/7d", name="capped")
    outcome = shop.run(resend, shop.job(loop=capped))
    # 1 was mailed, 5 has the address of 1, 3 is queued; transactional mail to 2 does not count.
    assert skips(outcome) == {"frequency_capped": 2, "duplicate_address": 1}
    assert mailed(server) == everybody(2) + everybody(1, first=2) + everybody(1, first=4)
    shop.sql("UPDATE skene.deliveries SET sent_at = now() - interval '8 days' WHERE status = 'sent'")
    assert skips(shop.run(resend, shop.job(loop=capped))) == {
        "already_entered": 2,
        "frequency_capped": 1,
        "duplicate_address": 1,
    }


def test_a_cap_counts_within_the_run(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.sql("CREATE TABLE orders (id bigint, email text, number bigint)")
    shop.sql("INSERT INTO orders SELECT 1, 'a@example.com', i FROM generate_series(1, 5) i")
    shop.sql("INSERT INTO orders SELECT 2, 'b@example.com', i FROM generate_series(1, 2) i")
    loop = write(shop, "entry: {per: [number]}\nfrequency_cap: 3/7d", "SELECT * FROM orders ORDER BY number")
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"frequency_capped": 2}
    assert mailed(server) == Counter({"a@example.com": 3, "b@example.com": 2})


def test_eight_loops_race_for_people_with_a_cap_of_one(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(100)
    shop.ledger.migrate()
    jobs = [shop.job(loop=write(shop, "frequency_cap: 1/7d", name=f"racer{n}")) for n in range(8)]
    for job in jobs:
        evaluate(job)
    barrier, wrong = threading.Barrier(8), []

    def race(job: Any) -> None:
        ledger = Ledger(lambda: psycopg.connect(shop.uri))
        try:
            barrier.wait(60)
            segment(replace(job, ledger=ledger), resend)
        except Exception as error:  # noqa: BLE001 - told below
            wrong.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=race, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert shop.statuses() == {"queued": 100}
    for job in jobs:
        Sender(job, 0, resend, sleep=lambda _: None).run()
    assert mailed(server) == everybody(100)


def test_exit_is_asked_at_the_claim_and_at_the_freeze(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(250)
    shop.sql("CREATE TABLE gone (id bigint)")
    shop.sql("INSERT INTO gone VALUES (1), (1), (NULL)")
    job = shop.job(loop=write(shop, "exit: SELECT id FROM gone WHERE :as_of IS NOT NULL"))
    judged = shop.decide(resend, job)
    assert judged.verdicts["skip"] == {"exited": 1}
    shop.sql("INSERT INTO gone VALUES (2), (150)")
    for shard in judged.shards:
        Sender(job, shard, resend, sleep=lambda _: None).run()
    rows = shop.sql("SELECT user_key, reason FROM skene.deliveries_v WHERE status = 'cancelled' ORDER BY user_key")
    assert rows == [{"user_key": "150", "reason": "exited"}, {"user_key": "2", "reason": "exited"}]
    assert mailed(server) == everybody(250) - Counter(f"user{n}@example.com" for n in (1, 2, 150))


def test_exit_knows_text_keys_and_other_types(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.sql("CREATE TABLE people (uid uuid DEFAULT gen_random_uuid(), email text, gone boolean)")
    shop.sql("INSERT INTO people (email, gone) VALUES ('a@example.com', true), ('b@example.com', false)")
    keys = "user: {key: uid}\nexit: SELECT uid::text AS uid FROM people WHERE gone"
    outcome = shop.run(resend, shop.job(loop=write(shop, keys, "SELECT * FROM people")))
    assert skips(outcome) == {"exited": 1}
    assert mailed(server) == Counter({"b@example.com": 1})


def test_quiet_hours_where_the_person_is(shop: Shop, server: ResendServer, resend: Channel) -> None:
    now = datetime.now(UTC)
    begin, end = (now - timedelta(hours=2)), (now + timedelta(hours=2))
    shop.dormant(5)
    for key, zone in [(1, "UTC"), (2, "Etc/GMT+6"), (3, None), (4, "Mars/Olympus"), (5, "Etc/GMT-9")]:
        shop.sql("UPDATE users SET timezone = %s WHERE id = %s", zone, key)
    keys = f'quiet_hours: {{from: "{begin:%H:%M}", to: "{end:%H:%M}"}}\nentry: once'
    outcome = shop.run(resend, shop.job(loop=write(shop, keys)))
    assert skips(outcome) == {"quiet_hours": 3}
    assert mailed(server) == everybody(1, first=2) + everybody(1, first=5)
    assert shop.sql("SELECT unknown_zones FROM skene.runs_v") == [{"unknown_zones": 2}]
    # Never in the quiet hours, whatever time it is as this runs.
    cron = f"0 {(now - timedelta(hours=6)).hour} * * *"
    elsewhere = write(shop, keys, trigger=f'{{type: schedule, cron: "{cron}", timezone: Etc/GMT+6}}', name="west")
    assert skips(shop.run(resend, shop.job(loop=elsewhere))) == {"quiet_hours": 1}


def test_each_person_once_per_local_day_by_their_own_clock(shop: Shop, server: ResendServer, resend: Channel) -> None:
    zones = ["Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Pacific/Auckland", "UTC", None, "Nowhere/Here"]
    shop.dormant(len(zones))
    for key, zone in enumerate(zones, 1):
        shop.sql("UPDATE users SET timezone = %s WHERE id = %s", zone, key)
    trigger = '{type: schedule, cron: "30 9 * * *", timezone: user}'
    loop = write(shop, "entry: each_run\nexpires_after: 60d", trigger=trigger)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=49)
    due: dict[str, list[datetime]] = {}
    for hour in range(49):
        at = start + timedelta(hours=hour)
        judged = shop.decide(resend, shop.job({}, loop=loop, run_type="scheduled", as_of=at, run_id=f"tick {hour}"))
        assert judged.candidates == len(zones)
        for row in shop.sql("SELECT user_key FROM skene.decisions_v WHERE run_id = %s", f"tick {hour}"):
            due.setdefault(row["user_key"], []).append(at)
    assert {key: len(times) for key, times in due.items()} == {
        str(key): 2 + (len(due[str(key)]) > 2) for key in range(1, len(zones) + 1)
    }
    for times in due.values():
        assert {later - sooner for sooner, later in pairwise(times)} == {timedelta(hours=24)}
    assert {at.hour for at in due["1"]} == {4}  # 09:30 in India is 04:00 UTC
    assert {at.hour for at in due["5"]} == {at.hour for at in due["6"]} == {at.hour for at in due["7"]} == {10}
    everyone = shop.decide(resend, shop.job({}, loop=loop, run_id="by hand"))
    assert everyone.verdicts["send"] == len(zones)


def test_exit_by_goal_at_the_claim_and_at_the_freeze(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(4)
    shop.sql("CREATE TABLE orders (user_id bigint, at timestamptz)")
    shop.sql("INSERT INTO orders VALUES (1, now() - interval '1 hour'), (1, NULL), (2, now() - interval '90 days')")
    keys = 'exit: goal\ngoal: {query: "SELECT user_id AS id, at FROM orders", within: 14d}'
    job = shop.job(loop=write(shop, keys))
    judged = shop.decide(resend, job)
    assert judged.verdicts["skip"] == {"exited": 1}
    shop.sql("INSERT INTO orders VALUES (3, now())")
    for shard in judged.shards:
        Sender(job, shard, resend, sleep=lambda _: None).run()
    assert mailed(server) == everybody(1, first=2) + everybody(1, first=4)
