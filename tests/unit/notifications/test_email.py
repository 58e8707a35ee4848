"""Alerts as real mails in a real outbox; the ledger behind them is a real one."""

from __future__ import annotations

import email
import json
from email import policy
from pathlib import Path
from typing import Any

import pytest

from skene_airflow.errors import SettingsError
from skene_airflow.ledger.runs import Run
from skene_airflow.notifications.email import AlertNotSent
from skene_airflow.notifications.run_failed import RunFailedNotifier
from skene_airflow.notifications.run_in_trouble import troubles

TO = ("growth@acme.example", "ops@acme.example")
CONTEXT: Any = {"run_id": "scheduled__2026-11-25T09:00:00+00:00", "reason": "task_failure"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    connection = {"conn_type": "outbox", "host": str(tmp_path / "outbox"), "extra": {"from_email": "a@acme.example"}}
    monkeypatch.setenv("AIRFLOW_CONN_OUTBOX_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.acme.example")
    return tmp_path / "outbox"


def mails(folder: Path) -> list[Any]:
    paths = sorted(folder.rglob("*.eml"))
    return [email.message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]


def notifier(**more: Any) -> RunFailedNotifier:
    return RunFailedNotifier(**{"loop_id": "win_back", "to": TO, "conn_id": "outbox_default"} | more)


def test_a_failed_run_is_told_to_everybody_on_the_list(folder: Path) -> None:
    notifier()(CONTEXT)
    got = mails(folder)
    assert sorted(mail["To"] for mail in got) == sorted(TO)
    for mail in got:
        assert mail["Subject"] == "The loop win_back failed"
        assert mail["From"] == "a@acme.example"
        body = mail.get_body(("plain",)).get_content()
        assert "scheduled__2026-11-25T09:00:00+00:00" in body
        assert "https://airflow.acme.example/dags/win_back/runs/scheduled__2026" in body


def test_the_same_alert_again_is_the_same_mail(folder: Path) -> None:
    notifier()(CONTEXT)
    notifier()(CONTEXT)
    assert len(mails(folder)) == 2


def test_the_loops_own_sender_comes_first(folder: Path) -> None:
    notifier(sender="Ada <ada@acme.example>")(CONTEXT)
    assert {mail["From"] for mail in mails(folder)} == {"Ada <ada@acme.example>"}


@pytest.mark.parametrize(("mode", "expected"), [("shadow", []), ("redirect", ["qa@acme.example"])])
def test_the_ceiling_counts_for_alerts_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, expected: list[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__SKENE__MAX_MODE", mode)
    monkeypatch.setenv("AIRFLOW__SKENE__REDIRECT_TO", "qa@acme.example")
    notifier()(CONTEXT)
    assert [mail["To"] for mail in mails(folder)] == expected


def test_nobody_named_as_sender(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OUTBOX_DEFAULT", json.dumps({"conn_type": "outbox", "host": str(folder)}))
    with pytest.raises(SettingsError, match="from_email"):
        notifier()(CONTEXT)


def test_a_refused_alert_is_an_error(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    with pytest.raises(AlertNotSent, match="not accepted"):
        notifier()(CONTEXT)


def run(**verdicts: Any) -> Run:
    facts: dict[str, Any] = dict.fromkeys(Run.__dataclass_fields__)
    return Run(**facts | {"verdicts": verdicts})


def test_what_trouble_is() -> None:
    assert list(troubles(run(send=5, skip={"already_entered": 3}), {"sent": 5})) == []
    assert [what for what, _ in troubles(run(skip={"held": 4, "expired": 2}), {"uncertain": 1, "expired": 3})] == [
        "a brake held 4 people back",
        "1 deliveries are uncertain",
        "5 people expired",
    ]
