"""The environment in which the demo's Airflow runs: the demo's own, whatever the shell has set."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

from demo import postgres
from demo.paths import DAGS, OUTBOX, ROOT, STATE

if TYPE_CHECKING:
    from pathlib import Path


def airflow(home: Path, **more: str) -> dict[str, str]:
    """Environment variables for an Airflow of the demo with its own ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    # A real connection or setting in the caller's shell must never reach the demo: it would mail real people.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "_AIRFLOW"))}
    outbox = {"conn_type": "outbox", "host": str(OUTBOX), "extra": {"from_email": "Acme Records <hello@acme.example>"}}
    return inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SKENE_SOURCE": json.dumps(postgres.connection()),
        "AIRFLOW_CONN_RESEND_DEFAULT": json.dumps(outbox),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__SKENE__BASE_URL": "http://127.0.0.1:8080/skene",
        "AIRFLOW__SKENE__POSTAL_ADDRESS": "Acme Records, 1 Example Street, Springfield",
        "AIRFLOW__SKENE__SECRET_KEY": secret("links"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def secret(name: str) -> str:
    """A random secret that stays the same until ``make clean``."""
    file = STATE / f"{name}.secret"
    if not file.exists():
        STATE.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(64), encoding="utf-8")
    return file.read_text(encoding="utf-8")
