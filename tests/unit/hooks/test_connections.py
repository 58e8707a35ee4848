from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from skene_airflow.channels import ChannelConfig
from skene_airflow.errors import SettingsError
from skene_airflow.hooks.connections import ConnectionUnreadableError, channel_config, open_channel

RESEND = {
    "conn_type": "resend",
    "password": "re_secret",
    "host": "http://127.0.0.1:9",
    "extra": {"from_email": "Acme <hi@acme.example>"},
}


def define(monkeypatch: pytest.MonkeyPatch, conn_id: str, connection: Mapping[str, object]) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def test_every_field_arrives_and_the_password_stays_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "mail", RESEND)
    config = channel_config("mail")
    assert config == ChannelConfig(
        conn_type="resend",
        host="http://127.0.0.1:9",
        port=None,
        login="",
        password="re_secret",
        schema="",
        extra={"from_email": "Acme <hi@acme.example>"},
    )
    assert "re_secret" not in repr(config)


def test_it_opens_the_channel_of_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "mail", RESEND)
    with open_channel("mail") as channel:
        assert (channel.name, channel.from_email) == ("resend", "Acme <hi@acme.example>")


def test_a_type_that_sends_no_mail_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "mail", {"conn_type": "ftp"})
    with pytest.raises(SettingsError, match="resend"):
        open_channel("mail")


def test_a_missing_connection_says_both_ways_to_add_it() -> None:
    with pytest.raises(SettingsError) as caught:
        channel_config("resend_default")
    assert "AIRFLOW_CONN_RESEND_DEFAULT" in str(caught.value)
    assert "Admin → Connections" in str(caught.value)


def test_with_a_secrets_backend_absence_is_never_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    with pytest.raises(ConnectionUnreadableError):
        channel_config("resend_default")
