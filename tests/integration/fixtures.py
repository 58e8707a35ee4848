"""What both kinds of tests on whole runs begin with: these and the faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from skene_airflow.channels import Channel, ChannelConfig, make_channel
from skene_airflow.ledger import Ledger
from skene_airflow.testing import ResendServer
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
def resend(server: ResendServer) -> Iterator[Channel]:
    """A channel to the provider's double."""
    with make_channel(ChannelConfig("resend", host=server.url, password="re_test")) as channel:
        yield channel
