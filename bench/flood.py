"""A flood of changes: what the endpoint takes, what noting costs the app's writes, what one run makes of it all.

``python -m bench.flood --changes 100000``; it prints a table, and writes none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from bench import table, world
from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.cli import main as cli
from skene_airflow.ledger import Ledger
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop
from skene_airflow.settings import Settings
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job, RunFacts
from skene_airflow.stages.segment import segment

SECRET = "known to Hasura"  # noqa: S105 - of this bench alone
LOOP = """\
type: bench
opinion: Who has just come is welcomed
steps:
  - trigger: {type: database, table: users, event: insert}
    action: {type: email, provider: outbox, template: hello}
"""
CALL = (
    "POST /hasura/events HTTP/1.1\r\nHost: localhost\r\nX-Skene-Secret: {secret}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.flood", description=__doc__)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=50)
    args = parser.parse_args(arguments)
    with world.database() as uri, tempfile.TemporaryDirectory() as folder:
        world.fill(uri, args.changes)
        print(table.machine())
        _flood(uri, args.changes, args.connections)
        _run(uri, Path(folder))
        _noting(uri)
    return 0


def _flood(uri: str, number: int, connections: int) -> None:
    with psycopg.connect(uri) as conn:
        rows = [row for (row,) in conn.execute("SELECT to_jsonb(u) FROM users u")]
    with Ledger(lambda: psycopg.connect(uri)).transaction():
        pass
    environment = os.environ | {
        "AIRFLOW__SKENE__SECRET_KEY": "a secret of this bench alone",
        "AIRFLOW_CONN_HASURA_DEFAULT": json.dumps({"conn_type": "http", "extra": {"webhook_secret": SECRET}}),
    }
    words = [sys.executable, "-c", "from skene_airflow.cli import main; main()", "web", "--port", "0", "--ledger", uri]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as web:
        said = web.stdout.readline() if web.stdout else ""
        port = urlsplit(said.split()[1]).port or 0
        began = time.perf_counter()
        times, pages = asyncio.run(_post(port, rows[:number], connections))
        took = time.perf_counter() - began
        web.terminate()
    times.sort()
    middle, worst = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
    print(f"endpoint: {len(times):,} changes in {took:.1f} s, {len(times) / took:,.0f} a second; answers after "
          f"{middle:.0f} ms (median), {worst:.0f} ms (99 %); "
          f"a page meanwhile: {statistics.median(pages) * 1e3:.0f} ms, at most {max(pages) * 1e3:.0f} ms")  # fmt: skip


async def _post(port: int, rows: list[object], connections: int) -> tuple[list[float], list[float]]:
    """Seconds until each answer; and until another page was there meanwhile."""
    waiting, times, pages = iter(rows), [], []

    async def poster() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for row in waiting:
            began = time.perf_counter()
            assert await _asked(reader, writer, _call(row)) == 200  # noqa: S101 - a bench that fails is no bench
            times.append(time.perf_counter() - began)
        writer.close()

    async def reader_of_pages() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while len(times) < len(rows):
            began = time.perf_counter()
            await _asked(reader, writer, b"GET /no.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
            pages.append(time.perf_counter() - began)
            await asyncio.sleep(0.1)
        writer.close()

    await asyncio.gather(reader_of_pages(), *(poster() for _ in range(connections)))
    return times, pages


def _call(row: object) -> bytes:
    body = json.dumps({
        "id": str(uuid.uuid4()), "created_at": datetime.now(UTC).isoformat(),
        "table": {"schema": "public", "name": "users"}, "trigger": {"name": "bench"},
        "event": {"op": "INSERT", "data": {"old": None, "new": row}},
    }).encode()  # fmt: skip
    return CALL.format(secret=SECRET, length=len(body)).encode() + body


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: bytes) -> int:
    writer.write(call)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n") if "content-length" in line), 0)
    await reader.readexactly(length)
    return int(head.split()[1])


def _run(uri: str, folder: Path) -> None:
    """One run over everything that is due."""
    (folder / "loops" / "templates").mkdir(parents=True)
    (folder / "loops" / "welcome.yaml").write_text(LOOP)
    (folder / "loops" / "templates" / "hello.html").write_text("---\nsubject: Hello\n---\n<p>Hello</p>\n")
    loop = load_loop(folder / "loops" / "welcome.yaml")
    if not isinstance(loop, Loop):
        raise loop
    settings = Settings(from_email=world.SENDER, base_url="https://acme.example/skene",
                        postal_address="1 Main St", secret_keys=("a secret of this bench",))  # fmt: skip
    ledger = Ledger(lambda: psycopg.connect(uri))
    facts = RunFacts("flood", "asset_triggered", datetime.now(UTC))
    job = Job(loop, loop.steps[0], facts, settings, lambda: psycopg.connect(uri), ledger)
    began = time.perf_counter()
    evaluate(job)
    staged = time.perf_counter()
    with make_channel(ChannelConfig("outbox", host=str(folder / "mails"))) as channel:
        judged = segment(job, channel)
    ended = time.perf_counter()
    ledger.close()
    print(f"run: {judged.candidates:,} people, evaluate {staged - began:.1f} s, segment {ended - staged:.1f} s")


def _noting(uri: str) -> None:
    """What the triggers cost the app: many rows in one statement, and one row in one transaction."""
    for noted in (False, True):
        if noted:
            cli(["events", "install", "users", "--event", "insert,update,delete", "--source", uri])
        with psycopg.connect(uri, autocommit=True) as conn:
            began = time.perf_counter()
            conn.execute("UPDATE users SET orders = orders + 1")
            many = time.perf_counter() - began
            began = time.perf_counter()
            for number in range(2_000):
                conn.execute("UPDATE users SET orders = orders + 1 WHERE id = %s", [number + 1])
            one = (time.perf_counter() - began) / 2_000
        print(f"{'with' if noted else 'without'} triggers: every row in one UPDATE {many:.1f} s, "
              f"one row in one transaction {one * 1e3:.2f} ms")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
