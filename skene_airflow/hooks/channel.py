"""An Airflow connection as the configuration of a channel, and the one shape of our email hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from skene_airflow.hooks.connections import channel_config

if TYPE_CHECKING:
    from skene_airflow.channels.base import Channel


class ChannelHook(BaseHook):
    """A hook whose only work is to open the channel of its connection."""

    conn_name_attr = "conn_id"
    default_conn_name = ""

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id = conn_id or self.default_conn_name

    def get_conn(self) -> Channel:
        """The channel, not yet opened. Raises SettingsError if the connection is missing or wrong."""
        from skene_airflow.channels import make_channel

        return make_channel(channel_config(self.conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection works, and a sentence about it; no mail is sent."""
        with self.get_conn() as channel:
            return channel.test()
