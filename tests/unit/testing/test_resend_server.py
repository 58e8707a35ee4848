"""The double is judged from outside: by the official SDK, and by plain HTTP where the SDK is too polite."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import resend
from resend.exceptions import ResendError

from skene_airflow.testing import FAULTS, Accepted, ResendServer, read_accepted

HEADERS = {"Authorization": "Bearer re_secret", "User-Agent": "test"}


def mail(number: int = 1, **changes: Any) -> resend.Emails.SendParams:
    usual: dict[str, Any] = {
        "from": "Ada <ada@acme.example>",
        "to": [f"user{number}@example.com"],
        "subject": "Hi",
        "html": "<p>Hi</p>",
        "tags": [{"name": "sk_delivery", "value": str(number)}],
    }
    sent: resend.Emails.SendParams = usual | changes  # type: ignore[assignment]
    return sent


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Callable[[ResendServer], None]:
    """Points the official SDK at a server."""

    def point(server: ResendServer) -> None:
        monkeypatch.setattr(resend, "api_url", server.url)
        monkeypatch.setattr(resend, "api_key", "re_secret")

    return point


@pytest.fixture
def server(sdk: Callable[[ResendServer], None]) -> Iterator[ResendServer]:
    with ResendServer() as running:
        sdk(running)
        yield running


def post(server: ResendServer, body: object, key: str | None = None, path: str = "/emails/batch") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = HEADERS | ({} if key is None else {"Idempotency-Key": key})
    return httpx.post(server.url + path, content=content, headers=headers)


def test_the_sdk_sends_one_mail(server: ResendServer) -> None:
    sent = resend.Emails.send(mail(7))
    assert [(row.id, row.to, row.delivery_id, row.idem_key) for row in server.accepted] == [
        (sent["id"], "user7@example.com", 7, "")
    ]


def test_the_sdk_sends_a_batch_whose_ids_keep_their_order(server: ResendServer) -> None:
    sent = resend.Batch.send([mail(number) for number in range(100)])
    assert [row.id for row in server.accepted] == [each["id"] for each in sent["data"]]
    assert [row.delivery_id for row in server.accepted] == list(range(100))


def test_the_sdk_finds_a_mail_again(server: ResendServer) -> None:
    sent = resend.Emails.send(mail(7))
    assert resend.Emails.get(sent["id"])["subject"] == "Hi"


def test_the_same_key_and_payload_is_the_same_answer_and_no_second_mail(server: ResendServer) -> None:
    first, again = (resend.Batch.send([mail(1), mail(2)], {"idempotency_key": "k"}) for _ in range(2))
    assert first["data"] == again["data"]
    assert len(server.accepted) == 2


def test_without_a_key_everything_is_sent_again(server: ResendServer) -> None:
    resend.Emails.send(mail())
    resend.Emails.send(mail())
    assert len(server.accepted) == 2


def test_the_same_key_with_another_payload_is_refused(server: ResendServer) -> None:
    resend.Batch.send([mail(1)], {"idempotency_key": "k"})
    with pytest.raises(ResendError) as caught:
        resend.Batch.send([mail(2)], {"idempotency_key": "k"})
    assert (caught.value.code, caught.value.error_type) == (409, "invalid_idempotent_request")
    assert len(server.accepted) == 1


def test_a_key_belongs_to_one_endpoint(server: ResendServer) -> None:
    resend.Batch.send([mail(1)], {"idempotency_key": "k"})
    resend.Emails.send(mail(1), {"idempotency_key": "k"})
    assert len(server.accepted) == 2


def test_a_key_lives_for_24_hours() -> None:
    now = [1_000_000.0]
    with ResendServer(clock=lambda: now[0]) as server:
        first = post(server, [mail()], "k").json()
        now[0] += 86_399
        assert post(server, [mail()], "k").json() == first
        now[0] += 1
        assert post(server, [mail()], "k").json() != first
        assert [row.at for row in server.accepted] == [1_000_000.0, 1_086_400.0]


def test_while_a_call_runs_its_key_is_busy() -> None:
    with ResendServer(latency=0.5) as server:
        first = threading.Thread(target=post, args=(server, [mail()], "k"))
        first.start()
        while not server.requests:
            time.sleep(0.01)
        busy = post(server, [mail()], "k")
        other = post(server, [mail(2)], "k")
        first.join()
        assert (busy.status_code, busy.json()["name"]) == (409, "concurrent_idempotent_requests")
        assert other.json()["name"] == "invalid_idempotent_request"
        assert post(server, [mail()], "k").status_code == 200
        assert len(server.accepted) == 1


@pytest.mark.parametrize(("compare", "status"), [("bytes", 409), ("json", 200)])
def test_both_ways_to_compare_payloads(compare: Any, status: int) -> None:
    with ResendServer(compare=compare) as server:
        post(server, json.dumps([mail()]).encode(), "k")
        assert post(server, json.dumps([mail()], indent=1).encode(), "k").status_code == status
        assert len(server.accepted) == 1


@pytest.mark.parametrize(("consume", "second"), [(False, 200), (True, 500)])
@pytest.mark.parametrize("fault", ["error_before", "error_after"])
def test_both_ways_to_treat_the_key_of_an_error(consume: bool, second: int, fault: str) -> None:
    with ResendServer(
        errors_consume_key=consume, faults=lambda request: fault if request.number == 1 else None
    ) as server:
        assert post(server, [mail()], "k").status_code == 500
        assert post(server, [mail()], "k").status_code == second
        assert len(server.accepted) == (0 if consume and fault == "error_before" else 1)


@pytest.mark.parametrize(("consume", "status"), [(False, 200), (True, 409)])
def test_both_ways_to_treat_the_key_of_a_refusal(consume: bool, status: int) -> None:
    with ResendServer(errors_consume_key=consume) as server:
        assert [post(server, [mail(to="nobody")], "k").status_code for _ in range(2)] == [422, 422]
        assert post(server, [mail()], "k").status_code == status


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault.accepts])
def test_what_was_taken_before_a_fault_is_answered_by_its_key(fault: str) -> None:
    plan = iter([fault])
    with ResendServer(faults=lambda _: next(plan, None), hang=0.1) as server:
        with suppress(httpx.TransportError):
            post(server, [mail(1), mail(2)], "k")
        assert len(server.accepted) == 2
        answer = post(server, [mail(1), mail(2)], "k").json()
        assert [entry["id"] for entry in answer["data"]] == [row.id for row in server.accepted]
        assert len(server.accepted) == 2


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if not fault.accepts])
def test_the_other_faults_take_nothing_and_leave_the_key_free(fault: str) -> None:
    plan = iter([fault])
    with ResendServer(faults=lambda _: next(plan, None), hang=0.1) as server:
        with suppress(httpx.TransportError):
            assert post(server, [mail()], "k").status_code >= 300
        assert server.accepted == []
        assert post(server, [mail(2)], "k").status_code == 200


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ([], "validation_error"),
        ([mail()] * 101, "validation_error"),
        (mail(), "validation_error"),
        (b"not json", "validation_error"),
        ([mail(), 7], "validation_error"),
        ([mail(attachments=[])], "invalid_attachment"),
        ([mail(to="nobody")], "validation_error"),
        ([mail(to=["a@b.example, c@d.example"])], "validation_error"),
        ([mail(to=["a@b"])], "validation_error"),
        ([mail(to=["ä@b.example"])], "validation_error"),
        ([mail(to=[])], "validation_error"),
        ([mail(to=["a@b.example"] * 51)], "validation_error"),
        ([mail(to=None)], "validation_error"),
        ([mail(reply_to="x")], "validation_error"),
        ([mail(subject=7)], "validation_error"),
        ([mail(headers={"X": 1})], "validation_error"),
        ([mail(headers={"X": "a\r\nBcc: b"})], "validation_error"),
        ([mail(tags=[{"name": "a b", "value": "c"}])], "validation_error"),
        ([mail(tags=[{"name": "a", "value": "ü"}])], "validation_error"),
        ([mail(tags=[{"name": "a", "value": "x" * 257}])], "validation_error"),
        ([mail(tags={"a": "b"})], "validation_error"),
        ([{key: value for key, value in mail().items() if key != "from"}], "missing_required_field"),
        ([{key: value for key, value in mail().items() if key != "subject"}], "missing_required_field"),
        ([{key: value for key, value in mail().items() if key != "html"}], "missing_required_field"),
        ([{key: value for key, value in mail().items() if key != "to"}], "missing_required_field"),
    ],
)
def test_a_bad_batch_is_refused_whole(server: ResendServer, body: object, name: str) -> None:
    whole = [mail(5), *body] if isinstance(body, list) and 0 < len(body) < 100 else body
    answer = post(server, whole)
    assert answer.status_code in {400, 422}
    assert answer.json()["name"] == name
    assert server.accepted == []


def test_the_sdk_reads_a_permissive_answer(server: ResendServer) -> None:
    sent = resend.Batch.send([mail(1), mail(2, to="nobody"), mail(3)], {"batch_validation": "permissive"})
    assert [error["index"] for error in sent["errors"]] == [1]
    assert [row.delivery_id for row in server.accepted] == [1, 3]
    assert len(sent["data"]) == 2


def test_one_mail_may_have_attachments(server: ResendServer) -> None:
    resend.Emails.send(mail(attachments=[{"filename": "a.txt", "content": "aGk="}]))
    assert len(server.accepted) == 1


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_a_key_has_a_length(server: ResendServer, key: str) -> None:
    answer = post(server, [mail()], key)
    assert (answer.status_code, answer.json()["name"]) == (400, "invalid_idempotency_key")
    assert post(server, [mail()], "k" * 256).status_code == 200


def test_strangers_are_turned_away() -> None:
    with ResendServer(api_key="re_secret") as server:
        without_agent = httpx.post(server.url + "/emails", headers={**HEADERS, "User-Agent": ""}, json=mail())
        without_key = httpx.post(server.url + "/emails", json=mail())
        wrong_key = httpx.post(server.url + "/emails", headers={"Authorization": "Bearer re_x"}, json=mail())
        assert (without_agent.status_code, without_key.status_code, wrong_key.status_code) == (403, 401, 403)
        assert without_agent.text == "error code: 1010"
        assert without_key.json()["name"] == "missing_api_key"
        assert wrong_key.json()["name"] == "invalid_api_key"
        assert server.accepted == []


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/emails", 405), ("GET", "/x", 404), ("PUT", "/", 404)])
def test_wrong_roads(server: ResendServer, method: str, path: str, status: int) -> None:
    assert httpx.request(method, server.url + path, headers=HEADERS).status_code == status


def test_the_rate_limit_counts_calls_in_fixed_seconds() -> None:
    now = [5.0]
    with ResendServer(rate_limit=2, clock=lambda: now[0]) as server:
        answers = [post(server, [mail()]) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[2].headers["retry-after"] == "1"
        assert answers[2].json()["name"] == "rate_limit_exceeded"
        now[0] = 6.0
        assert post(server, [mail()]).status_code == 200
        assert len(server.accepted) == 3


def test_other_processes_read_the_log(tmp_path: Path) -> None:
    log = tmp_path / "accepted.jsonl"
    with ResendServer(log=log) as server:
        post(server, [mail(1), mail(2)], "k")
        rows = read_accepted(log)
        assert [(row.id, row.idem_key, row.delivery_id) for row in rows] == [
            (row.id, "k", row.delivery_id) for row in server.accepted
        ]
    with log.open("a") as file:
        file.write('{"half')
    assert len(read_accepted(log)) == 2


def test_it_can_forget_contents() -> None:
    with ResendServer(keep=False) as server:
        post(server, [mail(1)])
        assert server.requests == []
        assert [(type(row), row.mail, row.to) for row in server.accepted] == [(Accepted, None, "user1@example.com")]


def test_an_open_connection_does_not_hold_it_back() -> None:
    client = httpx.Client(headers=HEADERS)
    with ResendServer() as server:
        client.post(server.url + "/emails/batch", json=[mail()])
        start = time.monotonic()
    assert time.monotonic() - start < 2
    with pytest.raises(httpx.TransportError):
        client.post(server.url + "/emails/batch", json=[mail()])
    client.close()
