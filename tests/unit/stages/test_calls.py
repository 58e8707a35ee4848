"""How many calls are on their way at once, and that their answers come back with their leases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from skene_airflow.channels import ChannelConfig
from skene_airflow.channels.resend import RateLimit, ResendChannel
from skene_airflow.ledger.batches import Lease
from skene_airflow.nouns import Answer, SendResult
from skene_airflow.stages.calls import Calls


def lease(number: int) -> Lease:
    return Lease(number, uuid4(), f"sk/a/b/{number}", b"[]", (number,), in_doubt=False)


class Scripted(ResendChannel):
    """Answers as told, and notes in which thread and how many at once."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        super().__init__(ChannelConfig("resend", password="re_test"))
        self.answer, self.threads, self.go_on = answer, list[str](), threading.Event()

    def send(self, body: bytes, idem_key: str) -> SendResult:
        self.threads.append(threading.current_thread().name)
        if len(self.threads) > 1:
            self.go_on.wait(20)
        return SendResult(self.answer(idem_key), (f"id of {idem_key}",))


def room(calls: Calls) -> bool:
    return calls.room


def accept(_: str) -> Answer:
    return Answer.ACCEPTED


def test_a_sender_begins_with_one_call_and_is_trusted_with_more() -> None:
    channel = Scripted(accept)
    calls = Calls(channel)
    calls.begin(lease(1))
    assert channel.threads == [threading.current_thread().name], "one call at a time needs no other thread"
    assert not room(calls)
    assert calls.answered(0.0) is not None
    assert calls.answered(0.0) is None
    for number in (2, 3):
        assert room(calls)
        calls.begin(lease(number))
    assert not room(calls)
    assert calls.answered(0.0) is None, "both wait for the provider"
    channel.go_on.set()
    answers = [calls.answered(None) for _ in range(2)]
    assert {(held.idem_key, result.message_ids[0]) for held, result in filter(None, answers)} == {
        ("sk/a/b/2", "id of sk/a/b/2"),
        ("sk/a/b/3", "id of sk/a/b/3"),
    }
    for number in range(4, 4 + channel.in_flight):
        assert room(calls)
        calls.begin(lease(number))
    assert not room(calls), "never more than the channel says"
    calls.close()


@pytest.mark.parametrize("answer", [answer for answer in Answer if answer is not Answer.ACCEPTED])
def test_any_trouble_leads_back_to_one_call(answer: Answer) -> None:
    channel = Scripted(lambda key: answer if key.endswith("/2") else Answer.ACCEPTED)
    channel.go_on.set()
    calls = Calls(channel)
    for number in (1, 2, 3):
        calls.begin(lease(number))
        assert calls.answered(None) is not None
        assert room(calls)
    assert [name == threading.current_thread().name for name in channel.threads] == [True, False, True]
    calls.close()


def test_no_more_calls_begin_than_the_account_has_left() -> None:
    channel = Scripted(accept)
    calls = Calls(channel)
    calls.begin(lease(1))
    assert calls.answered(None) is not None
    channel.rate_limit = RateLimit(limit=10.0, remaining=1.0, reset=1.0)
    calls.begin(lease(2))
    assert not room(calls)
    channel.rate_limit = RateLimit(limit=10.0, remaining=5.0, reset=1.0)
    assert room(calls)
    channel.go_on.set()
    calls.close()
