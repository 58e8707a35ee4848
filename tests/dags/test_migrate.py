"""`migrate` finds its connection where Airflow keeps it, and is the same inside Airflow's own command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dags.deployment import Deployment

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'skene'"


@pytest.mark.timeout(120)
def test_the_connection_may_stand_in_airflows_own_database(deployment: Deployment) -> None:
    connection = deployment.environment.pop("AIRFLOW_CONN_SKENE_SOURCE")
    added = deployment.airflow("connections", "add", "skene_source", "--conn-json", connection)
    assert added.returncode == 0, added.stdout
    done = subprocess.run(
        [str(Path(sys.executable).with_name("skene-airflow")), "migrate"],
        env=deployment.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert deployment.ledger(TABLES) > [(5,)]
    again = deployment.airflow("skene", "migrate")
    assert again.returncode == 0, again.stdout
    assert "is up to date" in again.stdout
    assert "applied" not in again.stdout
