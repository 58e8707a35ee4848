"""The reference loop, verbatim, on a database of somebody else's making, through `airflow dags test`."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from tests.dags.deployment import Deployment

pytestmark = pytest.mark.timeout(400)

PEOPLE = 2_000
USERS = f"""
DROP TABLE users;
CREATE TYPE mood AS ENUM ('fine', 'tired');
CREATE TABLE users (
    "Plan ""A"" name" text, email varchar(254), id text PRIMARY KEY, "group" int DEFAULT 1, name text,
    attributes jsonb DEFAULT '{{"a": [1, null]}}', labels text[] DEFAULT '{{x,"y z"}}', mood mood DEFAULT 'tired',
    picture bytea DEFAULT '\\x0001ff', spent numeric(12, 2) DEFAULT 5.50, last_activity_at timestamp,
    re_engagement_sent boolean DEFAULT false, "createdAt" timestamptz DEFAULT now(), ratio float8 DEFAULT 'NaN'
);
INSERT INTO users (id, email, name, last_activity_at, re_engagement_sent, "Plan ""A"" name")
SELECT 'usr_' || md5(n::text), 'shopper' || n || '@example.com', CASE WHEN n % 10 <> 0 THEN 'Forename' || n END,
       now() - CASE WHEN n % 4 = 0 THEN interval '1 day' ELSE interval '8 days' END, n % 7 = 0, E'tab\\t"quote" \\\\'
FROM generate_series(1, {PEOPLE}) n;
"""
EXPECTED = Counter(f"shopper{n}@example.com" for n in range(1, PEOPLE + 1) if n % 4 and n % 7 and n % 10)
DECIDED = "SELECT user_key, verdict, reason FROM skene.decisions_v WHERE mode = '{}' ORDER BY user_key"


def test_everybody_who_is_expected_once_and_a_run_without_conf_decides_the_same(deployment: Deployment) -> None:
    with psycopg.connect(deployment.source) as conn:
        conn.execute(USERS.encode())
    by_hand = deployment.run("re_engagement")
    assert by_hand.returncode == 0, by_hand.stdout
    assert not deployment.resend.requests
    live = deployment.run("re_engagement", {"mode": "live"})
    assert live.returncode == 0, live.stdout
    assert Counter(mail.to for mail in deployment.resend.accepted) == EXPECTED
    assert len(deployment.states("re_engagement")) == 8, "the run, three tasks, and four senders"
    posts = [request for request in deployment.resend.requests if request.method == "POST"]
    assert len({request.headers["idempotency-key"] for request in posts}) == len(posts)
    shadow = deployment.ledger(DECIDED.format("shadow"))
    assert len(shadow) > len(EXPECTED)
    assert shadow == deployment.ledger(DECIDED.format("live"))
    written = deployment.everything_written()
    assert f"{len(EXPECTED)} claimed to get mail" in written
    assert "shopper" not in written
    assert "Forename" not in written
