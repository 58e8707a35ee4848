"""How a message leaves: one file for each provider, one registry, one flow (`base`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.channels.base import Channel, ChannelConfig, Rule
from skene_airflow.channels.outbox import OutboxChannel
from skene_airflow.channels.resend import ResendChannel
from skene_airflow.channels.smtp import SmtpChannel
from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNELS: Mapping[str, type[Channel]] = {
    channel.name: channel for channel in (ResendChannel, SmtpChannel, OutboxChannel)
}
"""Every channel by its connection type. A new channel is one file and one name here."""


def make_channel(config: ChannelConfig) -> Channel:
    """The channel for a connection, not yet opened.

    Raises SettingsError if no channel has this connection type, or the connection lacks what its channel needs.
    """
    try:
        channel = CHANNELS[config.conn_type]
    except KeyError:
        known = ", ".join(sorted(CHANNELS))
        raise SettingsError(
            f"a connection of type '{config.conn_type}' sends no email; the types that do: {known}"
        ) from None
    return channel(config)


__all__ = ["CHANNELS", "Channel", "ChannelConfig", "Rule", "make_channel"]
