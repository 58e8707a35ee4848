"""Airflow connection ids become channels and database connections. Nothing falls back to another connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

from skene_airflow.errors import SettingsError, SkeneError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from skene_airflow.channels import Channel, ChannelConfig


class ConnectionUnreadableError(SkeneError):
    """A connection could not be read from the secrets backend; Airflow will try again."""


def find_connection(conn_id: str) -> Connection:
    """The Airflow connection ``conn_id``.

    Raises SettingsError if nobody defined it, ConnectionUnreadableError if that cannot be known.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise _absent(conn_id) from None


def channel_config(conn_id: str) -> ChannelConfig:
    """What a channel needs to know of the connection ``conn_id``; raises as find_connection does."""
    from skene_airflow.channels import ChannelConfig

    connection = find_connection(conn_id)
    return ChannelConfig(
        conn_type=connection.conn_type or "",
        host=connection.host or "",
        port=connection.port,
        login=connection.login or "",
        password=connection.password or "",
        schema=connection.schema or "",
        extra=connection.extra_dejson,
    )


def open_channel(conn_id: str) -> Channel:
    """The channel of the connection ``conn_id``; raises SettingsError if its type is no channel."""
    from skene_airflow.channels import make_channel

    return make_channel(channel_config(conn_id))


def webhook_secrets(conn_id: str) -> tuple[str, ...]:
    """The extra ``webhook_secret`` of a connection, several with commas between; raises as find_connection does."""
    found = channel_config(conn_id).text("webhook_secret")
    return tuple(secret for part in found.split(",") if (secret := part.strip()))


def _absent(conn_id: str) -> SkeneError:
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    how = f"set the environment variable {name} or add it under Admin → Connections in the Airflow UI"
    # Airflow swallows a secrets backend's outage and then says "not defined": only without one is absence certain.
    if conf.get("secrets", "backend", fallback="") or conf.get("workers", "secrets_backend", fallback=""):
        return ConnectionUnreadableError(
            f"the Airflow connection '{conn_id}' is not to be found; if it is missing, {how}"
        )
    return SettingsError(f"the Airflow connection '{conn_id}' does not exist: {how}")
