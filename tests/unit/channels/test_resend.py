from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product

import pytest
import resend

from skene_airflow import __version__
from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.channels.resend import RateLimit, ResendChannel, base_url
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, Message, SendResult
from skene_airflow.testing import Reply, ResendServer
from skene_airflow.testing.resend_faults import json_reply, refusal


def message(number: int = 1) -> Message:
    return Message(
        delivery_id=number,
        message_key=f"{number:032x}",
        to=f"user{number}@example.com",
        sender="Ada at Acme <ada@acme.example>",
        subject="Zoë, we miss you",
        html="<p>Hi\n</p>",
        text="Hi",
        reply_to="hi@acme.example",
        headers=(("List-Unsubscribe", "<https://acme.example/u/t>"),),
        tags=(("sk_delivery", str(number)), ("sk_loop", "re_engagement")),
    )


def channel(url: str, **extra: object) -> ResendChannel:
    made = make_channel(ChannelConfig("resend", host=url, password="re_secret", extra=extra))
    assert isinstance(made, ResendChannel)
    return made


def answer_to(reply: Reply, messages: int = 2) -> SendResult:
    """What the channel makes of one answer."""
    with ResendServer(faults=lambda _: reply) as server, channel(server.url) as one:
        return one.send(one.freeze([message(number) for number in range(1, messages + 1)]), "sk/loop/main/1")


# Name, and the answer at each status; "*" is every other name, "" is no JSON at all.
DOCUMENTED = {
    (400, "validation_error"): Answer.BAD_LOT,
    (400, "invalid_idempotency_key"): Answer.ACCOUNT,
    (400, ""): Answer.ACCOUNT,
    (401, "missing_api_key"): Answer.ACCOUNT,
    (401, "restricted_api_key"): Answer.ACCOUNT,
    (401, ""): Answer.ACCOUNT,
    (402, ""): Answer.ACCOUNT,
    (403, "invalid_api_key"): Answer.ACCOUNT,
    (403, "suspended_api_key"): Answer.ACCOUNT,
    (403, "invalid_permission"): Answer.ACCOUNT,
    (403, "validation_error"): Answer.ACCOUNT,
    (403, ""): Answer.ACCOUNT,
    (404, "not_found"): Answer.ACCOUNT,
    (405, "method_not_allowed"): Answer.ACCOUNT,
    (408, ""): Answer.DOUBT,
    (409, "concurrent_idempotent_requests"): Answer.BUSY,
    (409, "resource_locked"): Answer.BUSY,
    (409, "invalid_idempotent_request"): Answer.MISMATCH,
    (409, "something_new"): Answer.DOUBT,
    (409, ""): Answer.DOUBT,
    (413, ""): Answer.BAD_LOT,
    (422, "validation_error"): Answer.BAD_LOT,
    (422, "missing_required_field"): Answer.BAD_LOT,
    (422, "invalid_attachment"): Answer.BAD_LOT,
    (422, "invalid_parameter"): Answer.BAD_LOT,
    (422, "missing_required_parameter"): Answer.BAD_LOT,
    (422, "something_new"): Answer.BAD_LOT,
    (422, ""): Answer.ACCOUNT,
    (429, "rate_limit_exceeded"): Answer.LATER,
    (429, "daily_quota_exceeded"): Answer.ACCOUNT,
    (429, "monthly_quota_exceeded"): Answer.ACCOUNT,
    (429, ""): Answer.LATER,
    (451, "something_new"): Answer.ACCOUNT,
    (500, "application_error"): Answer.DOUBT,
    (500, "internal_server_error"): Answer.DOUBT,
    (502, ""): Answer.DOUBT,
    (503, "service_unavailable"): Answer.DOUBT,
    (504, ""): Answer.DOUBT,
}


@pytest.mark.parametrize(("status", "name"), DOCUMENTED)
def test_each_documented_error_has_its_answer(status: int, name: str) -> None:
    reply = refusal(status, name, "Because.") if name else Reply(status, b"<html>", (("Content-Type", "text/html"),))
    result = answer_to(reply)
    assert result.answer is DOCUMENTED[status, name]
    assert result.error == name if name else result.error
    assert result.message_ids == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"ok"',
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":[{"id":"a"}]}',
        b'{"data":[{"id":"a"},{"id":"b"},{"id":"c"}]}',
        b'{"data":[{"id":"a"},{"id":7}]}',
        b'{"data":[{"id":"a"},{"id":""}]}',
        b'{"data":[{"id":"a"},"b"]}',
        b'{"data":[{"id":"a"},{}]}',
        b'{"data":[{"id":"a"},{"id":"b"}],"errors":[{"index":1}]}',
        b'{"data":[{"id":"a"},{"id":"b"',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_200_that_proves_nothing_is_doubt(content: bytes) -> None:
    assert answer_to(Reply(200, content)).answer is Answer.DOUBT


