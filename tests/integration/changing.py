"""Changes of rows as Hasura tells them, the app that hears them, and the loop that they start."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import uvicorn

from skene_airflow.errors import SettingsError
from skene_airflow.feedback.shelf import Shelf
from skene_airflow.ledger import Ledger, changes
from skene_airflow.nouns import Mode
from skene_airflow.stages.job import Job
from skene_airflow.web.public import public_app
from tests.integration.shop import SETTINGS, Shop

SECRET = "a secret that Hasura knows too"
WELCOME = """\
type: onboarding
opinion: Who has just come is welcomed
steps:
  - trigger: {type: database, table: users, event: insert}
    action: {type: email, provider: resend, template: welcome, personalization: {name: "{{ user.name }}"}}
"""
TEMPLATE = "---\nsubject: Welcome, {{ name }}\n---\n<p>Welcome, {{ name }}.</p>\n"


@contextmanager
def serving(shop: Shop) -> Iterator[str]:
    """The stand-alone app, really listening; its place for Hasura."""

    def secrets(conn_id: str) -> tuple[str, ...]:
        if conn_id != "hasura_default":
            raise SettingsError("no such connection")
        return ("an older secret", SECRET)

    shelf = Shelf(lambda: Ledger(lambda: psycopg.connect(shop.uri)))
    app = public_app(SETTINGS, shelf, secrets)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hasura/events"
        server.should_exit = True
        thread.join()
    shelf.close()


def call(
    op: str = "INSERT", new: object = None, old: object = None, table: str = "users", **more: Any
) -> dict[str, Any]:
    """What Hasura v2 posts."""
    return {
        "created_at": "2026-11-25T07:14:21.601701Z",
        "delivery_info": {"current_retry": 0, "max_retries": 0},
        "event": {
            "data": {"new": new, "old": old},
            "op": op,
            "session_variables": {"x-hasura-role": "admin"},
            "trace_context": {"trace_id": "501880ed3c2ee8a3", "span_id": "4a2c7d9a0cc9d4c5"},
        },
        "id": str(uuid.uuid4()),
        "table": {"name": table, "schema": "public"},
        "trigger": {"name": f"skene_{table}"},
        **more,
    }


def post(url: str, body: object, secret: str = SECRET) -> int:
    return httpx.post(url, json=body, headers={"X-Skene-Secret": secret}, timeout=30).status_code


def come(shop: Shop, number: int, first: int = 1) -> list[dict[str, Any]]:
    """New users, and what Hasura tells of them."""
    shop.dormant(number, first)
    rows = shop.sql("SELECT to_jsonb(u) AS row FROM users u WHERE id BETWEEN %s AND %s", first, first + number - 1)
    return [call(new=row["row"]) for row in rows]


def welcome(shop: Shop, text: str = WELCOME, name: str = "welcome", **more: Any) -> Job:
    return shop.job({}, loop=shop.loop(text, name), run_type="asset_triggered", **more)


def due(shop: Shop, job: Job | None = None) -> int:
    job = job or welcome(shop)
    wanted = job.changes(Mode.LIVE, job.loop.expires_after)
    assert wanted is not None
    return changes.owed(shop.ledger, wanted)
