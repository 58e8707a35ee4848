"""The promise's four pillars, taken away one at a time: a test by name must fall over each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.channels.resend import ResendChannel
from skene_airflow.errors import SkeneError
from skene_airflow.ledger import Ledger, batches
from skene_airflow.testing import ResendServer
from tests.faults import test_orphans
from tests.integration.shop import Shop

Test = Callable[[Shop, ResendServer, Channel], None]


@dataclass(frozen=True)
class Edit:
    """A change of our own SQL: in the statement ``name``, ``old`` becomes ``new``."""

    name: str
    old: str
    new: str

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it, in every ledger of this process."""
        real = Ledger.sql

        def sql(ledger: Ledger, room: str, name: str) -> str:
            text = real(ledger, room, name)
            if name != self.name:
                return text
            assert self.old in text, f"{self.name} says it in other words now"
            return text.replace(self.old, self.new)

        monkeypatch.setattr(Ledger, "sql", sql)


def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go out without the Idempotency-Key."""
    real = ResendChannel._call

    def call(self: ResendChannel, method: str, path: str, body: bytes = b"", headers: Any = None) -> Any:
        return real(self, method, path, body, {})

    monkeypatch.setattr(ResendChannel, "_call", call)


def no_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call renders its batch again."""
    monkeypatch.setattr(batches.Picked, "must_freeze", property(lambda _: True))


def forgotten_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that ran out counts as if nobody had called."""
    Edit("pick", "p.in_doubt OR p.status = 'sending' AS in_doubt", "p.in_doubt").apply(monkeypatch)
    Edit("pick", "p.frozen_at < clock_timestamp() - interval '15 minutes'", "true").apply(monkeypatch)


def no_on_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim inserts, and nothing else."""
    real = Ledger.sql

    def sql(ledger: Ledger, room: str, name: str) -> str:
        text = real(ledger, room, name)
        return re.sub(r"ON CONFLICT .*?(?=RETURNING)", "", text, flags=re.DOTALL) if name == "claim" else text

    monkeypatch.setattr(Ledger, "sql", sql)


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Test]] = {
    "no key": (no_key, test_orphans.test_an_orphan_beside_its_retry_doubles_nothing),
    "no freeze": (no_freeze, test_orphans.test_the_bytes_of_a_call_in_doubt_stay_whatever_happens_meanwhile),
    "no lease token when settling": (
        Edit("settle_sent", "AND lease_token = %(lease_token)s", "").apply,
        test_orphans.test_an_orphan_whose_call_comes_first_settles_nothing_twice,
    ),
    "no respect for a running lease": (
        Edit("pick", "OR b.lease_until < clock_timestamp()", "OR true").apply,
        test_orphans.test_a_batch_under_a_lease_is_left_alone,
    ),
    "no doubt about a lease that ran out": (
        forgotten_doubt,
        test_orphans.test_an_orphan_beside_its_retry_doubles_nothing,
    ),
    "no ON CONFLICT": (no_on_conflict, test_orphans.test_what_was_cancelled_is_claimed_by_the_next_run),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_mutant_is_caught(
    shop: Shop, server: ResendServer, resend: Channel, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    mutate, test = MUTANTS[mutant]
    mutate(monkeypatch)
    with pytest.raises((AssertionError, SkeneError)):
        test(shop, server, resend)
