"""The fakes we ship for tests: held to the same contracts as the real things."""

from __future__ import annotations

from skene_airflow.testing.resend_events import Webhook
from skene_airflow.testing.resend_faults import FAULTS, Reply
from skene_airflow.testing.resend_server import ResendServer
from skene_airflow.testing.resend_state import Accepted, Request, read_accepted

__all__ = ["FAULTS", "Accepted", "Reply", "Request", "ResendServer", "Webhook", "read_accepted"]
