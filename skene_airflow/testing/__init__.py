"""The fakes we ship for tests, held to the same contracts as the real things; and golden files for templates."""

from __future__ import annotations

from skene_airflow.testing.golden import check_golden, rendered
from skene_airflow.testing.resend_events import Webhook
from skene_airflow.testing.resend_faults import FAULTS, Reply
from skene_airflow.testing.resend_server import ResendServer
from skene_airflow.testing.resend_state import Accepted, Request, read_accepted

__all__ = [
    "FAULTS",
    "Accepted",
    "Reply",
    "Request",
    "ResendServer",
    "Webhook",
    "check_golden",
    "read_accepted",
    "rendered",
]
