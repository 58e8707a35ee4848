from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from skene_airflow.get_provider_info import get_provider_info
from skene_airflow.hooks.outbox import OutboxHook
from skene_airflow.hooks.resend import ResendHook


@pytest.mark.parametrize("declared", get_provider_info()["connection-types"], ids=lambda one: one["connection-type"])
def test_each_connection_type_has_its_hook(declared: dict[str, Any]) -> None:
    module, _, name = declared["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert hook.conn_type == declared["connection-type"]
    assert hook.hook_name == declared["hook-name"]
    assert hook.default_conn_name == f"{hook.conn_type}_default"
    assert hook(**{hook.conn_name_attr: "mine"}).conn_id == "mine"
    assert hook().conn_id == hook.default_conn_name


def test_an_outbox_tells_whether_it_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_OUTBOX_DEFAULT", json.dumps({"conn_type": "outbox", "host": str(tmp_path / "out")})
    )
    works, words = OutboxHook().test_connection()
    assert works, words


def test_a_resend_server_that_does_not_answer_is_a_no_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "resend", "host": "http://127.0.0.1:1", "password": "re_secret"}
    monkeypatch.setenv("AIRFLOW_CONN_RESEND_DEFAULT", json.dumps(connection))
    works, words = ResendHook().test_connection()
    assert not works
    assert words
    assert "re_secret" not in words
