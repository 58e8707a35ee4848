"""What a verb needs of the deployment: its settings and its connections, with as little of Airflow as can be.

Importing Airflow takes seconds, so it is imported only when an Airflow connection id has to be resolved.
"""

from __future__ import annotations

import configparser
import os
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from skene_airflow.channels import Channel
    from skene_airflow.hasura.client import Hasura
    from skene_airflow.ledger import Ledger
    from skene_airflow.settings import Settings


def settings() -> Settings:
    """``[skene]`` as the environment and airflow.cfg have it (secret_key may then be absent: see Airflow's `_CMD`)."""
    from skene_airflow.hooks.settings import read_settings

    return read_settings(option)


def option(name: str) -> str:
    """The raw text of an option, in Airflow's order: the environment first, then airflow.cfg; empty if unset."""
    text = os.environ.get(f"AIRFLOW__SKENE__{name.upper()}")
    return text if text is not None else _airflow_cfg().get("skene", name, fallback="")


def default_timezone() -> str:
    """The zone of triggers that name none: Airflow's ``[core] default_timezone``."""
    name = os.environ.get("AIRFLOW__CORE__DEFAULT_TIMEZONE")
    name = _airflow_cfg().get("core", "default_timezone", fallback="utc") if name is None else name
    if name == "system":
        from skene_airflow.hooks.settings import default_timezone as of_airflow

        return of_airflow()
    # Airflow's own default is `utc`, which is no name of the tz database where file names have a case.
    return "UTC" if name.lower() == "utc" else name


def ledger(uri: str | None) -> Ledger:
    """The ledger at ``uri``, else at the Airflow connection that the deployment names."""
    from skene_airflow.hooks.settings import DEFAULT_LEDGER
    from skene_airflow.ledger import Ledger

    return Ledger(connector(uri, settings().ledger_conn_id or DEFAULT_LEDGER), settings().schema)


def connector(uri: str | None, conn_id: str) -> Callable[[], psycopg.Connection[Any]]:
    """How to open a session of ``uri``, else of the Airflow connection ``conn_id``."""
    if uri:
        return partial(_open, uri)
    _on_airflows_side()
    from skene_airflow.hooks.postgres import postgres

    return postgres(conn_id)


def channel(conn_id: str) -> Channel:
    """The channel of an Airflow connection, not yet opened. Raises SettingsError."""
    _on_airflows_side()
    from skene_airflow.hooks.connections import open_channel

    return open_channel(conn_id)


def webhook_secrets(conn_id: str) -> tuple[str, ...]:
    """The webhook secrets of an Airflow connection. Raises SettingsError."""
    _on_airflows_side()
    from skene_airflow.hooks.connections import webhook_secrets as found

    return found(conn_id)


def hasura(url: str | None, conn_id: str) -> Hasura:
    """The Hasura at ``url`` (the secret is in the environment), else of an Airflow connection. Raises SettingsError."""
    from skene_airflow.hasura.client import Endpoint, Hasura

    if url:
        return Hasura(Endpoint(url, os.environ.get("HASURA_GRAPHQL_ADMIN_SECRET", "")))
    _on_airflows_side()
    from skene_airflow.hooks.hasura import endpoint_of

    return Hasura(endpoint_of(conn_id))


def _on_airflows_side() -> None:
    # Outside of a task Airflow asks its metadata database too only if the process says it is on that side.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


def _open(uri: str) -> psycopg.Connection[Any]:
    import psycopg

    try:
        return psycopg.connect(uri)
    except psycopg.ProgrammingError:
        message = "this is not a Postgres URI: write postgresql://user:password@host:5432/database"
        raise SettingsError(message) from None
    except psycopg.OperationalError as error:
        message = f"the database cannot be reached: {str(error).splitlines()[0]}"
        raise SettingsError(message) from None


@cache
def _airflow_cfg() -> configparser.ConfigParser:
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    file = Path(os.environ.get("AIRFLOW_CONFIG", home / "airflow.cfg")).expanduser()
    # Airflow's own file may hold `%` and keys of other sections in any form; only [skene] is read here.
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    parser.read(file)
    return parser
