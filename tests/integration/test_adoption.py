"""`skene.adoption_v`: of those who entered in a week, who reached the goal, and after which step."""

from __future__ import annotations

from dataclasses import replace

from skene_airflow.channels import Channel
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.patterns import scaffold
from skene_airflow.loop.schema import Loop
from skene_airflow.stages.goals import Asked, look_for_goals
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop

_RUN = (
    "INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at, loop_version)"
    " VALUES ('reports', 'main', 'r', 'scheduled', 'live', now(), now(), 'v') RETURNING run_no"
)
_DELIVERY = (
    "INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, pos,"
    " address_hmac, queued_at, sent_at, batch_id) VALUES ('reports', %s, %s, '', %s, %s, 'all', %s, 1, '', %s, %s, %s)"
)
_GOAL = (
    "INSERT INTO skene.goals (loop_id, step_id, user_key, entry_key, since, at)"
    " VALUES ('reports', %s, %s, '', '2026-11-02', %s)"
)


def test_who_adopted_by_which_step(shop: Shop) -> None:
    shop.ledger.migrate()
    assert shop.sql("SELECT * FROM skene.adoption_v") == []
    run_no = shop.sql(_RUN)[0]["run_no"]

    def mailed(step: str, user: str, day: str, status: str = "sent", mode: str = "live") -> None:
        sent = status == "sent"
        shop.sql(_DELIVERY, step, user, run_no, mode, status, day, day if sent else None, 1 if sent else None)

    # The week of Monday 2: four who entered, of whom two adopted after one step each, one held out, one not at all.
    mailed("discover", "a", "2026-11-02")
    mailed("discover", "b", "2026-11-03")
    mailed("advanced", "b", "2026-11-10")
    mailed("discover", "c", "2026-11-08 23:59:59Z", "held_out")
    mailed("discover", "d", "2026-11-04")
    # The next week; and what counts for nothing.
    mailed("discover", "e", "2026-11-09 00:00:00Z")
    mailed("discover", "f", "2026-11-04", mode="redirect")
    assert shop.sql("SELECT * FROM skene.adoption_v") == []  # nobody has looked at a goal yet
    shop.sql("INSERT INTO skene.goal_looks VALUES ('reports', 'r', now(), now(), 0)")
    for step, user, at in [
        ("discover", "a", "2026-11-05"),
        ("discover", "b", "2026-11-11"),
        ("advanced", "b", "2026-11-11"),
        ("discover", "c", "2026-11-12"),
    ]:
        shop.sql(_GOAL, step, user, at)
    rows = shop.sql("SELECT feature, week::text, eligible, adopted, reached_by FROM skene.adoption_v ORDER BY week")
    assert [tuple(row.values()) for row in rows] == [
        ("reports", "2026-11-02", 4, 3, {"discover": 1, "advanced": 1, "held_out": 1}),
        ("reports", "2026-11-09", 1, 0, {}),
    ]


def test_the_loop_that_new_writes_tracks_adoption(shop: Shop, server: ResendServer, resend: Channel) -> None:
    shop.sql("ALTER TABLE users ADD created_at timestamptz DEFAULT now() - interval '30 days'")
    shop.sql("CREATE TABLE events (user_id bigint, name text, created_at timestamptz)")
    shop.dormant(40)
    shop.sql("INSERT INTO events VALUES (1, 'report_exported', now())")  # knows it already
    for path, text in scaffold("adoption", "reports").items():
        (shop.folder / path).parent.mkdir(exist_ok=True)
        (shop.folder / path).write_text(text, encoding="utf-8")
    loop = load_loop(shop.folder / "reports.yaml")
    assert isinstance(loop, Loop), str(loop)
    first = shop.run(resend, shop.job(loop=loop))
    held = first.statuses["held_out"]
    assert first.statuses == {"sent": 39 - held, "held_out": held}
    mailed_to = {row["user_key"] for row in shop.sql("SELECT user_key FROM skene.deliveries_v WHERE status = 'sent'")}
    adopters = sorted(mailed_to, key=int)[:5]
    shop.sql("UPDATE skene.deliveries SET sent_at = sent_at - interval '8 days' WHERE status = 'sent'")
    for key in adopters:
        shop.sql("INSERT INTO events VALUES (%s, 'report_exported', now())", int(key))
    second = replace(shop.job(loop=loop), step=loop.steps[1])
    outcome = shop.run(resend, second)
    assert outcome.statuses == {"sent": 5}
    subjects = [(mail.mail or {})["subject"] for mail in server.accepted]
    assert sum("You have exported a report" in subject for subject in subjects) == 5
    look_for_goals(loop, Asked(shop.connect, shop.ledger))  # as skene_upkeep does every hour
    rows = shop.sql(
        "SELECT feature, sum(eligible) AS eligible, sum(adopted) AS adopted FROM skene.adoption_v GROUP BY 1"
    )
    assert rows == [{"feature": "reports", "eligible": 39, "adopted": 5}]
    assert shop.sql("SELECT reached_by FROM skene.adoption_v WHERE adopted > 0") == [{"reached_by": {"discover": 5}}]
