"""What "once" is per, in whole runs: values, periods, edited rules, new names, people who were there before."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.errors import ConfError
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop, everybody, mailed

LOOP = """\
type: retention
opinion: Entry
{keys}
steps:
  - trigger: {{type: manual}}
    condition: {condition}
    action: {{type: email, template: re_engagement, personalization: {{name: x, lastActivity: y}}}}
"""


def write(shop: Shop, keys: str, condition: str = "SELECT * FROM users", name: str = "again") -> Any:
    return shop.loop(LOOP.format(keys=keys, condition=condition), name)


def skips(outcome: Any) -> dict[str, int]:
    return dict(outcome.verdicts["skip"])


def test_each_run(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    for _ in range(2):
        shop.run(resend, shop.job(loop=write(shop, "entry: each_run")))
    assert mailed(server) == everybody(2) + everybody(2)


def test_per_value_null_is_a_value_and_no_text_is_null(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.sql("CREATE TABLE plans (id text, email text, plan text, region text)")
    rows = [(None, None), (None, "x"), ("x", None), ("null", "null"), ("", ""), ("a", '", "b'), ('a", "', "b")]
    for plan, region in [*rows, *rows]:  # every row twice: a candidate is a distinct person and entry
        shop.sql("INSERT INTO plans VALUES ('p', 'p@example.com', %s, %s)", plan, region)
    loop = write(shop, "entry: {per: [plan, region]}", "SELECT * FROM plans")
    first = shop.run(resend, shop.job(loop=loop))
    assert first.statuses == {"sent": len(rows)}
    assert first.duplicate_rows == len(rows)
    again = write(shop, "entry: {per: [region, plan]}", "SELECT * FROM plans")
    assert skips(shop.run(resend, shop.job(loop=again))) == {"already_entered": len(rows)}
    shop.sql("INSERT INTO plans VALUES ('p', 'p@example.com', 'new', NULL)")
    shop.run(resend, shop.job(loop=again))
    assert mailed(server) == Counter({"p@example.com": len(rows) + 1})


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_per_a_time_is_the_same_key_in_every_zone(shop: Shop, resend: Channel, zone: str) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop, "entry: {per: [last_activity_at]}")))
    shop.sql(f"ALTER DATABASE {shop.sql('SELECT current_database() AS d')[0]['d']} SET timezone = '{zone}'")
    text = LOOP.replace("{{type: manual}}", f'{{{{type: schedule, cron: "0 9 * * *", timezone: {zone}}}}}')
    loop = shop.loop(text.format(keys="entry: {per: [last_activity_at]}", condition="SELECT * FROM users"), "again")
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 2}


def test_a_value_of_any_length_is_an_entry_key(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(1)
    query = "SELECT u.*, string_agg(md5(i::text), '') AS long FROM users u, generate_series(1, 9000) i GROUP BY u.id"
    loop = write(shop, "entry: {per: [long]}", query)
    shop.run(resend, shop.job(loop=loop))
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 1}
    assert mailed(server) == everybody(1)


def test_every_counts_from_the_last_claim_that_holds(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(3)
    loop = write(shop, "entry: {every: 60d}")
    shop.run(resend, shop.job(loop=loop))
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 3}
    shop.sql("UPDATE skene.deliveries SET queued_at = now() - interval '61 days' WHERE user_key = '1'")
    shop.sql("UPDATE skene.deliveries SET queued_at = now() - interval '59 days' WHERE user_key = '2'")
    shop.run(resend, shop.job(loop=loop))
    assert mailed(server) == everybody(3) + everybody(1)


def test_one_mailbox_of_two_people_counts_as_one_for_every(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.sql("UPDATE users SET email = 'home@example.com'")
    loop = write(shop, "entry: {every: 60d}")
    for _ in range(2):
        shop.run(resend, shop.job(loop=loop))
    assert mailed(server) == Counter({"home@example.com": 1})


def test_an_entry_given_back_does_not_count_for_every(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(1)
    loop = write(shop, "entry: {every: 60d}")
    shop.decide(resend, shop.job(loop=loop))
    shop.sql("UPDATE skene.batches SET expires_at = now() - interval '1 second'")
    shop.sql("UPDATE skene.deliveries SET status = 'expired'")
    shop.run(resend, shop.job(loop=loop))
    assert mailed(server) == everybody(1)


def test_per_and_every(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(1)
    loop = write(shop, "entry: {per: [name], every: 60d}")
    shop.run(resend, shop.job(loop=loop))
    shop.sql("UPDATE users SET name = 'Another'")
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 1}
    shop.sql("UPDATE skene.deliveries SET queued_at = now() - interval '61 days'")
    shop.run(resend, shop.job(loop=loop))
    shop.sql("UPDATE skene.deliveries SET queued_at = now() - interval '61 days'")
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 1}
    assert mailed(server) == Counter({"user1@example.com": 2})


def test_existing_people_are_recorded_by_the_first_live_run_that_counts(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET email = NULL WHERE id = 3")
    loop = write(shop, "entry: {existing: skip}")
    shadow = shop.run(resend, shop.job({}, loop=loop))
    assert skips(shadow) == {"existing": 3}
    long_ago = shop.sql("SELECT now() - interval '10 days' AS t")[0]["t"]
    assert skips(shop.run(resend, shop.job(loop=loop, as_of=long_ago))) == {"expired": 3}
    assert shop.statuses() == {}
    first = shop.run(resend, shop.job(loop=loop))
    assert skips(first) == {"existing": 3}
    assert first.statuses == {"existing": 3}
    shop.dormant(2, first=4)
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 3}
    assert mailed(server) == everybody(2, first=4)


def test_nobody_at_the_first_run_is_a_first_run_too(shop: Shop, server: ResendServer, resend: Channel) -> None:
    loop = write(shop, "entry: {existing: skip}")
    shop.run(resend, shop.job(loop=loop))
    shop.dormant(2)
    shop.run(resend, shop.job(loop=loop))
    assert mailed(server) == everybody(2)


def test_an_edit_of_entry_mails_nobody_who_qualifies_then(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop, "")))
    edited = write(shop, "entry: {per: [name]}")
    assert skips(shop.run(resend, shop.job({}, loop=edited))) == {"existing": 2}
    assert skips(shop.run(resend, shop.job(loop=edited))) == {"existing": 2}
    shop.dormant(1, first=3)
    shop.sql("UPDATE users SET name = 'Another' WHERE id = 1")
    shop.run(resend, shop.job(loop=edited))
    assert mailed(server) == everybody(2) + everybody(1, first=3) + everybody(1)


def test_an_edit_of_user_key_is_refused_until_somebody_means_it(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop, "")))
    edited = write(shop, "user: {key: email}")
    with pytest.raises(ConfError, match=r"was 'id' and is 'email' now.*rekey"):
        shop.run(resend, shop.job(loop=edited))
    rekeyed = shop.run(resend, shop.job({"mode": "live", "rekey": True}, loop=edited))
    assert skips(rekeyed) == {"existing": 2}
    shop.dormant(1, first=3)
    shop.run(resend, shop.job(loop=edited))
    assert mailed(server) == everybody(3)


def test_a_new_name_is_the_old_loop(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop, "holdout: 50%", name="old")))
    held = {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.deliveries WHERE status = 'held_out'")}
    shop.dormant(40, first=3)
    named = write(shop, "holdout: 50%\nwas: [old]", name="new")
    outcome = shop.run(resend, shop.job(loop=named))
    assert skips(outcome) == {"already_entered": 2}
    assert max(mailed(server).values()) == 1
    rows = shop.sql("SELECT user_key FROM skene.deliveries WHERE status = 'held_out'")
    assert {row["user_key"] for row in rows} >= held
    other = write(shop, "holdout: 50%\nentry: each_run", name="old")
    shadow = shop.run(resend, shop.job({}, loop=other, run_id="compare"))
    assert shadow.verdicts["hold_out"] + skips(shadow).get("existing", 0) > 0


def test_what_was_queued_under_an_old_name_is_sent_by_the_new_one(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(2)
    shop.decide(resend, shop.job(loop=write(shop, "", name="old")))
    outcome = shop.run(resend, shop.job(loop=write(shop, "was: [old]", name="new")))
    assert skips(outcome) == {"already_entered": 2}
    assert mailed(server) == everybody(2)


def test_a_renamed_step(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.dormant(2)
    shop.run(resend, shop.job(loop=write(shop, "")))
    text = LOOP.replace("  - trigger", "  - id: hello\n    was: [main]\n    trigger")
    loop = shop.loop(text.format(keys="", condition="SELECT * FROM users"), "again")
    assert skips(shop.run(resend, shop.job(loop=loop))) == {"already_entered": 2}
    assert mailed(server) == everybody(2)


def test_every_row_knows_the_version_of_its_loop(shop: Shop, resend: Channel) -> None:
    shop.dormant(1)
    loop = write(shop, "holdout: 1%")
    shop.run(resend, shop.job(loop=loop))
    for view in ("deliveries_v", "decisions_v", "runs_v"):
        assert {row["loop_version"] for row in shop.sql(f"SELECT loop_version FROM skene.{view}")} == {loop.version}
