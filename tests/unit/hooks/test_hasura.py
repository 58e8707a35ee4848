"""The `hasura` connection: where it leads, as whom, and what its test button says."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from skene_airflow.errors import SettingsError
from skene_airflow.hooks.hasura import HasuraHook, endpoint_of
from skene_airflow.testing import HasuraServer


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def define(**fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_HASURA_DEFAULT", json.dumps(fields))

    return define


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"conn_type": "hasura", "host": "https://h.acme.example"}, "https://h.acme.example"),
        (
            {"conn_type": "hasura", "host": "https://h.acme.example/api/", "port": 8443},
            "https://h.acme.example:8443/api/",
        ),
        ({"conn_type": "http", "host": "h", "port": 8080}, "http://h:8080"),
        ({"conn_type": "http", "host": "h", "schema": "https"}, "https://h"),
        ({"conn_type": "https", "host": "h"}, "https://h"),
        ({"conn_type": "hasura", "host": "http://h:8080", "port": 1}, "http://h:8080"),
    ],
)
def test_it_is_read_as_an_http_connection(connection: Any, fields: dict[str, Any], url: str) -> None:
    connection(**fields, password="secret", extra={"role": "growth", "headers": {"X-A": "b"}})
    found = endpoint_of("hasura_default")
    assert (found.url, found.admin_secret, found.role, found.headers) == (url, "secret", "growth", {"X-A": "b"})
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"conn_type": "postgres", "host": "h"}, "must be of type hasura (or http), not postgres"),
        ({"conn_type": "hasura"}, "has no host"),
        ({"conn_type": "hasura", "host": "h", "extra": {"headers": "x"}}, "must be a map"),
    ],
)
def test_what_is_wrong_is_said(connection: Any, fields: dict[str, Any], says: str) -> None:
    connection(**fields)
    with pytest.raises(SettingsError) as refused:
        endpoint_of("hasura_default")
    assert says in str(refused.value)


def test_the_button_and_both_endpoints(connection: Any, pg: str) -> None:
    with psycopg.connect(pg) as conn:
        conn.execute("CREATE TABLE users (id int)")
        conn.execute("INSERT INTO users VALUES (7)")
    with HasuraServer(pg, "right") as server:
        server.track("users")
        connection(conn_type="hasura", host=server.url, password="right")
        hook = HasuraHook()
        good, words = hook.test_connection()
        assert good
        assert server.url in words
        assert hook.graphql("query ($n: Int) { users(limit: $n) { id } }", {"n": 1}) == {"users": [{"id": 7}]}
        assert hook.metadata("export_metadata", {}, version=2)["metadata"]["version"] == 3
        connection(conn_type="hasura", host=server.url, password="wrong")
        good, words = HasuraHook().test_connection()
        assert not good
        assert "refuses the admin secret" in words
    assert not HasuraHook().test_connection()[0]