@pytest.mark.parametrize("status", [200, 201, 202])
def test_one_id_for_each_message_is_accepted(status: int) -> None:
    result = answer_to(json_reply(status, {"data": [{"id": "a"}, {"id": "b"}]}))
    assert result == SendResult(Answer.ACCEPTED, ("a", "b"))


def test_every_status_has_an_answer() -> None:
    for code, name in product(range(1000), ["", "ids", "connect", "validation_error", "something_new"]):
        assert any(rule.fits(code, name) for rule in ResendChannel.table)


@pytest.mark.parametrize(
    ("headers", "status", "seconds"),
    [
        ((("retry-after", "7"),), 429, 7.0),
        ((("retry-after", "0.5"), ("ratelimit-reset", "9")), 429, 0.5),
        ((("ratelimit-reset", "3"),), 429, 3.0),
        ((("ratelimit-reset", "3"),), 503, None),
        ((("retry-after", "12"),), 503, 12.0),
        ((("retry-after", "999999999"),), 429, 86_400.0),
        ((("retry-after", "-5"),), 429, None),
        ((("retry-after", "soon"),), 429, None),
        ((("retry-after", "Tue, 24 Nov 2020 12:00:00 GMT"),), 429, 0.0),
        ((), 429, None),
    ],
)
def test_it_hears_how_long_to_wait(headers: tuple[tuple[str, str], ...], status: int, seconds: float | None) -> None:
    assert answer_to(refusal(status, "some_error", "Wait.", headers)).retry_after == seconds


def test_a_date_to_wait_for_becomes_seconds() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    seconds = answer_to(refusal(429, "rate_limit_exceeded", "Wait.", (("retry-after", date),))).retry_after
    assert seconds is not None
    assert 80 < seconds <= 90


def test_it_remembers_the_last_rate_limit_it_was_told() -> None:
    with ResendServer(rate_limit=10, clock=lambda: 1000.0) as server, channel(server.url) as one:
        seen = []
        for key in ("sk/1", "sk/2"):
            one.send(one.freeze([message()]), key)
            seen.append(one.rate_limit)
    assert seen == [RateLimit(10, 9, 1), RateLimit(10, 8, 1)]


def test_nobody_listening_is_a_definite_no() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with channel(f"http://127.0.0.1:{port}") as one:
        result = one.send(one.freeze([message()]), "sk/1")
    assert (result.answer, result.error) == (Answer.LATER, "connection_failed")


def test_a_name_that_does_not_resolve_is_a_definite_no() -> None:
    with channel("http://nowhere.invalid") as one:
        assert one.send(one.freeze([message()]), "sk/1").answer is Answer.LATER


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that answers one byte at a time, for ever: no single read is late, the whole is."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    for _ in range(1000):
                        connection.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread.join(5)


def test_a_dripping_answer_ends_with_the_budget(dripping: str) -> None:
    start = time.monotonic()
    with channel(dripping, timeout=0.3) as one:
        assert one.send(one.freeze([message()]), "sk/1").answer is Answer.DOUBT
    assert time.monotonic() - start < 2


