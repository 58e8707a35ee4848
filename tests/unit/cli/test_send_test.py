"""`send-test`: one marked mail to a real server; nothing is claimed, and the deployment's ceiling holds."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from skene_airflow.cli import main
from skene_airflow.testing import ResendServer
from tests.smtp_server import SmtpServer

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def smtp(monkeypatch: Patch, port: int) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMTP_DEFAULT",
        json.dumps(
            {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": port,
                "extra": {"disable_ssl": True, "disable_tls": True},
            }
        ),
    )


def test_one_marked_mail_leaves(loops: Path, monkeypatch: Patch, capsys: Capture) -> None:
    with SmtpServer() as server:
        smtp(monkeypatch, server.port)
        assert main(["send-test", "hello", "--to", "me@acme.example", "--loops", str(loops)]) == 0
        assert main(["send-test", "hello", "--to", "me@acme.example", "--loops", str(loops)]) == 0
        first, second = (message_from_bytes(taken.content, policy=default) for taken in server.taken)
        assert [taken.recipients for taken in server.taken] == [["me@acme.example"]] * 2
    assert first["Subject"] == "[Test] Hi Ada"
    assert first["X-Skene-Test"] == "yes"
    assert first["From"] == "Acme <hi@acme.example>"
    assert first["Message-ID"] != second["Message-ID"]
    assert "the connection 'smtp_default' took the test mail" in capsys.readouterr().out


def test_a_test_is_never_answered_from_memory(loops: Path, monkeypatch: Patch) -> None:
    with ResendServer() as server:
        connection = {"conn_type": "resend", "host": server.url, "password": "re_test"}
        monkeypatch.setenv("AIRFLOW_CONN_RESEND_DEFAULT", json.dumps(connection))
        command = ["send-test", "hello", "--to", "me@acme.example", "--provider", "resend", "--loops", str(loops)]
        assert (main(command), main(command)) == (0, 0)
        sent = server.accepted
    assert len(sent) == 2
    assert all("sk_delivery" not in str(mail) for mail in sent)


@pytest.mark.parametrize(
    "address",
    ["", "me", "a@acme.example, b@acme.example", "me@acme.example\r\nBcc: x@acme.example", "<me@acme.example>", "a@b"],
)
def test_anything_but_one_address_is_2(loops: Path, capsys: Capture, address: str) -> None:
    assert main(["send-test", "hello", "--to", address, "--loops", str(loops)]) == 2
    assert capsys.readouterr().err == "skene-airflow send-test: --to is not one address: write name@company.com\n"


def test_an_address_is_required(loops: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["send-test", "hello", "--loops", str(loops)])
    assert left.value.code == 2
    assert "--to" in capsys.readouterr().err


def test_a_connection_that_is_not_there_is_2(loops: Path, monkeypatch: Patch, capsys: Capture) -> None:
    smtp(monkeypatch, 1)
    assert main(["send-test", "hello", "--to", "me@acme.example", "--loops", str(loops)]) == 2
    assert "did not take the mail" in capsys.readouterr().err
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT")


def test_no_from_address_is_2(loops: Path, monkeypatch: Patch, capsys: Capture) -> None:
    text = (loops / "hello.yaml").read_text(encoding="utf-8").replace("      from: Acme <hi@acme.example>\n", "")
    (loops / "hello.yaml").write_text(text, encoding="utf-8")
    with SmtpServer() as server:
        smtp(monkeypatch, server.port)
        assert main(["send-test", "hello", "--to", "me@acme.example", "--loops", str(loops)]) == 2
        assert server.taken == []
    assert "the From address is not set" in capsys.readouterr().err


def test_the_deployments_ceiling_holds(loops: Path, monkeypatch: Patch, capsys: Capture) -> None:
    command = ["send-test", "hello", "--to", "me@acme.example", "--loops", str(loops)]
    with SmtpServer() as server:
        smtp(monkeypatch, server.port)
        monkeypatch.setenv("AIRFLOW__SKENE__MAX_MODE", "shadow")
        assert main(command) == 2
        assert "max_mode is shadow" in capsys.readouterr().err
        assert server.taken == []
        monkeypatch.setenv("AIRFLOW__SKENE__MAX_MODE", "redirect")
        monkeypatch.setenv("AIRFLOW__SKENE__REDIRECT_TO", "staging@acme.example")
        assert main(command) == 0
        assert [taken.recipients for taken in server.taken] == [["staging@acme.example"]]
