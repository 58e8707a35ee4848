"""`guard.approve_above` in whole runs without Airflow: who is asked what, and what follows from each answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import BrakeHeld
from skene_airflow.ledger import people
from skene_airflow.stages.approve import answer, request
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import RunReport, report
from skene_airflow.stages.segment import Segmented, segment
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed

LOOP = """\
type: retention
opinion: Approval
guard: {{approve_above: 2}}
{keys}
steps:
  - trigger: {{type: manual}}
    condition: {condition}
    {segments}
    action:
      type: email
      template: re_engagement
      personalization: {{name: "{{{{ user.name }}}}", lastActivity: "{{{{ user.last_activity_at }}}}"}}
"""
ALL = "SELECT * FROM users ORDER BY id"


def asking(shop: Shop, keys: str = "", segments: str = "", condition: str = ALL, **facts: Any) -> Job:
    """A live run in which somebody can be asked."""
    loop = shop.loop(LOOP.format(keys=keys, condition=condition, segments=segments), "approved")
    job = shop.job(loop=loop, **facts)
    return replace(job, run=replace(job.run, asks=True))


def send(job: Job, judged: Segmented, channel: Channel) -> RunReport:
    for shard in judged.shards:
        Sender(job, shard, channel, sleep=lambda _: None).run()
    return report(job)


def test_nobody_is_claimed_before_a_yes_and_everybody_once_after_it(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(5)
    job = asking(shop)
    judged = shop.decide(resend, job)
    assert (judged.waits, judged.shards, judged.verdicts["send"]) == (True, [], 5)
    assert not shop.sql("SELECT 1 FROM skene.deliveries UNION ALL SELECT 1 FROM skene.decisions")
    assert request(job) is not None
    answer(job, approved=True, by="ada")
    assert request(job) is None, "nobody is asked twice"
    outcome = send(job, segment(job, resend), resend)
    assert (outcome.candidates, outcome.verdicts["send"], outcome.statuses) == (5, 5, {"sent": 5})
    assert mailed(server) == everybody(5)
    assert segment(job, resend).shards == [], "a Clear finds what was decided"
    answer(job, approved=False, by="bob")
    [row] = shop.sql("SELECT claimed, approval FROM skene.runs")
    assert (row["claimed"], row["approval"]["by"], row["approval"]["approved"]) == (True, "ada", True)
    [said] = shop.sql("SELECT actor, action, details FROM skene.audit")
    assert (said["actor"], said["action"], said["details"]["run"]) == ("ada", "approve", job.run.run_id)


@pytest.mark.parametrize("by", ["ada", ""])
def test_a_no_and_no_answer_are_not_approved_for_everybody(
    shop: Shop, server: ResendServer, resend: Channel, by: str
) -> None:
    shop.dormant(20)
    shop.sql("UPDATE users SET email = 'nowhere' WHERE id = 4")
    job = asking(shop, "holdout: 20%\nexpires_after: 6h")
    judged = shop.decide(resend, job)
    assert judged.verdicts["hold_out"] > 0
    if not by:
        shop.sql("UPDATE skene.runs SET expires_at = now() - interval '1 second'")
    answer(job, approved=False, by=by)
    outcome = send(job, segment(job, resend), resend)
    assert outcome.verdicts == {"send": 0, "hold_out": 0, "skip": {"invalid_address": 1, "not_approved": 19}}
    assert outcome.nobody
    assert not mailed(server)
    assert shop.sql("SELECT reason, count(*) AS n FROM skene.decisions_v GROUP BY 1 ORDER BY 1") == [
        {"reason": "invalid_address", "n": 1},
        {"reason": "not_approved", "n": 19},
    ]
    assert not shop.sql("SELECT 1 FROM skene.deliveries UNION ALL SELECT 1 FROM skene.runs WHERE claimed")
    assert not shop.sql("SELECT 1 FROM pg_class WHERE relname ~ '^stage_'")
    again = shop.decide(resend, asking(shop, "holdout: 20%"))
    assert again.waits, "the entry was not used up"


def test_up_to_the_number_nobody_is_asked(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(5)
    shop.sql("UPDATE users SET email = 'nowhere' WHERE id > 2")
    job = asking(shop)
    judged = shop.decide(resend, job)
    assert not judged.waits, "only those who would get mail count"
    send(job, judged, resend)
    assert mailed(server) == everybody(2)


def test_whoever_may_not_be_mailed_by_then_is_not_and_nobody_joins(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(6)
    shop.ledger.migrate()
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('6', 'all', 'manual', 'test')")
    job = asking(shop)
    assert shop.decide(resend, job).verdicts["skip"] == {"suppressed": 1}
    shop.sql("DELETE FROM skene.suppressions")
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('1', 'all', 'manual', 'test')")
    people.forget(shop.ledger, "2", "ada")
    answer(job, approved=True, by="ada")
    outcome = send(job, segment(job, resend), resend)
    assert mailed(server) == everybody(3, first=3)
    assert outcome.verdicts == {"send": 3, "hold_out": 0, "skip": {"suppressed": 2}}


def test_another_run_that_came_first_is_not_mailed_again(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(4)
    job = asking(shop)
    shop.decide(resend, job)
    shop.run(resend, shop.job({"mode": "live", "release": ["approve_above"]}, loop=job.loop))
    answer(job, approved=True, by="ada")
    outcome = send(job, segment(job, resend), resend)
    assert outcome.verdicts["skip"] == {"already_entered": 4}
    assert mailed(server) == everybody(4)


def test_a_yes_that_comes_too_late_sends_nothing(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    job = asking(shop)
    shop.decide(resend, job)
    shop.sql("UPDATE skene.runs SET expires_at = now() - interval '1 second'")
    answer(job, approved=True, by="ada")
    assert send(job, segment(job, resend), resend).verdicts["skip"] == {"expired": 3}
    assert not mailed(server)


def test_judged_anew_before_an_answer_it_is_asked_anew(shop: Shop, resend: Channel) -> None:
    shop.dormant(5)
    job = asking(shop)
    shop.decide(resend, job)
    shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('1', 'all', 'manual', 'test')")
    assert segment(job, resend).waits
    asked = request(job)
    assert asked is not None
    assert asked.subject == "approved: mail 4 people?"
    shop.sql(
        "INSERT INTO skene.suppressions (user_key, scope, reason, source)"
        " SELECT i::text, 'all', 'manual', 'test' FROM generate_series(2, 3) i"
    )
    judged = segment(job, resend)
    assert (judged.waits, judged.verdicts["send"]) == (False, 2), "two people need no question"


def test_where_nobody_can_be_asked_it_is_held_like_any_brake(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    loop = asking(shop).loop
    job = shop.job(loop=loop)
    with pytest.raises(BrakeHeld, match=r'approve_above lets 2 pass.*"release": \["approve_above"\]'):
        shop.decide(resend, job).refuse_held()
    shadow = asking(shop, conf={})
    evaluate(shadow)
    judged = segment(shadow, None)
    assert (judged.waits, judged.verdicts["skip"]) == (False, {"held": 3})
    assert request(shadow) is None
    released = asking(shop, conf={"mode": "live", "release": ["approve_above"]})
    send(released, shop.decide(resend, released), resend)
    assert mailed(server) == everybody(3)


def test_another_brake_holds_before_anybody_is_asked(shop: Shop, resend: Channel) -> None:
    shop.dormant(5)
    job = asking(shop)
    guard = job.loop.guard
    assert guard is not None
    loop = job.loop.model_copy(update={"guard": guard.model_copy(update={"max": 4})})
    judged = shop.decide(resend, replace(job, loop=loop))
    assert judged.verdicts["skip"] == {"held": 5}
    assert judged.brakes == {"people": 5, "held": {"max": 4}}


def test_what_is_shown_has_the_numbers_and_three_samples_without_anybody_in_them(shop: Shop, resend: Channel) -> None:
    shop.dormant(9)
    shop.sql("UPDATE users SET email = 'nowhere' WHERE id = 9")
    shop.sql("UPDATE users SET name = '*Ada*', last_activity_at = '2020-02-02' WHERE id = 1")
    segments = "segments: [{name: long_gone, when: \"last_activity_at < '2021-01-01'\"}, {name: the_rest}]"
    job = asking(shop, "holdout: 0%", segments)
    shop.decide(resend, job)
    asked = request(job)
    assert asked is not None
    assert asked.subject == "approved: mail 8 people?"
    for line in (
        "| candidates | 9 |", "| to be mailed | 8 |", "| skipped: invalid_address | 1 |", "| segment the_rest | 7 |",
        "**Sample 1** (segment the_rest)", "**Sample 2** (segment long_gone)", "**Sample 3** (segment the_rest)",
        "    Subject: We miss you, ‹name›",
    ):  # fmt: skip
        assert line in asked.body.splitlines()
    assert "Hi ‹name›, we last saw you on ‹last_activity_at›." in asked.body
    kept = str(shop.sql("SELECT approval FROM skene.runs"))
    for words in ("User 1", "Ada", "user2@", "2020", "@example.com"):
        assert words not in asked.body + kept


def test_messages_in_the_app_are_asked_about_and_shown_too(shop: Shop) -> None:
    shop.dormant(3)
    text = LOOP.format(keys="", condition=ALL, segments="")
    notice = (
        '    action: {type: in_app, title: "Hi {{ user.name }}", body: "Back since {{ user.last_activity_at }}?"}\n'
    )
    loop = shop.loop(text[: text.index("    action:")] + notice, "approved")
    job = shop.job(loop=loop)
    job = replace(job, run=replace(job.run, asks=True))
    evaluate(job)
    assert segment(job, None).waits
    asked = request(job)
    assert asked is not None
    assert asked.body.count("    Subject: Hi ‹name›\n    \n    Back since ‹last_activity_at›?") == 3
    answer(job, approved=True, by="ada")
    assert segment(job, None).verdicts["send"] == 3
