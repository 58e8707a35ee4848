from __future__ import annotations

import email
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.channels import smtp as smtp_module
from skene_airflow.channels.smtp import SmtpChannel, _keyed
from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Answer, Message, SendResult
from tests.smtp_server import ScriptedServer, SmtpServer, certificate

PLAIN: dict[str, object] = {"disable_tls": True, "timeout": 3}


def message(number: int = 1) -> Message:
    return Message(
        number, f"{number:032x}", f"user{number}@example.com", "Ada <ada@acme.example>", "Hi", "<p>Hi</p>", "Hi"
    )


def channel(server: SmtpServer | ScriptedServer, login: str = "", password: str = "", **extra: object) -> SmtpChannel:
    config = ChannelConfig("smtp", "127.0.0.1", server.port, login, password, extra=PLAIN | extra)
    made = make_channel(config)
    assert isinstance(made, SmtpChannel)
    return made


def send(one: SmtpChannel, number: int = 1) -> SendResult:
    return one.send(one.freeze([message(number)]), f"sk/{number}")


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


def test_an_accepted_mail_has_the_id_that_the_mail_carries(server: SmtpServer) -> None:
    with channel(server) as one:
        result = send(one)
    (taken,) = server.taken
    assert result == SendResult(Answer.ACCEPTED, (f"sk.{1:032x}@acme.example",))
    assert email.message_from_bytes(taken.content)["Message-ID"] == f"<{result.message_ids[0]}>"
    assert (taken.sender, taken.recipients) == ("ada@acme.example", ["user1@example.com"])


def test_one_connection_carries_many_mails_and_is_renewed_in_time(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "MAILS_PER_CONNECTION", 5)
    with channel(server) as one:
        for number in range(12):
            assert send(one, number).answer is Answer.ACCEPTED
    assert server.connections == 3
    assert len(server.taken) == 12


def test_a_refused_mail_does_not_cost_the_connection(server: SmtpServer) -> None:
    with channel(server) as one:
        server.plan["rcpt"] = "550 unknown"
        assert send(one, 1).answer is Answer.BAD_LOT
        server.plan.clear()
        assert send(one, 2).answer is Answer.ACCEPTED
    assert server.connections == 1
    assert len(server.taken) == 1


@pytest.mark.parametrize("trouble", ["drop", "421 idle too long"])
def test_a_connection_that_went_stale_between_mails_is_opened_anew(server: SmtpServer, trouble: str) -> None:
    with channel(server) as one:
        send(one, 1)
        server.plan["rset"] = trouble
        assert send(one, 2).answer is Answer.ACCEPTED
    assert server.connections == 2


@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "dot"])
def test_nothing_is_ever_tried_twice(server: SmtpServer, step: str) -> None:
    server.plan[step] = "drop"
    with channel(server) as one:
        send(one)
    assert server.steps.count(step) == 1
    assert server.connections == 1


@pytest.mark.parametrize(
    ("step", "answer"), [("mail", Answer.LATER), ("rcpt", Answer.LATER), ("data", Answer.LATER), ("dot", Answer.DOUBT)]
)
def test_silence_means_what_its_phase_means(
    server: SmtpServer, step: str, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "DOT_TIMEOUT", 0.3)
    server.plan[step] = "hang"
    with channel(server, timeout=0.3) as one:
        result = send(one)
    assert (result.answer, result.error) == (answer, f"{step}_no_reply")


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([b"554 go away\r\n"], Answer.ACCOUNT),
        ([b"421 too busy\r\n"], Answer.LATER),
        ([b"garbage\r\n"], Answer.LATER),
        ([b""], Answer.LATER),
        ([b"220 hi\r\n", b"250 hi\r\n", b"garbage\r\n"], Answer.LATER),
        ([b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 no 354\r\n"], Answer.LATER),
    ],
)
def test_odd_servers(lines: list[bytes], answer: Answer) -> None:
    with ScriptedServer(lines) as odd, channel(odd) as one:
        assert send(one).answer is answer


def test_a_garbled_answer_to_the_dot_is_doubt() -> None:
    heard = [b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"gar\r\n"]
    with ScriptedServer(heard) as odd, channel(odd) as one:
        assert send(one).answer is Answer.DOUBT


