"""Hypothesis plays the world against the real ledger: runs, senders that die, a provider that forgets after a day."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import AccountError
from skene_airflow.ledger import batches, control
from skene_airflow.ledger.batches import Lease
from skene_airflow.loop.schema import Loop
from skene_airflow.nouns import Answer, Mode, SendResult
from skene_airflow.stages.send import Sender
from tests.faults.virtual import Virtual
from tests.faults.worlds import TORTURE, scaled
from tests.integration.shop import Shop

STEPS = 60
DAY = 86_400.0
WAYS = st.sampled_from(["ok", "lost", "doubt", "cut", "later", "account", "died"])
FINAL = {"sent", "failed", "abandoned", "uncertain", "held_out", "existing"}


@dataclass
class Provider:
    """What Resend promises, as a dict: one answer for each key, for a day. Its log is the oracle."""

    virtual: Virtual
    bad: set[str] = field(default_factory=set)
    kept: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    log: Counter[str] = field(default_factory=Counter)

    def post(self, body: bytes, key: str) -> SendResult:
        """Take a call, or answer it as before."""
        body_before, at = self.kept.get(key, (b"", 0.0))
        people = [mail["to"][0].partition("@")[0].removeprefix("user") for mail in json.loads(body)]
        if body_before and self.virtual.now - at < DAY:
            assert body_before == body, "one key, one body"
        elif self.bad & set(people):
            return SendResult(Answer.BAD_LOT, error="validation_error")
        else:
            self.kept[key] = (body, self.virtual.now)
            self.log.update(people)
        return SendResult(Answer.ACCEPTED, tuple(f"id-{person}" for person in people))


class World(RuleBasedStateMachine):
    """One loop, its people and its provider; ``held`` are senders between their lease and their call."""

    shop: Shop
    conn: psycopg.Connection[dict[str, Any]]
    channel: Channel
    loop: Loop

    @initialize()
    def empty(self) -> None:
        """Nobody and nothing."""
        self.conn.execute(
            "TRUNCATE skene.deliveries, skene.batches, skene.decisions, skene.runs, skene.suppressions, skene.stops,"
            " users"
        )
        self.virtual = Virtual(self.conn)
        self.provider = Provider(self.virtual)
        self.people, self.suppressed, self.seen = 0, set[str](), set[str]()
        self.held: list[tuple[Lease, float]] = []
        self.final: dict[int, tuple[str, int]] = {}

    def rows(self, text: str) -> list[dict[str, Any]]:
        return self.conn.execute(text).fetchall()

    def sender(self) -> Sender:
        job = self.shop.job(loop=self.loop)
        return Sender(job, 0, self.channel, sleep=self.virtual.sleep, clock=self.virtual.clock)

    @rule(number=st.integers(1, 3), bad=st.booleans())
    def people_come(self, number: int, bad: bool) -> None:
        self.shop.dormant(number, first=self.people + 1)
        self.people += number
        if bad:
            self.provider.bad.add(str(self.people))

    @rule()
    def a_run_claims(self) -> None:
        self.shop.decide(self.channel, self.shop.job(loop=self.loop))

    @rule()
    def somebody_leases(self) -> None:
        held = self.lease()
        if held is not None:
            self.held.append((held, self.virtual.now))

    @rule(how=WAYS)
    def somebody_sends(self, how: str) -> None:
        held = self.lease()
        if held is not None:
            self.call(held, how)

    @rule(how=st.sampled_from(["cut", "doubt", "lost", "died"]), seconds=st.sampled_from([130.0, 1_000.0, 90_000.0]))
    def somebody_is_cut_off_for_long(self, how: str, seconds: float) -> None:
        self.somebody_sends(how)
        self.virtual.sleep(seconds)

    def lease(self) -> Lease | None:
        sender = self.sender()
        held = sender._freezer.next(sender._lane(Mode.LIVE))
        if held is None:
            return None
        if held.idem_key not in self.seen:
            mailed = {mail["to"][0].partition("@")[0].removeprefix("user") for mail in json.loads(held.body)}
            assert not mailed & self.suppressed, "asked again at the freeze"
        self.seen.add(held.idem_key)
        return held

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=WAYS)
    def somebody_calls(self, data: st.DataObject, how: str) -> None:
        held, since = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if self.virtual.now == since or batches.renew(self.shop.ledger, held):
            self.call(held, how)

    def call(self, held: Lease, how: str) -> None:
        if how == "died":
            return
        result = {
            "later": SendResult(Answer.LATER, error="rate_limit_exceeded", retry_after=1.0),
            "account": SendResult(Answer.ACCOUNT, error="daily_quota_exceeded"),
            "doubt": SendResult(Answer.DOUBT, error="timeout"),
        }.get(how)
        if result is None:
            result = self.provider.post(held.body, held.idem_key)
        if how == "cut":  # it was taken, and the answer did not come back
            result = SendResult(Answer.DOUBT, error="connection_lost")
        if how != "lost":
            self.settle(held, result)

    def settle(self, held: Lease, result: SendResult) -> None:
        try:
            self.sender()._settle(held, result)
        except AccountError:
            assert result.answer is Answer.ACCOUNT

    def everybody_is_sent_to(self) -> None:
        sender = self.sender()
        while (held := sender._freezer.next(sender._lane(Mode.LIVE))) is not None:
            self.settle(held, self.provider.post(held.body, held.idem_key))

    @rule(seconds=st.sampled_from([5.0, 130.0, 1_000.0, 84_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.virtual.sleep(seconds)

    @precondition(lambda self: self.people)
    @rule(data=st.data())
    def somebody_is_suppressed(self, data: st.DataObject) -> None:
        person = str(data.draw(st.integers(1, self.people)))
        self.suppressed.add(person)
        self.conn.execute(
            "INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES (%s, 'all', 'manual', 'test')"
            " ON CONFLICT DO NOTHING",
            [person],
        )

    @rule(on=st.sampled_from([True, True, False]))
    def the_loop_is_stopped_or_started(self, on: bool) -> None:
        (control.start if on else control.stop)(self.shop.ledger, self.loop.id, "ada")

    @rule()
    def an_hour_of_upkeep(self) -> None:
        control.tidy(self.shop.ledger, {"resend": self.channel.window}, 30)

    @invariant()
    def nobody_is_mailed_twice(self) -> None:
        assert not [person for person, mails in self.provider.log.items() if mails > 1]

    @invariant()
    def the_ledger_says_what_happened(self) -> None:
        rows = self.rows(
            "SELECT d.delivery_id, d.user_key, d.status, d.run_no, b.status AS batch"
            " FROM skene.deliveries d LEFT JOIN skene.batches b USING (batch_id)"
        )
        for row in rows:
            status, number = row["status"], row["delivery_id"]
            assert status != "sent" or self.provider.log[row["user_key"]] == 1, "sent means taken"
            assert status not in {"failed", "cancelled", "expired"} or not self.provider.log[row["user_key"]]
            assert status != "queued" or row["batch"] in {"open", "sending"}, "a queued row has a batch that goes on"
            assert self.final.get(number, (status, 0))[0] == status, "what is final stays"
            if status in FINAL:
                self.final[number] = (status, row["run_no"])

    @invariant()
    def every_run_adds_up(self) -> None:
        uneven = self.rows(
            "SELECT run_id FROM skene.runs_v WHERE (verdicts ->> 'send')::bigint"
            " <> (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(statuses))"
        )
        assert not uneven

    def teardown(self) -> None:
        """In the end everybody who may be mailed was, or stands there as in doubt, failed or given back."""
        if not hasattr(self, "provider"):
            return
        control.start(self.shop.ledger, self.loop.id, "ada")
        self.virtual.sleep(130.0)
        self.everybody_is_sent_to()
        self.a_run_claims()  # whoever was late or stopped gave the entry back
        self.everybody_is_sent_to()
        self.nobody_is_mailed_twice()
        self.the_ledger_says_what_happened()
        self.every_run_adds_up()
        known = {row["user_key"]: row["status"] for row in self.rows("SELECT user_key, status FROM skene.deliveries")}
        for person in map(str, range(1, self.people + 1)):
            status = known.get(person)
            assert status in {"sent", "failed", "uncertain"} or person in self.suppressed, (person, status)
            assert status != "failed" or person in self.provider.bad


@pytest.mark.timeout(2400)
def test_the_ledger_in_a_world_of_accidents(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.ledger.migrate()
    channel = make_channel(ChannelConfig("resend", password="re_test"))
    channel.batch_size = 2  # type: ignore[misc]
    with psycopg.connect(shop.uri, autocommit=True, row_factory=dict_row) as conn:
        for name, value in {"shop": shop, "conn": conn, "channel": channel, "loop": shop.loop()}.items():
            monkeypatch.setattr(World, name, value, raising=False)
        run_state_machine_as_test(
            World,
            settings=settings(
                max_examples=scaled(8, 340),
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                derandomize=not TORTURE,
                phases=[Phase.generate],  # against a real database a smaller example takes longer than reading this one
                suppress_health_check=list(HealthCheck),
            ),
        )
