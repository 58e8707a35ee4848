"""Places where a process can end: before and after every commit, and around every step over the network."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from skene_airflow.channels import Channel
from skene_airflow.ledger import Ledger
from skene_airflow.ledger.ledger import Cursor
from skene_airflow.nouns import SendResult


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Points:
    """Counts the places that were reached, and ends the process at the one with number ``fatal``."""

    fatal: int = -1
    seen: list[str] = field(default_factory=list)

    def reach(self, name: str) -> None:
        """Raise Killed if this is the place."""
        self.seen.append(name)
        if len(self.seen) - 1 == self.fatal:
            raise Killed(name)


class FragileLedger(Ledger):
    """A ledger whose process may end before or after each commit. What was not committed is rolled back."""

    def __init__(self, connect: Callable[[], Any], points: Points) -> None:
        super().__init__(connect)
        self._points = points

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """The real one, between two places to die."""
        with super().transaction() as cur:
            yield cur
            self._points.reach("before a commit")
        self._points.reach("after a commit")


def fragile_channel(channel: Channel, points: Points, monkeypatch: pytest.MonkeyPatch) -> Channel:
    """The channel, with places to die before, inside and after its call."""
    real = channel.send

    def send(body: bytes, idem_key: str) -> SendResult:
        points.reach("before the call")
        if channel.name == "resend":
            _half(points, channel, body, idem_key)
        result = real(body, idem_key)
        points.reach("after the call")
        return result

    monkeypatch.setattr(channel, "send", send)
    if channel.name == "smtp":
        _fragile_dialogue(points, monkeypatch)
    return channel


def _half(points: Points, channel: Any, body: bytes, idem_key: str) -> None:
    try:
        points.reach("in the middle of the body")
    except Killed:
        url = urlsplit(channel.base_url)
        head = (
            f"POST /emails/batch HTTP/1.1\r\nHost: {url.netloc}\r\nUser-Agent: test\r\n"
            f"Authorization: Bearer {channel.config.password}\r\n"
            f"Idempotency-Key: {idem_key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((url.hostname or "", url.port or 0)) as line:
            line.sendall(head.encode() + body[: len(body) // 2])
        raise


def _fragile_dialogue(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("send", "getreply"):
        real = getattr(smtplib.SMTP, name)

        def step(self: smtplib.SMTP, *args: Any, real: Any = real, name: str = name) -> Any:
            try:
                points.reach(f"before smtp {name}")
            except Killed:
                self.close()  # a dead process says no QUIT
                raise
            return real(self, *args)

        monkeypatch.setattr(smtplib.SMTP, name, step)
