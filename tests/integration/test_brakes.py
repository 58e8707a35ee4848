"""The brakes of `guard` in whole runs: what holds, what lets pass, and what is left behind."""

from __future__ import annotations

import re
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import BrakeHeld, QueryError
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.report import report
from skene_airflow.stages.segment import Segmented, segment
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed

LOOP = """\
type: retention
opinion: Brakes
{keys}
steps:
  - trigger: {{type: manual}}
    condition: {condition}
    action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
"""


def write(shop: Shop, keys: str, condition: str = "SELECT * FROM users ORDER BY id") -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition), "braked")


def held_by(segmented: Segmented) -> dict[str, int]:
    return dict((segmented.brakes or {}).get("held", {}))


def claimed(shop: Shop) -> int:
    return int(shop.sql("SELECT count(*) AS n FROM skene.deliveries")[0]["n"])


def test_max_holds_before_anybody_is_claimed_and_release_lets_pass(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    job = shop.job(loop=write(shop, "guard: {max: 2}"))
    segmented = shop.decide(resend, job)
    assert segmented.verdicts == {"send": 0, "hold_out": 0, "skip": {"held": 3}}
    assert segmented.shards == []
    assert claimed(shop) == 0
    assert shop.sql("SELECT reason, count(*) AS n FROM skene.decisions_v GROUP BY 1") == [{"reason": "held", "n": 3}]
    says = re.escape("3 people would get mail, and guard.max lets 2 pass. Nobody was claimed")
    with pytest.raises(BrakeHeld, match=says):
        segmented.refuse_held()
    with pytest.raises(BrakeHeld, match=re.escape('conf {"mode": "live", "release": ["max"]}')):
        report(job)
    with pytest.raises(BrakeHeld):  # a Clear finds what was decided
        segment(job, resend).refuse_held()
    assert not shop.sql("SELECT 1 FROM skene.runs WHERE claimed")

    shop.run(resend, shop.job({"mode": "live", "release": ["max"]}, loop=job.loop))
    assert mailed(server) == everybody(3)
    assert shop.sql("SELECT 1 FROM skene.runs WHERE claimed")


def test_as_many_as_it_lets_pass_are_mailed(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(29)
    shop.dormant(71, first=30)
    few = "SELECT * FROM users WHERE id <= {}"
    assert held_by(shop.decide(resend, shop.job(loop=write(shop, "guard: {max_share: 29%}", few.format(30))))) == {
        "max_share": 29
    }
    shop.run(resend, shop.job(loop=write(shop, "guard: {max: 29, max_share: 29%}", few.format(29))))
    assert mailed(server) == everybody(29)


def test_who_gets_no_mail_does_not_count(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(4)
    shop.sql("UPDATE users SET email = 'nowhere' WHERE id > 2")
    outcome = shop.run(resend, shop.job(loop=write(shop, "guard: {max: 2}")))
    assert outcome.verdicts["skip"] == {"invalid_address": 2}
    assert mailed(server) == everybody(2)


def test_nobody_is_held_out_by_a_held_run(shop: Shop, resend: Channel) -> None:
    shop.dormant(40)
    segmented = shop.decide(resend, shop.job(loop=write(shop, "holdout: 50%\nguard: {max: 2}")))
    assert segmented.verdicts == {"send": 0, "hold_out": 0, "skip": {"held": 40}}
    assert 2 < (segmented.brakes or {})["people"] < 40, "those to be held out would get no mail"
    assert claimed(shop) == 0
    passed = shop.decide(resend, shop.job(loop=write(shop, "holdout: 50%\nguard: {max: 39}")))
    assert passed.verdicts["send"] + passed.verdicts["hold_out"] == 40


def test_a_filter_that_widens_the_audience_is_held_by_growth(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(700)
    keys = "entry: each_run\nguard: {max_growth: 5x}"
    for size in (30, 10, 20, 90):  # below 100 people, growth is no reason
        shop.run(resend, shop.job(loop=write(shop, keys, f"SELECT * FROM users WHERE id <= {size}")))
    before = mailed(server)
    whole = write(shop, keys)
    segmented = shop.decide(resend, shop.job(loop=whole))
    assert segmented.brakes == {"people": 700, "held": {"max_growth": 125}}, "five times the median of 10, 20, 30, 90"
    assert mailed(server) == before
    again = shop.decide(resend, shop.job(loop=whole))
    assert held_by(again) == {"max_growth": 125}, "a held run is nothing to compare with"
    shop.decide(resend, shop.job({"mode": "live", "release": ["max_growth"]}, loop=whole))
    assert shop.statuses()["queued"] == 700


def test_up_to_a_hundred_people_growth_holds_nothing(shop: Shop, resend: Channel) -> None:
    shop.dormant(101)
    keys, query = "entry: each_run\nguard: {max_growth: 2x}", "SELECT * FROM users WHERE id <= {}"
    shop.run(resend, shop.job(loop=write(shop, keys, query.format(1))))
    assert held_by(shop.decide(resend, shop.job(loop=write(shop, keys, query.format(101))))) == {"max_growth": 100}
    assert held_by(shop.decide(resend, shop.job(loop=write(shop, keys, query.format(100))))) == {}


def test_a_shadow_run_says_what_would_hold_and_does_not_fail(shop: Shop, resend: Channel) -> None:
    shop.dormant(3)
    job = shop.job({}, loop=write(shop, "guard: {max: 2}"))
    segmented = shop.decide(resend, job)
    assert held_by(segmented) == {"max": 2}
    segmented.refuse_held()
    assert report(job).verdicts["skip"] == {"held": 3}


def test_the_size_of_the_table_of_people(shop: Shop, resend: Channel) -> None:
    shop.dormant(3)
    shop.sql('CREATE SCHEMA app; CREATE TABLE app."user" AS SELECT * FROM users')
    user = "user: {table: app.User}\nguard: {max_share: 50%}"
    assert held_by(shop.decide(resend, shop.job(loop=write(shop, user)))) == {"max_share": 1}
    shop.sql('DROP TABLE app."user"')
    with pytest.raises(QueryError, match=r"The count of app.User \(for guard.max_share\) failed: .* does not exist"):
        evaluate(shop.job(loop=write(shop, user)))
