"""The providers whose events are received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.feedback.resend import ResendReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skene_airflow.feedback.receiver import Receiver

RECEIVERS: Mapping[str, Receiver] = {each.name: each for each in (ResendReceiver(),)}
"""By name; its connection is `<name>_default` unless the URL names another."""
