"""The `outbox` connection type: host = the folder that gets the mails as files."""

from __future__ import annotations

from skene_airflow.hooks.channel import ChannelHook


class OutboxHook(ChannelHook):
    """Mail that stays on this machine, as files to look at."""

    conn_name_attr = "outbox_conn_id"
    default_conn_name = "outbox_default"
    conn_type = "outbox"
    hook_name = "Outbox (mails as files in a folder)"

    def __init__(self, outbox_conn_id: str = default_conn_name) -> None:
        super().__init__(outbox_conn_id)
