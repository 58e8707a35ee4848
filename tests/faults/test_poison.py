"""Rows that no query should return, and what becomes of them: the good are mailed, the bad are explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from email.policy import SMTP
from typing import Any

import pytest

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.stages.report import report
from skene_airflow.stages.send import Sender
from skene_airflow.testing import ResendServer
from tests.integration.shop import LOOP, Shop
from tests.smtp_server import SmtpServer

LONG = "x" * 1_000_000
TAKEN: dict[str, tuple[str | None, str]] = {
    # By key: the address, and the name.
    "plain": ("plain@example.com", "Ada"),
    "emoji": ("emoji@example.com", "Ada 👩‍💻 👍🏽"),
    "crlf": ("crlf@example.com", "Ada\r\nBcc: evil@example.com\r\n\r\n<b>x</b>"),
    "header": ("header@example.com", "Ada\nSubject: other\nTo: evil@example.com"),
    "bidi": ("bidi@example.com", "Ada \u202egnp.exe\u2066"),
    "markup": ("markup@example.com", "<script>alert(1)</script>{{ 7*7 }}{% raw %}"),
    "percent": ("percent@example.com", "100% %s %(name)s $1 \\N \\. \t"),
    "spaces": ("  spaces@example.com \t", "Ada"),
    "dots": (".dots@example.com".lstrip("."), ".\r\n.\r\n"),
    "idn": ("idn@bücher.example", "Ada"),
    "plus": ("o'hara+tag@example.com", "O'Hara"),
    "key with \U0001f600 and %s": ("key@example.com", "Ada"),
}
SKIPPED: dict[str, tuple[str | None, str, str]] = {
    "null": (None, "Ada", "invalid_address"),
    "blank": ("", "Ada", "invalid_address"),
    "space": ("   ", "Ada", "invalid_address"),
    "two": ("a@example.com, b@example.com", "Ada", "invalid_address"),
    "two b": ("a@example.com b@example.com", "Ada", "invalid_address"),
    "display": ("Ada <ada@example.com>", "Ada", "invalid_address"),
    "two at": ("a@b@example.com", "Ada", "invalid_address"),
    "quoted": ('"a b"@example.com', "Ada", "invalid_address"),
    "local idn": ("jürgen@example.com", "Ada", "invalid_address"),
    "newline": ("a@example.com\nBcc: b@example.com", "Ada", "invalid_address"),
    "long local": ("a" * 65 + "@example.com", "Ada", "invalid_address"),
    "no domain": ("ada@", "Ada", "invalid_address"),
    "": ("keyless@example.com", "Ada", "missing_key"),
}
LATER: dict[str, tuple[str, str, str]] = {
    # Nothing is wrong before the mail is made.
    "too long": ("long@example.com", LONG, "missing_variable"),
}
POISON_LOOP = LOOP.replace("AND re_engagement_sent = false", "")
TEMPLATE = "---\nsubject: Hello {{ name }}\n---\n<p>Hi {{ name }}, {{ lastActivity }}.</p>"


@pytest.fixture
def poisoned(shop: Shop) -> Shop:
    """A shop whose users have everything in them that can be in a database."""
    shop.sql("DROP TABLE users")
    shop.sql("CREATE TABLE users (id text, email text, name text, last_activity_at timestamp, n float8)")
    shop.template(TEMPLATE)
    rows: list[tuple[str, str | None, str]] = [(key, *row) for key, row in TAKEN.items()]
    rows += [(key, address, name) for key, (address, name, _) in [*SKIPPED.items(), *LATER.items()]]
    for key, address, name in rows:
        shop.sql("INSERT INTO users VALUES (%s, %s, %s, '2020-01-01', 'NaN')", key, address, name)
    # The same person three times, the same mailbox under another key, and a moment that never was.
    shop.sql("INSERT INTO users SELECT * FROM users WHERE id = 'plain'")
    shop.sql(
        "INSERT INTO users SELECT id, 'other@example.com', 'Other', last_activity_at FROM users WHERE id = 'plain'"
    )
    shop.sql("INSERT INTO users VALUES ('twin', 'PLAIN@EXAMPLE.COM', 'Twin', '2020-01-01', 1)")
    shop.sql("INSERT INTO users VALUES ('never', 'never@example.com', 'Ada', '-infinity', 'Infinity')")
    return shop


def reasons(shop: Shop) -> dict[str, str]:
    """Why whoever was not mailed was not: from decisions, and from what left the batch later."""
    rows = shop.sql(
        "SELECT user_key, reason FROM skene.decisions_v WHERE verdict = 'skip' UNION ALL"
        " SELECT user_key, coalesce(reason, error_class) FROM skene.deliveries_v WHERE status <> 'sent'"
    )
    return {row["user_key"]: row["reason"] for row in rows}


def good() -> Counter[str]:
    """Whom the provider takes, as it spells them."""
    spelt = ((address or "").strip() for address, _ in TAKEN.values())
    return Counter(address.encode().decode().replace("bücher", "xn--bcher-kva") for address in spelt)


EXPLAINED = {key: reason for key, (_, _, reason) in [*SKIPPED.items(), *LATER.items()]} | {
    "twin": "duplicate_address",
    "never": "missing_variable",
}


def whole(shop: Shop, config: ChannelConfig) -> dict[str, int]:
    """A run in whose middle a user is deleted: who was claimed is mailed from what was staged."""
    with closing(make_channel(config)) as channel:
        job = shop.job(loop=shop.loop(POISON_LOOP))
        shop.decide(channel, job)
        shop.sql("DELETE FROM users WHERE id = 'emoji'")
        for shard in range(4):
            Sender(job, shard, channel, sleep=lambda _: None).run()
        return dict(report(job).statuses)


def test_poison_through_resend(poisoned: Shop, server: ResendServer) -> None:
    statuses = whole(poisoned, ChannelConfig("resend", host=server.url, password="re_test"))
    assert statuses == {"sent": len(TAKEN), "cancelled": len(LATER)}
    assert Counter(mail.to for mail in server.accepted) == good()
    assert reasons(poisoned) == EXPLAINED
    for accepted in server.accepted:
        mail = accepted.mail or {}
        assert isinstance(mail["to"], list)
        assert len(mail["to"]) == 1
        assert set(mail) <= {"from", "to", "subject", "html", "text", "headers", "tags"}
        assert not any(char in mail["subject"] for char in "\r\n\0\u202e\u2066")
        assert "<script>" not in mail["html"]


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def test_poison_through_smtp(poisoned: Shop, smtp: SmtpServer) -> None:
    extra: dict[str, Any] = {"disable_tls": True, "disable_ssl": True}
    statuses = whole(poisoned, ChannelConfig("smtp", host="127.0.0.1", port=smtp.port, extra=extra))
    assert statuses == {"sent": len(TAKEN), "cancelled": len(LATER)}
    assert Counter(to for mail in smtp.taken for to in mail.recipients) == good()
    assert reasons(poisoned) == EXPLAINED
    for taken in smtp.taken:
        mail = message_from_bytes(taken.content, policy=SMTP)
        assert len(mail.get_all("To", [])) == len(mail.get_all("Subject", [])) == 1
        assert mail["Bcc"] is None
        assert mail["Subject"].startswith("Hello")


def test_a_stopped_provider_is_no_poison(poisoned: Shop, server: ResendServer) -> None:
    """One row that only the provider refuses fails alone, among all that poison."""
    poisoned.sql("INSERT INTO users VALUES ('refused', 'refused@example.c', 'Ada', '2020-01-01', 1)")
    statuses = whole(poisoned, ChannelConfig("resend", host=server.url, password="re_test"))
    assert statuses == {"sent": len(TAKEN), "cancelled": len(LATER), "failed": 1}
    assert reasons(poisoned) == EXPLAINED | {"refused": "validation_error"}
