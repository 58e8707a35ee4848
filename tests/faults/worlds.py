"""A shop with its audience claimed, a provider in a process of its own, and the nursery set loose on both."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.nursery import Done, channel
from tests.integration.shop import Shop

TORTURE = os.environ.get("SKENE_TORTURE") == "1"
"""`make torture`: the same tests, ten times as long."""


def scaled(usual: int, torture: int) -> int:
    """How much of something this run does."""
    return torture if TORTURE else usual


@contextmanager
def provider(log: Path, kind: str = "resend", **options: Any) -> Iterator[int]:
    """A provider's port. Its process outlives every sender, and its log is the oracle."""
    usual = {"seed": 1, "trouble": True, "errors_consume_key": False, "compare": "bytes"}
    argument = json.dumps({**usual, "channel": kind, "log": str(log), **options})
    command = [sys.executable, "-m", "tests.faults.provider", argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def injure(shop: Shop, kind: str, port: int, log: Path, mails: int, **orders: Any) -> Done:
    """Claim ``mails`` people and let senders send to them while the nursery does what ``orders`` say."""
    shop.dormant(mails)
    job = shop.job()
    with channel(kind, port) as way:
        shop.decide(way, job)
    facts = {"uri": shop.uri, "folder": str(shop.folder), "channel": kind, "port": port, "mails": mails}
    argument = json.dumps({**facts, "run_id": job.run.run_id, "log": str(log), **orders})
    command = [sys.executable, "-m", "tests.faults.nursery", argument]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    done = Done(**json.loads(output))
    logging.getLogger(__name__).info("%s", done)
    return done


def accepted(log: Path) -> Counter[str]:
    """How often the provider took a mail to each address."""
    with log.open(encoding="utf-8") as lines:
        return Counter(json.loads(line)["to"] for line in lines if line.endswith("\n"))


def by_status(shop: Shop) -> dict[str, set[str]]:
    """The addresses that the ledger has in each status."""
    rows = shop.sql(
        "SELECT v.status, array_agg('user' || v.user_key || '@example.com') AS people"
        " FROM skene.deliveries_v v GROUP BY v.status"
    )
    return {row["status"]: set(row["people"]) for row in rows}
