"""The `resend` connection type: password = API key, host = any Resend-compatible base URL."""

from __future__ import annotations

from skene_airflow.hooks.channel import ChannelHook


class ResendHook(ChannelHook):
    """Mail through Resend's HTTP interface."""

    conn_name_attr = "resend_conn_id"
    default_conn_name = "resend_default"
    conn_type = "resend"
    hook_name = "Resend"

    def __init__(self, resend_conn_id: str = default_conn_name) -> None:
        super().__init__(resend_conn_id)
