"""A whole small deployment for each test: Airflow with a home of its own, a real Postgres, a server like Resend."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skene_airflow.testing import ResendServer
from tests.dags.deployment import AIRFLOW, REPOSITORY, Deployment, airflow_environment, people, postgres_connection


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh Airflow database; migrating takes seconds, copying does not."""
    home = tmp_path_factory.mktemp("airflow")
    environment = airflow_environment(home)
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=110)
    return home / "airflow.db"


@pytest.fixture
def deployment(migrated: Path, tmp_path: Path, pg: str) -> Iterator[Deployment]:
    """The reference loop in a loops folder, seven dormant people and one who is not, and a server like Resend."""
    home, loops = tmp_path / "airflow", tmp_path / "loops"
    (home / "logs").mkdir(parents=True)
    shutil.copy(migrated, home / "airflow.db")
    (loops / "templates").mkdir(parents=True)
    shutil.copy(REPOSITORY / "loops" / "re_engagement.yaml", loops)
    shutil.copy(REPOSITORY / "loops" / "templates" / "re_engagement.html", loops / "templates")
    people(pg)
    with ResendServer(api_key="re_test_key") as resend:
        environment = airflow_environment(home) | {
            "AIRFLOW__SKENE__LOOPS_FOLDER": str(loops),
            "AIRFLOW__SKENE__FROM_EMAIL": "Acme <hello@acme.example>",
            "AIRFLOW__SKENE__BASE_URL": "https://airflow.acme.example/skene",
            "AIRFLOW__SKENE__POSTAL_ADDRESS": "Acme Inc., 1 Main Street, Springfield",
            "AIRFLOW__SKENE__SECRET_KEY": "not-so-secret-key-for-tests",
            "AIRFLOW_CONN_SKENE_SOURCE": postgres_connection(pg),
            "AIRFLOW_CONN_RESEND_DEFAULT": json.dumps(
                {"conn_type": "resend", "host": resend.url, "password": "re_test_key"}
            ),
        }
        yield Deployment(home, loops, pg, resend, environment)
