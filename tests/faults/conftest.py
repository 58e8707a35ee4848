"""A shop for fault tests, its provider's double, and a clock that tests may push on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skene_airflow.testing import ResendServer
from tests.faults.virtual import Virtual
from tests.integration.fixtures import resend, shop
from tests.integration.shop import Shop

__all__ = ["resend", "shop"]


@pytest.fixture
def virtual(shop: Shop) -> Virtual:
    """Time that passes only when somebody sleeps."""
    return Virtual(shop)


@pytest.fixture
def server(virtual: Virtual) -> Iterator[ResendServer]:
    """A provider that lives in virtual time."""
    with ResendServer(clock=virtual.clock) as server:
        yield server
