"""A shop for fault tests, its provider's double, and a clock that tests may push on."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from skene_airflow.testing import ResendServer
from tests.faults.virtual import Virtual
from tests.integration.fixtures import resend, shop
from tests.integration.shop import Shop

__all__ = ["resend", "shop"]


@pytest.fixture
def virtual(shop: Shop) -> Iterator[Virtual]:
    """Time that passes only when somebody sleeps."""
    with psycopg.connect(shop.uri, autocommit=True) as conn:
        yield Virtual(conn)


@pytest.fixture
def server(virtual: Virtual) -> Iterator[ResendServer]:
    """A provider that lives in virtual time."""
    with ResendServer(clock=virtual.clock) as server:
        yield server
