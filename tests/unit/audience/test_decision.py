"""The gates as one SELECT: each reason in its order, on a real PostgreSQL, with no row read by Python."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from skene_airflow.audience.decision import Arm, Rules, decision
from skene_airflow.audience.gates import ADDRESS, GATES, PLAIN_ADDRESS
from skene_airflow.ledger import Ledger
from skene_airflow.loop.fields import RateValue
from skene_airflow.message.address import one_address
from skene_airflow.nouns import Mode, Reason

Connection = psycopg.Connection[dict[str, Any]]
KEY = b"an address key of 32 random bytes"
NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=1)

RULES = Rules(
    loop_ids=("l",),
    step_ids=("main",),
    topic="marketing",
    transactional=False,
    mode=Mode.LIVE,
    now=NOW,
    expires_at=SOON,
    address_key=KEY,
)


@pytest.fixture
def conn(connect: Callable[[], psycopg.Connection[Any]]) -> Iterator[Connection]:
    with closing(Ledger(connect)) as ledger:
        ledger.migrate()
    with connect() as conn:
        conn.row_factory = dict_row
        conn.execute("CREATE TABLE skene.stage_1 (LIKE skene.stage)")
        yield conn


def stage(
    conn: Connection,
    *people: tuple[str | None, str | None] | tuple[str | None, str | None, dict[str, Any]],
    **facts: object,
) -> None:
    """Stage people as (key, address) or (key, address, values); ``facts`` are further columns, the same for all."""
    row = {"entry_key": "", "segment": "all", "exited": False, **facts}
    for n, (key, address, *rest) in enumerate(people, 1 + count(conn)):
        whole = {"n": n, "user_key": key, "address": address, "vars": json.dumps(rest[0] if rest else {}), **row}
        names, marks = ", ".join(whole), ", ".join(f"%({name})s" for name in whole)
        conn.execute(f"INSERT INTO skene.stage_1 ({names}) VALUES ({marks})", whole)


def count(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) AS n FROM skene.stage_1").fetchone()
    return int(row["n"]) if row else 0


def judge(conn: Connection, **changes: Any) -> dict[str | None, str | None]:
    rows = decide(conn, **changes)
    assert all((row["verdict"] == "skip") == (row["reason"] is not None) for row in rows)
    return {row["user_key"]: row["reason"] for row in rows}


def decide(conn: Connection, *, required: list[str] | None = None, **changes: Any) -> list[dict[str, Any]]:
    rules = replace(RULES, contents=(Arm("all", required=required or ()),), **changes)
    return conn.execute(decision("skene", "skene.stage_1", rules), rules.params()).fetchall()


def hidden(address: str) -> bytes:
    return hmac.new(KEY, address.encode(), hashlib.sha256).digest()


def deliver(conn: Connection, user: str, status: str, address: str = "x@example.com") -> None:
    conn.execute(
        "INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, batch_id,"
        " pos, address_hmac) VALUES ('l', 'main', %s, '', 9, 'live', 'all', %s, 1, 1, %s)",
        [user, status, hidden(address)],
    )


def test_everybody_good_is_sent(conn: Connection) -> None:
    stage(conn, ("1", "a@example.com"), ("2", "b@example.com"))
    assert judge(conn) == {"1": None, "2": None}


def test_the_hmac_is_the_standard_one_over_the_trimmed_ascii_lower_case(conn: Connection) -> None:
    stage(conn, ("1", "  ADA@Example.com\n"))
    [row] = decide(conn)
    assert row["address_hmac"] == hidden("ada@example.com")


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        " ",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "a@x.com, b@x.com",
        "Ada <ada@example.com>",
        "ada @example.com",
        "ada@exa mple.com",
        "ada@example..com",
        ".ada@example.com",
        "ada.@example.com",
        "ada@-example.com",
        "ada@example.com\r\nBcc: b@example.com",
        "ada@example.com;b@example.com",
        "ada@example.com.",
        "ada@localhost",
        "ada@10.0.0.1",
        "a" * 65 + "@example.com",
        "a@" + "b" * 260 + ".com",
        '"ada"@example.com',
        "ädä@example.com",
    ],
)
def test_addresses_that_are_not_one_addr_spec(conn: Connection, address: str | None) -> None:
    stage(conn, ("1", address))
    assert judge(conn) == {"1": "invalid_address"}


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com",
        "a.d+a@sub.example.co",
        "o'hara@example.com",
        "1@2.example",
        "ada@bücher.example",
    ],
)
def test_addresses_that_are(conn: Connection, address: str) -> None:
    stage(conn, ("1", address))
    assert judge(conn) == {"1": None}


def test_missing_key(conn: Connection) -> None:
    stage(conn, (None, "a@example.com"), ("", "b@example.com"), ("3", "c@example.com"))
    assert judge(conn) == {None: "missing_key", "": "missing_key", "3": None}


@pytest.mark.parametrize("status", ["queued", "sent", "failed", "uncertain", "abandoned"])
def test_an_entry_that_holds(conn: Connection, status: str) -> None:
    if status == "sent":
        deliver(conn, "1", "queued")
        conn.execute("UPDATE skene.deliveries SET status = 'sent', sent_at = now()")
    else:
        deliver(conn, "1", status)
    stage(conn, ("1", "a@example.com"))
    assert judge(conn) == {"1": "already_entered"}


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_an_entry_given_back(conn: Connection, status: str) -> None:
    deliver(conn, "1", status)
    stage(conn, ("1", "a@example.com"))
    assert judge(conn) == {"1": None}


def test_late(conn: Connection) -> None:
    deliver(conn, "1", "failed")
    stage(conn, ("1", "a@example.com"), ("2", "b@example.com"))
    past = NOW - timedelta(seconds=1)
    assert judge(conn, expires_at=past) == {"1": "already_entered", "2": "expired"}


def test_the_first_row_of_a_person_wins(conn: Connection) -> None:
    stage(conn, ("1", "first@example.com"), ("1", "second@example.com"), ("2", "b@example.com"))
    found = {row["user_key"]: row["address_hmac"] for row in decide(conn)}
    assert found == {"1": hidden("first@example.com"), "2": hidden("b@example.com")}


def test_two_people_with_one_mailbox(conn: Connection) -> None:
    stage(conn, ("1", "Info@example.com"), ("2", "info@EXAMPLE.com "), ("3", "other@example.com"))
    assert judge(conn) == {"1": None, "2": "duplicate_address", "3": None}


def test_a_skipped_person_does_not_hold_the_mailbox(conn: Connection) -> None:
    stage(conn, ("1", "info@example.com", {"name": None}), ("2", "info@example.com", {"name": "Ada"}))
    assert judge(conn, required=["name"], types={"name": "text"}) == {"1": "missing_variable", "2": None}


def test_somebody_with_this_mailbox_was_mailed_before(conn: Connection) -> None:
    deliver(conn, "1", "failed", "info@example.com")
    deliver(conn, "5", "expired", "free@example.com")
    stage(conn, ("2", "info@example.com"), ("3", "free@example.com"))
    assert judge(conn) == {"2": "duplicate_address", "3": None}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "infinity", "-infinity"])
def test_values_that_cannot_be_printed_are_missing_unless_they_are_words(conn: Connection, value: str) -> None:
    stage(conn, ("1", "a@example.com", {"x": value}))
    assert judge(conn, required=["x"], types={"x": "numeric"}) == {"1": "missing_variable"}
    assert judge(conn, required=["x"], types={"x": "text"}) == {"1": None}


SUPPRESS = (
    "INSERT INTO skene.suppressions (address_hmac, user_key, scope, reason, source) VALUES (%s, %s, %s, %s, 'test')"
)


@pytest.mark.parametrize(
    ("scope", "why", "marketing", "transactional"),
    [
        ("all", "bounced", "suppressed", "suppressed"),
        ("all", "manual", "suppressed", "suppressed"),
        ("marketing", "complained", "suppressed", "suppressed"),
        ("marketing", "manual", "suppressed", None),
        ("marketing", "unsubscribed", "unsubscribed", None),
        ("topic:marketing", "unsubscribed", "unsubscribed", None),
        ("topic:news", "unsubscribed", None, None),
        ("all", "unsubscribed", "unsubscribed", None),
    ],
)
@pytest.mark.parametrize("by", ["address", "person"])
def test_suppressions(
    conn: Connection, scope: str, why: str, marketing: str | None, transactional: str | None, by: str
) -> None:
    who = [hidden("a@example.com"), None] if by == "address" else [None, "1"]
    conn.execute(SUPPRESS, [*who, scope, why])
    stage(conn, ("1", "A@example.com"), ("2", "b@example.com"))
    assert judge(conn) == {"1": marketing, "2": None}
    assert judge(conn, transactional=True) == {"1": transactional, "2": None}


def test_a_redirected_entry_counts_for_nothing_else(conn: Connection) -> None:
    stage(conn, ("1", "a@example.com"))
    [row] = decide(conn, mode=Mode.REDIRECT)
    assert row["entry_key"] == "redirect:"
    deliver(conn, "1", "failed")
    assert judge(conn, mode=Mode.REDIRECT) == {"1": None}
    assert judge(conn) == {"1": "already_entered"}


PARTS = st.text(alphabet="ab.-_+' 1@\"<>,;:ü\u202e\n", max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.builds("{}@{}.{}".format, PARTS, PARTS, PARTS), min_size=40, max_size=40))
def test_the_gate_lets_nothing_pass_that_the_renderer_would_refuse(conn: Connection, addresses: list[str]) -> None:
    conn.execute("DELETE FROM skene.stage_1")
    stage(conn, *((str(n), address) for n, address in enumerate(addresses)))
    for key, reason in judge(conn).items():
        if reason == "invalid_address":
            continue
        one_address(addresses[int(key or 0)].strip(" \t\r\n"))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.builds("{}@{}.{}".format, PARTS, PARTS, PARTS), min_size=40, max_size=40))
def test_the_fast_look_at_an_address_lets_nothing_pass_that_the_slow_one_refuses(
    conn: Connection, addresses: list[str]
) -> None:
    query = (
        "SELECT a FROM unnest(%(all)s::text[]) AS t (a) WHERE length(a) <= 64 AND a ~ %(fast)s AND (a !~ %(slow)s"
        " OR length(a) > 254 OR position('@' IN a) > 65)"
    )
    odd = ["a@b--c.de", "a@-b.de", "a@b.1", "a_@x.io", "A+b@c.d-e.org", f"a@{'b' * 63}.de", f"{'a' * 60}@b.de"]
    facts = {"all": [*addresses, *odd], "fast": PLAIN_ADDRESS, "slow": ADDRESS}
    assert conn.execute(query, facts).fetchall() == []
    plain = "SELECT 'Ada.L+1@mail.example.com' ~ %s AS is_fast"
    assert conn.execute(plain, [PLAIN_ADDRESS]).fetchone() == {"is_fast": True}


def test_every_gate_says_what_it_thinks_of_one_person(conn: Connection) -> None:
    conn.execute(SUPPRESS, [None, "1", "all", "bounced"])
    stage(conn, ("1", "not an address", {"name": None}), segment=None, exited=True)
    rules = replace(RULES, consent=True, contents=(Arm("all", required=("name",)),))
    [row] = conn.execute(decision("skene", "skene.stage_1", rules, explain=True), rules.params()).fetchall()
    assert row["reason"] == "exited"
    skips = {gate for gate, verdict in row["gates"].items() if verdict}
    assert skips == {"exited", "no_segment", "no_consent", "invalid_address", "suppressed"}
    assert list(row["gates"].values()).count(False) == len(GATES) - len(skips)


def test_the_stage_may_be_a_cte_of_the_caller(conn: Connection) -> None:
    stage(conn, ("1", "a@example.com"), ("1", "b@example.com"), ("2", "bad"))
    query = f"WITH staged AS (SELECT * FROM skene.stage_1) SELECT * FROM ({decision('skene', 'staged', RULES)}) d"
    rows = conn.execute(query, RULES.params()).fetchall()
    assert {row["user_key"]: row["reason"] for row in rows} == {"1": None, "2": "invalid_address"}


def test_a_key_of_any_length_blocks_nobody_else(conn: Connection) -> None:
    stage(conn, ("x" * 1001, "a@example.com"), ("y" * 1000, "b@example.com"))
    assert judge(conn) == {"x" * 1001: "missing_key", "y" * 1000: None}


def test_what_a_brake_holds(conn: Connection) -> None:
    stage(conn, ("1", "a@example.com"), ("2", "bad"))
    assert judge(conn, held=Reason.HELD) == {"1": "held", "2": "invalid_address"}


def test_a_goal_reached_long_ago_keeps_nobody_out(conn: Connection) -> None:
    stage(conn, ("1", "a@example.com"), goal_at=NOW - timedelta(days=13))
    stage(conn, ("2", "b@example.com"), goal_at=NOW - timedelta(days=15))
    stage(conn, ("3", "c@example.com"))
    assert judge(conn, goal_within=timedelta(days=14)) == {"1": "exited", "2": None, "3": None}


def test_a_run_decides_the_same_whatever_order_its_rows_lie_in(conn: Connection) -> None:
    for n in range(60):
        address = None if n % 7 == 0 else f"user{n // 2 if n % 5 == 0 else n}@example.com"
        stage(conn, (str(n % 50), address), segment="all" if n % 11 else None)
    facts: dict[str, Any] = {"holdout": 0.2, "sample": 0.9, "cap": RateValue(count=1, window=timedelta(days=1))}
    first = {row["n"]: (row["verdict"], row["reason"]) for row in decide(conn, **facts)}
    conn.execute("CREATE TABLE again AS TABLE skene.stage_1")
    conn.execute("TRUNCATE skene.stage_1")
    conn.execute("INSERT INTO skene.stage_1 SELECT * FROM again ORDER BY n DESC")
    assert {row["n"]: (row["verdict"], row["reason"]) for row in decide(conn, **facts)} == first
    assert len(first) == 50


@pytest.mark.parametrize("every", [None, timedelta(days=30)])
def test_a_cap_counts_nobody_together_who_has_no_address_and_needs_none(
    conn: Connection, every: timedelta | None
) -> None:
    for entry in ("a", "b") if every is None else ("a",):
        stage(conn, ("1", None), ("2", None), ("3", None), entry_key=entry)
    found = decide(conn, addressed=False, several=True, every=every, cap=RateValue(count=1, window=timedelta(days=7)))
    capped = [row["user_key"] for row in found if row["reason"] == "frequency_capped"]
    assert sorted(capped) == ([] if every else ["1", "2", "3"])
