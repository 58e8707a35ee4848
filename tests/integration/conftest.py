"""The shop that whole runs are tried in, its providers' doubles and its command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.cli import main
from skene_airflow.testing import ResendServer
from tests.integration.fixtures import resend, shop
from tests.integration.goal import orders
from tests.integration.journey import journey
from tests.integration.shop import Shop, Skene
from tests.smtp_server import SmtpServer

__all__ = ["journey", "orders", "resend", "shop"]


@pytest.fixture
def server() -> Iterator[ResendServer]:
    with ResendServer() as server:
        yield server


@pytest.fixture
def smtp() -> Iterator[tuple[SmtpServer, Channel]]:
    """A mail server's double, and a channel to it."""
    extra = {"disable_tls": True, "disable_ssl": True}
    with SmtpServer() as server, make_channel(ChannelConfig("smtp", "127.0.0.1", server.port, extra=extra)) as channel:
        yield server, channel


@pytest.fixture
def skene(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Skene:
    """Runs a verb on the shop's ledger: exit code, standard output, standard error."""
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--ledger", shop.uri, "--loops", str(shop.folder)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
