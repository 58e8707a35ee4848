from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from skene_airflow.errors import SettingsError
from skene_airflow.hooks.postgres import DatabaseUnreachableError, postgres


def define(monkeypatch: pytest.MonkeyPatch, uri: str, **extra: object) -> None:
    parts = conninfo_to_dict(uri)
    fields = {
        "conn_type": "postgres",
        "host": parts.get("host"),
        "login": parts.get("user"),
        "password": parts.get("password"),
        "port": parts.get("port"),
        "schema": parts.get("dbname"),
        "extra": extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_APP", json.dumps({name: value for name, value in fields.items() if value}))


def test_it_opens_a_psycopg_3_session_without_autocommit(monkeypatch: pytest.MonkeyPatch, pg: str) -> None:
    define(monkeypatch, pg)
    with postgres("app")() as session:
        assert isinstance(session, psycopg.Connection)
        assert session.autocommit is False
        assert session.execute("SELECT 1, 2").fetchone() == (1, 2)


def test_further_options_of_the_connection_count(monkeypatch: pytest.MonkeyPatch, pg: str) -> None:
    define(monkeypatch, pg, options="-c statement_timeout=4321", application_name="growth", cursor="dictcursor")
    with postgres("app")() as session:
        settings = session.execute("SELECT current_setting('statement_timeout'), current_setting('application_name')")
        assert settings.fetchone() == ("4321ms", "growth")


def test_nothing_is_looked_up_before_it_is_called() -> None:
    connect = postgres("nobody_defined_this")
    with pytest.raises(SettingsError, match="AIRFLOW_CONN_NOBODY_DEFINED_THIS"):
        connect()


def test_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_APP", '{"conn_type": "mysql"}')
    with pytest.raises(SettingsError, match="must be of type postgres, not mysql"):
        postgres("app")()


def test_an_unreachable_server_is_named_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    define(monkeypatch, "postgresql://ada:hush@127.0.0.1:1/app")
    with pytest.raises(DatabaseUnreachableError) as caught:
        postgres("app")()
    assert str(caught.value) == "the Airflow connection 'app' (127.0.0.1:1) cannot be opened: Connection refused"
    assert caught.value.__context__ is None
