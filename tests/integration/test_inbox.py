"""Messages in the app: rows of the inbox with the promises of mail, and with nothing that could be in doubt."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from skene_airflow.channels import Channel
from skene_airflow.ledger import Ledger, control
from skene_airflow.ledger import inbox as room
from skene_airflow.ledger.people import export, forget
from skene_airflow.ledger.suppressions import Entry, add
from skene_airflow.loop.load import load_loop
from skene_airflow.message.template import check_templates
from skene_airflow.nouns import Mode
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job
from skene_airflow.stages.putting import Putter
from skene_airflow.stages.report import RunReport, report
from skene_airflow.stages.segment import segment
from skene_airflow.stages.upkeep import upkeep
from tests.integration.shop import LOOP as MAIL
from tests.integration.shop import SETTINGS, Shop, mailed

LOOP = """\
type: adoption
opinion: People are told where they look
steps:
  - trigger: {{type: manual}}
    condition: "{condition}"
{segments}
    action:
      type: in_app
      title: "Welcome back, {{{{ name }}}}"
      body: "You were last here on {{{{ user.last_activity_at | date }}}}.\\nSee <what> is new."
      link: "/news?for={{{{ user.id }}}}"
      personalization: {{name: "{{{{ user.name }}}}"}}
{more}
"""


def write(
    shop: Shop, condition: str = "SELECT * FROM users", segments: str = "", more: str = "", tail: str = ""
) -> Any:
    text = LOOP.format(condition=condition, segments=segments, more=more) + tail
    return shop.loop(text, "news")


def run(shop: Shop, job: Job) -> RunReport:
    evaluate(job)
    for shard in segment(job, None).shards:
        Putter(job, shard).run()
    return report(job)


def inbox(shop: Shop) -> list[dict[str, Any]]:
    return shop.sql("SELECT user_key, title, body, link, read_at FROM skene.inbox ORDER BY user_key")


def test_everybody_finds_one_row_of_plain_text(shop: Shop) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET name = 'A & <b>' WHERE id = 2")
    outcome = run(shop, shop.job(loop=write(shop)))
    assert outcome.statuses == {"sent": 3}
    assert [(row["user_key"], row["title"], row["link"]) for row in inbox(shop)] == [
        ("1", "Welcome back, User 1", "/news?for=1"),
        ("2", "Welcome back, A & <b>", "/news?for=2"),
        ("3", "Welcome back, User 3", "/news?for=3"),
    ]
    assert inbox(shop)[0]["body"].endswith(".\nSee <what> is new.")
    rows = shop.sql("SELECT provider, provider_message_id, d.status FROM skene.deliveries_v d ORDER BY user_key")
    ids = [str(row["id"]) for row in shop.sql("SELECT id FROM skene.inbox ORDER BY user_key")]
    assert [(row["provider"], row["provider_message_id"]) for row in rows] == [("in_app", name) for name in ids]
    assert shop.sql("SELECT count(*) AS n FROM skene.deliveries WHERE address IS NOT NULL") == [{"n": 0}]


def test_a_second_run_and_a_cleared_one_add_nothing(shop: Shop) -> None:
    shop.dormant(2)
    job = shop.job(loop=write(shop))
    run(shop, job)
    run(shop, job)
    again = run(shop, shop.job(loop=write(shop)))
    assert again.verdicts["skip"] == {"already_entered": 2}
    assert len(inbox(shop)) == 2


def test_many_at_once_put_each_message_once(shop: Shop) -> None:
    shop.dormant(2600)
    job = shop.job(loop=write(shop))
    evaluate(job)
    segment(job, None)

    def put(shard: int) -> int:
        with closing(Ledger(shop.connect)) as ledger:
            return Putter(replace(job, ledger=ledger), shard).run().sent

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(put, range(6)))
    assert sum(done) == 2600
    assert Counter(row["user_key"] for row in inbox(shop)) == Counter(str(i) for i in range(1, 2601))
    assert report(job).statuses == {"sent": 2600}


def test_whoever_dies_before_the_commit_has_put_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.dormant(3)
    job = shop.job(loop=write(shop))
    evaluate(job)
    segment(job, None)
    whole = room.put

    def dies(*args: Any) -> int:
        whole(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            Putter(job).run()
    assert inbox(shop) == []
    assert shop.statuses() == {"queued": 3}  # never sending, never uncertain
    assert Putter(job).run().sent == 3
    assert len(inbox(shop)) == 3


def test_no_address_is_needed_and_none_is_shared(shop: Shop) -> None:
    shop.dormant(4)
    shop.sql(
        "UPDATE users SET email = CASE WHEN id < 3 THEN 'one@example.com' WHEN id = 3 THEN ' ' ELSE 'nonsense' END"
    )
    assert run(shop, shop.job(loop=write(shop))).statuses == {"sent": 4}
    shop.sql("TRUNCATE skene.inbox, skene.deliveries, skene.batches")
    bare = write(shop, "SELECT id, name, last_activity_at FROM users")
    assert run(shop, shop.job(loop=bare)).statuses == {"sent": 4}


def test_who_must_not_be_written_to(shop: Shop) -> None:
    shop.dormant(6)
    shop.ledger.migrate()
    entries = [
        Entry(user_key="1"),
        Entry(address="user2@example.com"),
        Entry(address="user3@example.com", reason="bounced"),  # tells of the mailbox alone
        Entry(user_key="4", scope="topic:news", reason="unsubscribed"),
        Entry(user_key="5", scope="topic:other", reason="unsubscribed"),
    ]
    add(shop.ledger, entries, "tests", "tests")
    outcome = run(shop, shop.job(loop=write(shop, tail="topic: news\n")))
    assert outcome.verdicts["skip"] == {"suppressed": 2, "unsubscribed": 1}
    assert [row["user_key"] for row in inbox(shop)] == ["3", "5", "6"]


def test_the_gates_are_asked_again_before_a_message_is_put(shop: Shop) -> None:
    shop.dormant(3)
    job = shop.job(loop=write(shop))
    evaluate(job)
    segment(job, None)
    add(shop.ledger, [Entry(user_key="2")], "tests", "tests")
    Putter(job).run()
    assert report(job).statuses == {"sent": 2, "cancelled": 1}
    assert [row["user_key"] for row in inbox(shop)] == ["1", "3"]


def test_one_cap_counts_mail_and_messages(shop: Shop, resend: Channel, server: Any) -> None:
    shop.dormant(2)
    run(shop, shop.job(loop=write(shop, "SELECT * FROM users WHERE id = 1", tail="entry: each_run\n")))
    shop.run(resend, shop.job(loop=shop.loop(MAIL + "frequency_cap: 1/7d\n")))
    assert mailed(server) == {"user2@example.com": 1}
    outcome = run(shop, shop.job(loop=write(shop, tail="frequency_cap: 1/7d\nentry: each_run\n")))
    assert outcome.verdicts["skip"] == {"frequency_capped": 2}


def test_segments_variants_and_missing_values(shop: Shop) -> None:
    shop.dormant(60)
    shop.sql("UPDATE users SET name = NULL WHERE id = 60")
    segments = """\
    segments:
      - {name: first, when: "id <= 2", action: {title: "Only you", link: "https://acme.example/vip"}}
      - {name: rest}"""
    more = "      variants: {plain: {}, short: {title: 'New: {{ name }}', body: ''}}"
    outcome = run(shop, shop.job(loop=write(shop, segments=segments, more=more)))
    assert outcome.verdicts["skip"] == {"missing_variable": 1}
    rows = {row["user_key"]: row for row in inbox(shop)}
    assert rows["1"]["title"] == "Only you"
    assert rows["1"]["link"] == "https://acme.example/vip"
    names = {row["user_key"]: row["variant"] for row in shop.sql("SELECT user_key, variant FROM skene.deliveries_v")}
    assert names["1"] is None
    for key, row in rows.items():
        if names[key] == "short":
            assert (row["title"], row["body"]) == (f"New: User {key}", "")
        elif names[key] == "plain":
            assert row["title"].startswith("Welcome")
    assert set(names.values()) == {None, "plain", "short"}


@pytest.mark.parametrize(
    ("value", "link"),
    [
        ("news/ä b", "/news/%C3%A4%20b"),
        ("/evil.example", None),
        ("\\evil.example", "/%5Cevil.example"),
    ],
)
def test_a_value_cannot_lead_out_of_the_app(shop: Shop, value: str, link: str | None) -> None:
    shop.dormant(1)
    shop.sql("UPDATE users SET name = %s", value)
    text = LOOP.format(condition="SELECT * FROM users", segments="", more="").replace(
        "/news?for={{ user.id }}", "/{{ user.name }}"
    )
    run(shop, shop.job(loop=shop.loop(text, "news")))
    assert [row["link"] for row in inbox(shop)] == ([link] if link else [])


@pytest.mark.parametrize(
    ("before", "after", "path", "code"),
    [
        ('"/news?for={{ user.id }}"', "http://acme.example", "steps[0].action.link", "SK316"),
        ('"/news?for={{ user.id }}"', '"javascript:alert({{ user.id }})"', "steps[0].action.link", "SK316"),
        ('"/news?for={{ user.id }}"', "//evil.example", "steps[0].action.link", "SK316"),
        ('"Welcome back, {{ name }}"', '"{{ nmae }}"', "steps[0].action.title", "SK311"),
        ('"Welcome back, {{ name }}"', '"{{ unsubscribe_url }}"', "steps[0].action.title", "SK311"),
        ('"Welcome back, {{ name }}"', '"{{ name"', "steps[0].action.title", "SK310"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(shop: Shop, before: str, after: str, path: str, code: str) -> None:
    text = LOOP.format(condition="SELECT * FROM users", segments="", more="").replace(before, after)
    faults = check_templates(shop.loop(text, "news"))
    assert [(fault.path, fault.code) for fault in faults] == [(path, code)]


def test_keys_of_mail_have_no_place_in_a_message(shop: Shop) -> None:
    segments = '    segments: [{name: a, action: {template: x, variants: {b: {subject: "y"}}}}]'
    faults = check_templates(write(shop, segments=segments))
    where = "steps[0].segments[0].action"
    assert [fault.path for fault in faults] == [f"{where}.template", f"{where}.variants.b.subject"]
    text = LOOP.format(condition="SELECT * FROM users", segments="", more="      template: hello")
    (shop.folder / "news.yaml").write_text(text)
    assert "template: unknown key" in str(load_loop(shop.folder / "news.yaml"))


def test_redirected_deployments_put_nothing_before_anybody(shop: Shop) -> None:
    shop.dormant(2)
    job = shop.job(loop=write(shop), settings=replace(SETTINGS, max_mode=Mode.REDIRECT, redirect_to="a@acme.example"))
    assert run(shop, job).mode == "shadow"
    assert inbox(shop) == []


def test_reading_is_opening_and_the_app_needs_no_right_to_the_ledger(shop: Shop) -> None:
    shop.dormant(2)
    run(shop, shop.job(loop=write(shop)))
    with psycopg.connect(shop.uri, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS skene_app_reader")
        conn.execute("CREATE ROLE skene_app_reader")
        conn.execute("GRANT USAGE ON SCHEMA skene TO skene_app_reader")
        conn.execute("GRANT SELECT, UPDATE (read_at) ON skene.inbox TO skene_app_reader")
        conn.execute("SET ROLE skene_app_reader")
        conn.execute("UPDATE skene.inbox SET read_at = now() WHERE user_key = '1'")
        conn.execute("RESET ROLE")
        conn.execute("DROP OWNED BY skene_app_reader; DROP ROLE skene_app_reader")
    opened = shop.sql("SELECT user_key FROM skene.deliveries_v WHERE opened_at IS NOT NULL")
    assert opened == [{"user_key": "1"}]


def test_a_person_is_exported_and_forgotten(shop: Shop) -> None:
    shop.dormant(2)
    run(shop, shop.job(loop=write(shop)))
    assert [row["title"] for row in export(shop.ledger, "1", "tests")["inbox"]] == ["Welcome back, User 1"]
    forget(shop.ledger, "1", "tests")
    assert [row["user_key"] for row in inbox(shop)] == ["2"]
    assert export(shop.ledger, "1", "tests")["inbox"] == []


def test_on_sent_and_stop_hold_for_messages_too(shop: Shop) -> None:
    shop.dormant(2)
    mark = "    on_sent: UPDATE users u SET re_engagement_sent = true FROM sent WHERE u.id = sent.id"
    job = shop.job(loop=write(shop, more=mark))
    evaluate(job)
    segment(job, None)
    control.stop(shop.ledger, "news", "tests")
    assert Putter(job).run().sent == 0
    assert shop.statuses() == {"cancelled": 2}
    control.start(shop.ledger, "news", "tests")
    run(shop, shop.job(loop=write(shop, more=mark)))
    assert shop.sql("SELECT bool_and(re_engagement_sent) AS sent FROM users") == [{"sent": True}]


def test_upkeep_puts_what_is_left_and_deletes_what_is_old(shop: Shop) -> None:
    shop.dormant(2)
    job = shop.job(loop=write(shop))
    evaluate(job)
    segment(job, None)
    assert upkeep(shop.ledger, shop.settings, [job], lambda _: nullcontext()).sent == 2
    shop.sql("UPDATE skene.inbox SET created_at = now() - interval '31 days' WHERE user_key = '1'")
    upkeep(shop.ledger, shop.settings, [job], lambda _: nullcontext())
    assert [row["user_key"] for row in inbox(shop)] == ["2"]
    assert run(shop, shop.job(loop=write(shop))).verdicts["skip"] == {"already_entered": 2}
