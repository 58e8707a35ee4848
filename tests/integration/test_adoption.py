"""`skene.adoption_v`: of those who entered in a week, who reached the goal, and after which step."""

from __future__ import annotations

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
