"""What an email connection says of its own use: the rate that all workers share, and what to do in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.errors import SettingsError
from skene_airflow.ledger import control
from skene_airflow.nouns import Doubt

if TYPE_CHECKING:
    from skene_airflow.channels.base import Channel
    from skene_airflow.stages.job import Job


class Pace:
    """When the next call may begin. Raises SettingsError when made if the connection's `rate` is no rate."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._ledger, self._connection = job.ledger, job.loop.email_connection(job.step)
        self._rate = mails_per_second(channel)

    def ahead(self) -> float:
        """How many seconds ahead the connection's next free turn is: 0.0 without a rate."""
        return control.ahead(self._ledger, self._connection) if self._rate else 0.0

    def turn(self, mails: int, longest: float) -> float | None:
        """Reserve the time that these mails take of the connection; returns the seconds to wait before the call.

        None, and nothing is reserved, if others are before us for more than ``longest`` seconds.
        """
        if not self._rate:
            return 0.0
        return control.take(self._ledger, self._connection, mails / self._rate, longest)


def policy_for_doubt(channel: Channel) -> Doubt:
    """The connection's extra `uncertain`; `hold` if it is not set. Raises SettingsError for another word."""
    text = channel.config.text("uncertain") or Doubt.HOLD.value
    try:
        return Doubt(text)
    except ValueError:
        words = ", ".join(Doubt)
        raise SettingsError(f"The email connection's extra `uncertain` must be one of: {words}.") from None


def mails_per_second(channel: Channel) -> float:
    """The connection's extra `rate`; 0.0 if it sets none. Raises SettingsError if it is not a positive number."""
    text = channel.config.text("rate")
    if not text:
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise SettingsError("The email connection's extra `rate` must be a positive number: mails per second.")
    return rate