def test_nobody_listening_is_a_definite_no() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    one = make_channel(ChannelConfig("smtp", "127.0.0.1", port, extra=PLAIN))
    result = one.send(one.freeze([message()]), "sk/1")
    assert (result.answer, result.error) == (Answer.LATER, "connect_no_reply")


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate that this process trusts."""
    context, public = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    return context


@pytest.fixture
def strict(tls: ssl.SSLContext) -> Iterator[SmtpServer]:
    """A server that wants a login."""
    with SmtpServer(tls=tls, starttls=True, login=("ada", "secret")) as running:
        yield running


def test_a_login_that_works(strict: SmtpServer) -> None:
    with channel(strict, "ada", "secret", disable_tls=False) as one:
        assert send(one).answer is Answer.ACCEPTED
        assert one.test()[0]


def test_a_wrong_password_is_the_account(strict: SmtpServer) -> None:
    with channel(strict, "ada", "wrong", disable_tls=False) as one:
        result = send(one)
        works, _ = one.test()
    assert (result.answer, result.error) == (Answer.ACCOUNT, "login_535")
    assert "login" in result.detail
    assert "wrong" not in result.detail
    assert not works


def test_no_login_where_one_is_needed_is_the_account(strict: SmtpServer) -> None:
    with channel(strict, disable_tls=False) as one:
        assert send(one).answer is Answer.ACCOUNT


def test_a_server_without_login_is_the_account() -> None:
    with ScriptedServer([b"220 hi\r\n", b"250 hi\r\n"]) as odd, channel(odd, "ada", "secret") as one:
        assert send(one).answer is Answer.ACCOUNT


def test_starttls_is_used_unless_disabled(tls: ssl.SSLContext) -> None:
    with SmtpServer(tls=tls, starttls=True) as server, channel(server, disable_tls=False) as one:
        assert send(one).answer is Answer.ACCEPTED
        assert one._server is not None
        assert isinstance(one._server.sock, ssl.SSLSocket)


def test_tls_from_the_first_byte(tls: ssl.SSLContext) -> None:
    with SmtpServer(tls=tls) as server, channel(server, disable_ssl="false") as one:
        assert send(one).answer is Answer.ACCEPTED


def test_a_login_over_tls_from_the_first_byte(tls: ssl.SSLContext) -> None:
    with SmtpServer(tls=tls, login=("ada", "secret")) as server:
        with channel(server, "ada", "secret", disable_ssl="false") as one:
            assert send(one).answer is Answer.ACCEPTED
            assert send(one, 2).answer is Answer.ACCEPTED
            assert one.test()[0]
        with channel(server, "ada", "wrong", disable_ssl="false") as one:
            result = send(one)
        assert (result.answer, result.error) == (Answer.ACCOUNT, "login_535")
        with channel(server, disable_ssl="false") as one:
            assert send(one).answer is Answer.ACCOUNT
    assert [taken.recipients for taken in server.taken] == [["user1@example.com"], ["user2@example.com"]]


def test_a_server_without_starttls_gets_no_mail(server: SmtpServer) -> None:
    with channel(server, disable_tls=False) as one:
        result = send(one)
    assert result.answer is Answer.ACCOUNT
    assert "STARTTLS" in result.detail
    assert server.taken == []


@pytest.mark.parametrize("starttls", [True, False])
def test_a_certificate_nobody_trusts_is_the_account(tmp_path: Path, starttls: bool) -> None:
    context, _ = certificate(tmp_path)
    with SmtpServer(tls=context, starttls=starttls) as server:
        with channel(server, disable_tls=False, disable_ssl=starttls) as one:
            result = send(one)
        assert (result.answer, result.error) == (Answer.ACCOUNT, "certificate_no_reply")
        with channel(server, disable_tls=False, disable_ssl=starttls, ssl_context="none") as one:
            assert send(one).answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    ("port", "extra", "expected"),
    [
        (None, {}, (465, True, False)),
        (465, {}, (465, True, False)),
        (587, {}, (587, False, True)),
        (25, {"disable_tls": "true"}, (25, False, False)),
        (None, {"disable_ssl": True}, (587, False, True)),
        (2465, {"disable_ssl": "False"}, (2465, True, False)),
    ],
)
def test_the_extras_mean_what_they_mean_in_airflow(
    port: int | None, extra: dict[str, object], expected: tuple[int, bool, bool]
) -> None:
    one = SmtpChannel(ChannelConfig("smtp", "mx.acme.example", port, extra=extra))
    assert (one._port, one._implicit_tls, one._starttls) == expected


@pytest.mark.parametrize(
    "config",
    [
        ChannelConfig("smtp"),
        ChannelConfig("smtp", "mx.acme.example", extra={"ssl_context": "never"}),
        ChannelConfig("smtp", "mx.acme.example", extra={"timeout": "soon"}),
        ChannelConfig("smtp", "mx.acme.example", extra={"disable_ssl": "perhaps"}),
        ChannelConfig("smtp", "mx.acme.example", extra={"auth_type": "oauth2"}),
    ],
)
def test_a_connection_that_cannot_be_right_is_refused(config: ChannelConfig) -> None:
    with pytest.raises(SettingsError, match="smtp connection"):
        make_channel(config)


def test_only_resend_gets_the_key() -> None:
    assert _keyed(b"A: b\r\n", "smtp.resend.com", "sk/1") == b"Resend-Idempotency-Key: sk/1\r\nA: b\r\n"
    assert _keyed(b"A: b\r\n", "mx.acme.example", "sk/1") == b"A: b\r\n"
    assert _keyed(b"A: b\r\n", "smtp.resend.com", "sk\r\nBcc: x") == b"A: b\r\n"


@pytest.mark.parametrize(
    "body", [b"", b"a@b.example\r\nx", b"a@b.example c@d.example e@f.example\r\nx", b"\xff \xff\r\n"]
)
def test_an_envelope_that_is_none_is_refused(server: SmtpServer, body: bytes) -> None:
    with channel(server) as one:
        assert one.send(body, "sk/1").answer is Answer.BAD_LOT
    assert server.connections == 0
