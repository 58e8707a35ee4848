"""What the verbs that serve pages share."""

from __future__ import annotations

import socket


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there (port 0: any). Raises SettingsError if it cannot be had."""
    from skene_airflow.errors import SettingsError

    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError):
        raise SettingsError(f"port {port} on {host} cannot be had: name another with --port or --host") from None