def test_the_call_is_what_resend_documents() -> None:
    with ResendServer() as server, channel(server.url) as one:
        body = one.freeze([message(1), message(2)])
        one.send(body, "sk/loop/main/1")
        (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/emails/batch", body)
    assert request.idem_key == "sk/loop/main/1"
    assert request.headers["authorization"] == "Bearer re_secret"
    assert request.headers["user-agent"] == f"skene-airflow/{__version__}"
    assert request.headers["content-type"] == "application/json"


def test_the_body_is_compact_utf8_in_a_fixed_order() -> None:
    body = channel("http://127.0.0.1").freeze([message(1)])
    assert body.decode() == (
        '[{"from":"Ada at Acme <ada@acme.example>","to":["user1@example.com"],"subject":"Zoë, we miss you",'
        '"html":"<p>Hi\\n</p>","text":"Hi","reply_to":"hi@acme.example",'
        '"headers":{"List-Unsubscribe":"<https://acme.example/u/t>"},'
        '"tags":[{"name":"sk_delivery","value":"1"},{"name":"sk_loop","value":"re_engagement"}]}]'
    )


def sdk_mail(one: Message) -> resend.Emails.SendParams:
    return {
        "from": one.sender,
        "to": [one.to],
        "subject": one.subject,
        "html": one.html,
        "text": one.text,
        "reply_to": one.reply_to or "",
        "headers": dict(one.headers),
        "tags": [{"name": name, "value": value} for name, value in one.tags],
    }


def test_the_official_sdk_sends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [message(1), message(2)]
    with ResendServer() as server, channel(server.url) as one:
        monkeypatch.setattr(resend, "api_url", server.url)
        monkeypatch.setattr(resend, "api_key", "re_secret")
        resend.Batch.send([sdk_mail(each) for each in messages], {"idempotency_key": "sk/sdk"})
        one.send(one.freeze(messages), "sk/ours")
        theirs, ours = server.requests
    assert ours.payload == theirs.payload
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    for name in ("authorization", "content-type", "accept"):
        assert ours.headers[name] == theirs.headers[name]


def test_one_connection_serves_many_calls() -> None:
    with ResendServer() as server, channel(server.url) as one:
        for number in range(20):
            assert one.send(one.freeze([message(number)]), f"sk/{number}").answer is Answer.ACCEPTED
        assert server.connections == 1


def test_a_redirect_is_not_followed() -> None:
    with ResendServer() as other, ResendServer(faults=lambda _: Reply(307, b"", (("Location", other.url),))) as server:
        with channel(server.url) as one:
            assert one.send(one.freeze([message()]), "sk/1").answer is Answer.ACCOUNT
        assert other.requests == []


@pytest.mark.parametrize("key", ["", "k" * 257, "with space", "ключ", "a\r\nb"])
def test_a_key_no_server_would_take_is_our_bug_and_sends_nothing(key: str) -> None:
    with ResendServer() as server, channel(server.url) as one:
        result = one.send(one.freeze([message()]), key)
        assert (result.answer, result.error) == (Answer.ACCOUNT, "invalid_idempotency_key")
        assert server.requests == []


@pytest.mark.parametrize(
    ("host", "port", "schema", "url"),
    [
        ("", None, "", "https://api.resend.com"),
        ("api.resend.com", None, "", "https://api.resend.com"),
        ("https://api.resend.com/", None, "", "https://api.resend.com"),
        ("http://127.0.0.1:1234", None, "", "http://127.0.0.1:1234"),
        ("http://127.0.0.1:1234/some/prefix/", None, "", "http://127.0.0.1:1234/some/prefix"),
        ("127.0.0.1", 1234, "http", "http://127.0.0.1:1234"),
        ("http://127.0.0.1", 1234, "", "http://127.0.0.1:1234"),
        ("http://127.0.0.1:1234", 99, "https", "http://127.0.0.1:1234"),
        ("resend/base", 8080, "http", "http://resend:8080/base"),
        ("[::1]", 1234, "http", "http://[::1]:1234"),
    ],
)
def test_any_way_to_write_the_host(host: str, port: int | None, schema: str, url: str) -> None:
    assert base_url(ChannelConfig("resend", host=host, port=port, schema=schema)) == url


@pytest.mark.parametrize(
    "host", ["ftp://acme.example", "http://", "http://a b", "https://x.example/?q=1", "http://u:p@x"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="base URL"):
        base_url(ChannelConfig("resend", host=host))


def test_a_prefix_is_kept() -> None:
    with ResendServer(prefix="/some/prefix") as server, channel(server.url) as one:
        assert one.send(one.freeze([message()]), "sk/1").answer is Answer.ACCEPTED
        assert server.requests[0].path == "/some/prefix/emails/batch"


@pytest.mark.parametrize("password", ["", "  ", "re_ö", "re_a b"])
def test_an_unusable_key_is_a_wrong_setting(password: str) -> None:
    with pytest.raises(SettingsError, match="API key"):
        make_channel(ChannelConfig("resend", password=password))


def test_a_key_copied_with_its_line_break_works() -> None:
    with ResendServer(api_key="re_secret") as server:
        config = ChannelConfig("resend", host=server.url, password=" re_secret\n")
        with make_channel(config) as one:
            works, _ = one.test()
    assert works


@pytest.mark.parametrize(
    ("reply", "works"),
    [
        (refusal(401, "restricted_api_key", "This key may only send."), True),
        (refusal(403, "invalid_api_key", "No."), False),
        (refusal(500, "application_error", "Oh."), False),
        (Reply(200, b"<html>"), True),
    ],
)
def test_the_connection_test(reply: Reply, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with ResendServer() as server, channel(server.url) as one:
        monkeypatch.setattr(server, "_route", lambda request: reply)
        assert one.test()[0] is works


def test_the_connection_test_of_a_dead_host_says_so() -> None:
    with channel("http://nowhere.invalid") as one:
        works, sentence = one.test()
    assert not works
    assert "nowhere.invalid" in sentence


def test_a_body_counts_its_own_messages() -> None:
    one = channel("http://127.0.0.1")
    body = one.freeze([message(number) for number in range(100)])
    assert len(json.loads(body)) == body.count(b"\n") + 1 == 100
