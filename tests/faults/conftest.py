"""A shop for fault tests, its provider's double, and a clock that tests may push on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.ledger import Ledger
from skene_airflow.testing import ResendServer
from tests.faults.virtual import Virtual
from tests.integration.shop import USERS, Shop


@pytest.fixture
def shop(pg: str, tmp_path: Path) -> Iterator[Shop]:
    """An empty shop with the reference loop and its template."""
    folder = tmp_path / "loops"
    folder.mkdir()
    with closing(Ledger(lambda: psycopg.connect(pg))) as ledger:
        shop = Shop(pg, folder, ledger)
        shop.sql(USERS)
        shop.template()
        yield shop


@pytest.fixture
def virtual(shop: Shop) -> Virtual:
    """Time that passes only when somebody sleeps."""
    return Virtual(shop)


@pytest.fixture
def server(virtual: Virtual) -> Iterator[ResendServer]:
    """A provider that lives in virtual time."""
    with ResendServer(clock=virtual.clock) as server:
        yield server


@pytest.fixture
def resend(server: ResendServer) -> Iterator[Channel]:
    with make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as channel:
        yield channel
