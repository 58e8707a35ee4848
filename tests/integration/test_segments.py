"""Segments, variants and named audiences in whole runs: who gets which mail, and that it stays so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from skene_airflow.audience.assignment import VARIANT, salt, share
from skene_airflow.channels import Channel
from skene_airflow.errors import QueryError
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop

LOOP = """\
type: adoption
opinion: Segments
steps:
  - trigger: {{type: manual}}
    condition: "{condition}"
{segments}
    action: {{type: email, template: hello, personalization: {{name: "{{{{ user.name }}}}"}}{more}}}
"""
TEMPLATE = "---\nsubject: Hi {{ name }}\n---\n<p>{{ segment }} {{ name }}</p>"


def write(shop: Shop, segments: str = "", more: str = "", condition: str = "SELECT * FROM users ORDER BY id") -> Any:
    return shop.loop(LOOP.format(condition=condition, segments=segments, more=more), "tour")


def subjects(server: ResendServer) -> dict[str, str]:
    return {mail.to: (mail.mail or {})["subject"] for mail in server.accepted}


@pytest.fixture(autouse=True)
def people(shop: Shop) -> None:
    shop.template(TEMPLATE, "hello.html")
    shop.template("---\nsubject: Admin {{ user.id }}\n---\n<p>{{ name }}</p>", "admin.html")
    shop.dormant(6)


def test_the_first_match_wins_and_overrides_the_action(shop: Shop, server: ResendServer, resend: Channel) -> None:
    segments = """\
    segments:
      - {name: first, when: "id <= 2 AND last_activity_at < :as_of", action: {template: admin}}
      - name: second
        when: "id <= 3"
        action: {subject: "For {{ name }}!", personalization: {name: "{{ user.email }}"}}
      - {name: null_is_no, when: "NULL"}
      - {name: fourth, when: "q.id < 5"}"""
    outcome = shop.run(resend, shop.job(loop=write(shop, segments)))
    assert subjects(server) == {
        "user1@example.com": "Admin 1",
        "user2@example.com": "Admin 2",
        "user3@example.com": "For user3@example.com!",
        "user4@example.com": "Hi User 4",
    }
    assert outcome.verdicts == {"send": 4, "hold_out": 0, "skip": {"no_segment": 2}}
    rows = shop.sql("SELECT segment, count(*) AS n FROM skene.deliveries_v GROUP BY 1")
    assert {row["segment"]: row["n"] for row in rows} == {"first": 2, "second": 1, "fourth": 1}


def test_what_is_required_is_required_of_whoever_gets_that_mail(shop: Shop, resend: Channel) -> None:
    segments = """\
    segments:
      - {name: admins, when: "id > 3", action: {template: admin, personalization: {name: static}}}
      - {name: everyone}"""
    shop.sql("UPDATE users SET name = NULL WHERE id IN (1, 5)")
    outcome = shop.run(resend, shop.job(loop=write(shop, segments)))
    assert outcome.verdicts["skip"] == {"missing_variable": 1}
    assert shop.sql("SELECT user_key FROM skene.decisions_v WHERE reason IS NOT NULL") == [{"user_key": "1"}]


def test_bands_by_recency(shop: Shop, resend: Channel) -> None:
    shop.sql("UPDATE users SET last_activity_at = now() - interval '23 hours' WHERE id = 1")
    shop.sql("UPDATE users SET last_activity_at = now() - interval '25 hours' WHERE id = 2")
    shop.sql("UPDATE users SET last_activity_at = now() + interval '1 hour' WHERE id = 3")
    shop.sql("UPDATE users SET last_activity_at = NULL WHERE id = 4")
    bands = "    segments: {by: last_activity_at, bands: {active: 1d, cooling: 7d, lapsed: rest}}"
    shop.run(resend, shop.job(loop=write(shop, bands)))
    rows = shop.sql("SELECT user_key, segment FROM skene.deliveries_v ORDER BY 1")
    assert [row["segment"] for row in rows] == ["active", "cooling", "active", "lapsed", "lapsed", "lapsed"]


def test_bands_without_a_rest(shop: Shop, resend: Channel) -> None:
    bands = "    segments: {by: last_activity_at, bands: {active: 1d}}"
    outcome = shop.run(resend, shop.job(loop=write(shop, bands)))
    assert outcome.verdicts["skip"] == {"no_segment": 6}


def test_variants_are_sticky_and_the_hash_is_the_documented_one(
    shop: Shop, server: ResendServer, resend: Channel
) -> None:
    shop.dormant(94, first=7)
    more = ", variants: {plain: {}, question: {subject: 'Stuck?'}, long: {template: admin, weight: 2}}"
    shop.run(resend, shop.job({}, loop=write(shop, more=more)))
    shop.run(resend, shop.job(loop=write(shop, more=more)))
    names: dict[str, dict[str, str]] = {"live": {}, "shadow": {}}
    for row in shop.sql("SELECT mode, user_key, variant FROM skene.decisions_v"):
        names[row["mode"]][row["user_key"]] = row["variant"]
    assert names["live"] == names["shadow"]
    for key, variant in names["live"].items():
        part = share(salt("tour", VARIANT), key)
        assert variant == ("plain" if part < 0.25 else "question" if part < 0.5 else "long")
    told = Counter(subject.partition(" ")[0] for subject in subjects(server).values())
    assert told == {"Hi": Counter(names["live"].values())["plain"], "Stuck?": 0, "Admin": 0} | {
        "Stuck?": Counter(names["live"].values())["question"],
        "Admin": Counter(names["live"].values())["long"],
    }
    assert min(told.values()) > 10


def test_named_audiences_in_queries_and_in_segments(shop: Shop, server: ResendServer, resend: Channel) -> None:
    folder = shop.folder / "segments"
    folder.mkdir()
    (folder / "early.sql").write_text("SELECT id FROM users WHERE id <= 4 AND last_activity_at < :as_of; -- those")
    (folder / "vip.sql").write_text("SELECT id FROM early WHERE id >= 2")
    segments = """\
    segments:
      - {name: vips, when: "id IN (SELECT id FROM vip)", action: {template: admin}}
      - {name: everyone}"""
    loop = write(shop, segments, condition="SELECT u.* FROM users u JOIN early USING (id)")
    assert [name for name, _ in loop.audiences] == ["early", "vip"]
    shop.run(resend, shop.job(loop=loop))
    assert [row["segment"] for row in shop.sql("SELECT segment FROM skene.deliveries_v ORDER BY user_key")] == [
        "everyone",
        "vips",
        "vips",
        "vips",
    ]
    before = loop.version
    (folder / "vip.sql").write_text("SELECT id FROM early WHERE id >= 3")
    assert write(shop, segments, condition="SELECT u.* FROM users u JOIN early USING (id)").version != before


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("plan = 'pro'", "at line 1 of the segment 'some': it names a column that does not exist .*42703"),
        ("count(*) > 1", "it counts or sums where one row is meant; a segment's `when`"),
        ("true\n OR name > 5", "at line 2 of the segment 'some'"),
    ],
)
def test_what_the_database_refuses_in_a_segment_is_told_with_its_place(
    shop: Shop, resend: Channel, when: str, says: str
) -> None:
    indented = when.replace("\n", "\n          ")
    segments = f"    segments:\n      - name: some\n        when: |\n          {indented}"
    with pytest.raises(QueryError, match=says):
        shop.run(resend, shop.job(loop=write(shop, segments)))
