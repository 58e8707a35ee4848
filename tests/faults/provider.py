"""A provider in a process of its own, troubled at random; its log of accepted mail outlives everybody.

Run with one JSON argument; prints its port, serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from skene_airflow.testing import Reply, Request, ResendServer

# About a quarter of the calls; the names are skene_airflow.testing's FAULTS.
TROUBLE = {
    "rate_limit": 5,
    "error_before": 4,
    "error_after": 3,
    "drop_before": 2,
    "drop_after": 5,
    "timeout": 1,
    "timeout_after": 2,
    "malformed": 2,
    "truncated": 1,
}
_LIMIT = Reply(429, b'{"name":"rate_limit_exceeded"}', (("retry-after", "0.1"),))


def announce(port: int) -> None:
    """Tell whoever started this process where it listens."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def resend(options: dict[str, Any]) -> None:
    """The Resend double, with trouble on about a quarter of its calls."""
    rng = random.Random(options["seed"])
    names, weights = [*TROUBLE, None], [*TROUBLE.values(), 100 - sum(TROUBLE.values())]

    def trouble(_: Request) -> str | Reply | None:
        time.sleep(rng.uniform(0, 0.02))
        fault = rng.choices(names, weights)[0] if options["trouble"] else None
        return _LIMIT if fault == "rate_limit" else fault

    server = ResendServer(
        faults=trouble,
        errors_consume_key=options["errors_consume_key"],
        compare=options["compare"],
        latency=0.005,
        hang=1.2,
        log=Path(options["log"]),
        keep=False,
    )
    announce(int(server.url.rpartition(":")[2]))
    threading.Event().wait()


def smtp(options: dict[str, Any]) -> None:
    """A mail server that takes one mail at a time, and now and then says nothing, no, or goodbye."""
    from tests.smtp_server import SmtpServer

    rng = random.Random(options["seed"])
    log = Path(options["log"]).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as the process

    class Taking(list[Any]):
        def append(self, mail: Any) -> None:
            log.write(json.dumps({"to": mail.recipients[0]}) + "\n")
            log.flush()

    class Plan(dict[str, str]):
        def get(self, step: str, default: Any = None) -> Any:
            if not options["trouble"]:
                return default
            kinds = {
                "dot": ["drop", "take_drop", "451 later", "take_421 closing"],
                "rcpt": ["451 greylisted", "drop"],
                "data": ["drop"],
                "mail": ["421 busy"],
            }.get(step)
            return rng.choice(kinds) if kinds and rng.random() < 0.06 else default

    async def forever() -> None:
        await asyncio.Event().wait()

    with SmtpServer(plan=Plan(), taken=Taking()) as server:
        announce(server.port)
        asyncio.run(forever())


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    {"resend": resend, "smtp": smtp}[asked["channel"]](asked)
