"""The fakes we ship for tests, held to the same contracts as the real things; and golden files for templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.testing.golden import check_golden, rendered
from skene_airflow.testing.resend_events import Webhook
from skene_airflow.testing.resend_faults import FAULTS, Reply
from skene_airflow.testing.resend_server import ResendServer
from skene_airflow.testing.resend_state import Accepted, Request, read_accepted

if TYPE_CHECKING:
    from skene_airflow.testing.hasura_server import HasuraServer

__all__ = [
    "FAULTS",
    "Accepted",
    "HasuraServer",
    "Reply",
    "Request",
    "ResendServer",
    "Webhook",
    "check_golden",
    "read_accepted",
    "rendered",
]


def __getattr__(name: str) -> Any:
    """The Hasura double needs jsonschema, which the extra `dev` has: it is imported when it is named."""
    if name == "HasuraServer":
        from skene_airflow.testing.hasura_server import HasuraServer

        return HasuraServer
    raise AttributeError(name)
