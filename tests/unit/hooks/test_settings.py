from __future__ import annotations

from zoneinfo import available_timezones

import pytest

from skene_airflow.errors import SettingsError
from skene_airflow.hooks.settings import airflow_settings, default_timezone, read_settings
from skene_airflow.nouns import Mode
from skene_airflow.settings import Settings


def read(**options: str) -> Settings:
    return read_settings(lambda name: options.get(name, ""))


def test_nothing_set_is_the_defaults() -> None:
    assert read() == Settings()


def test_every_option_arrives() -> None:
    settings = read(
        loops_folder="/srv/loops",
        ledger_conn_id="led",
        schema="growth",
        auto_migrate="false",
        max_mode="REDIRECT",
        redirect_to="me@acme.example",
        from_email="A <a@acme.example>",
        base_url="https://acme.example/skene/",
        postal_address="1 Main St",
        secret_key="one, two,,",
        retention_days="7",
    )
    assert settings == Settings(
        "/srv/loops",
        "led",
        "growth",
        False,  # noqa: FBT003 - the whole value at a glance
        Mode.REDIRECT,
        "me@acme.example",
        "A <a@acme.example>",
        "https://acme.example/skene",
        "1 Main St",
        ("one", "two"),
        7,
    )


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("auto_migrate", "perhaps"),
        ("max_mode", "dry"),
        ("retention_days", "a month"),
        ("retention_days", "-1"),
        ("retention_days", "²"),
    ],
)
def test_a_wrong_value_names_the_option_and_the_value(option: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"\[skene\] {option} is '{text}': it takes"):
        read(**{option: text})


def test_redirect_without_an_address_is_refused() -> None:
    with pytest.raises(SettingsError, match="redirect_to is empty"):
        read(max_mode="redirect")


def test_secret_keys_are_not_in_the_repr() -> None:
    assert "hush" not in repr(read(secret_key="hush"))


def test_airflows_configuration_is_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SKENE__SCHEMA", "growth")
    monkeypatch.setenv("AIRFLOW__SKENE__SECRET_KEY_CMD", "echo from-a-command")
    settings = airflow_settings()
    assert (settings.schema, settings.secret_keys) == ("growth", ("from-a-command",))


@pytest.mark.parametrize(("option", "name"), [("utc", "UTC"), ("UTC", "UTC"), ("Europe/Berlin", "Europe/Berlin")])
def test_the_default_time_zone_is_a_name_of_the_tz_database(
    monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", option)
    assert default_timezone() == name
    assert name in available_timezones()
