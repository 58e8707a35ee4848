"""What a run leaves in Airflow's own database: a run, its tasks and their XCom, and nobody in it."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from bench import world
from bench.naive import environment, run

_DAGS = Path(__file__).parent.parent / "dags"


def growth(people: int) -> tuple[float, int]:
    """By how many MB Airflow's database grows with one live run over so many people, and how many of them the sink
    took. Raises RuntimeError if Airflow fails."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as loops,
        world.database() as uri,
        world.sink(0) as sink,
    ):
        world.fill(uri, people)
        template = world.TEMPLATES / "hello.html"
        place = world.Place(uri, sink, str(world.write_loop(Path(loops), template)), str(template))
        env = environment(home, _DAGS) | {
            "AIRFLOW_CONN_SKENE_SOURCE": uri.replace("postgresql://", "postgres://"),
            "AIRFLOW_CONN_RESEND_DEFAULT": json.dumps({"conn_type": "resend", "host": sink, "password": "re_bench"}),
            "AIRFLOW__SKENE__LOOPS_FOLDER": loops,
            "AIRFLOW__SKENE__FROM_EMAIL": world.SENDER,
            "AIRFLOW__SKENE__BASE_URL": world.SETTINGS.base_url or "",
            "AIRFLOW__SKENE__POSTAL_ADDRESS": world.SETTINGS.postal_address or "",
            "AIRFLOW__SKENE__SECRET_KEY": "a secret that signs links, as long as it has to be",
        }
        run(["-m", "airflow", "db", "migrate"], env)
        run(["-m", "airflow", "dags", "reserialize"], env)
        before = _size(Path(home))
        run(["-m", "airflow", "dags", "test", "bench", "--conf", '{"mode": "live"}'], env)
        return (_size(Path(home)) - before) / 2**20, place.accepted()


def _size(home: Path) -> int:
    """Bytes of all that stands in it, as SQL text: pages have room, so that counting them would not show a run."""
    with closing(sqlite3.connect(home / "airflow.db")) as conn:
        return sum(len(line) for line in conn.iterdump())
