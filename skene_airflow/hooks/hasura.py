"""The `hasura` connection type, in the shape of an HTTP connection: host = its URL, password = the admin secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from skene_airflow.errors import SettingsError
from skene_airflow.hooks.connections import find_connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Connection

    from skene_airflow.hasura.client import Endpoint, Hasura

TYPES = ("hasura", "http", "https")


class HasuraHook(BaseHook):
    """Hasura v2: GraphQL and metadata. The extra ``role`` makes GraphQL requests that role's."""

    conn_name_attr = "hasura_conn_id"
    default_conn_name = "hasura_default"
    conn_type = "hasura"
    hook_name = "Hasura"

    def __init__(self, hasura_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.conn_id = hasura_conn_id

    def get_conn(self) -> Hasura:
        """The client, to be used in a ``with``. Raises SettingsError if the connection is missing or wrong."""
        from skene_airflow.hasura.client import Hasura

        return Hasura(endpoint_of(self.conn_id))

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None, role: str = "") -> dict[str, Any]:
        """The ``data`` of one request. Raises HasuraError."""
        with self.get_conn() as hasura:
            return hasura.graphql(query, variables, role=role)

    def metadata(self, kind: str, args: Mapping[str, Any] | Sequence[Mapping[str, Any]], **more: Any) -> Any:
        """The answer of one call of the metadata API, such as `export_metadata`. Raises HasuraError."""
        with self.get_conn() as hasura:
            return hasura.metadata(kind, args, **more)

    def test_connection(self) -> tuple[bool, str]:
        """Whether Hasura answers and takes the secret, and a sentence about it; nothing is changed."""
        with self.get_conn() as hasura:
            return hasura.test()


def endpoint_of(conn_id: str) -> Endpoint:
    """Where the connection ``conn_id`` leads, and as whom.

    Raises SettingsError for a connection that is missing or of another type.
    """
    from skene_airflow.hasura.client import Endpoint

    connection = find_connection(conn_id)
    if connection.conn_type not in TYPES:
        found = connection.conn_type or "nothing"
        message = f"the Airflow connection '{conn_id}' must be of type hasura (or http), not {found}"
        raise SettingsError(message)
    extra = connection.extra_dejson
    headers = extra.get("headers") or {}
    if not isinstance(headers, dict):
        message = f"the extra `headers` of the Airflow connection '{conn_id}' must be a map of names and values"
        raise SettingsError(message)
    return Endpoint(
        _url(connection, conn_id),
        connection.password or "",
        str(extra.get("role") or "").strip(),
        {str(name): str(value) for name, value in headers.items()},
    )


def _url(connection: Connection, conn_id: str) -> str:
    """As Airflow's HTTP connections are read: a whole URL as host, or its parts."""
    host = (connection.host or "").strip()
    if not host:
        message = f"the Airflow connection '{conn_id}' has no host: write the URL of Hasura there"
        raise SettingsError(message)
    if "://" not in host:
        host = f"{connection.schema or ('https' if connection.conn_type == 'https' else 'http')}://{host}"
    name, _, rest = host.partition("://")[2].partition("/")
    port = f":{connection.port}" if connection.port and ":" not in name else ""
    return f"{host.partition('://')[0]}://{name}{port}{f'/{rest}' if rest else ''}"
