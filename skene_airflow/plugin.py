"""The Airflow plugin: mounts the public pages at /skene in the API server. Every Airflow process imports this file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


_TOKEN = re.compile(r"(/u/)[^/]+")


class LazyApp:
    """Builds the app at its first request: tasks and the scheduler load plugins too, and never serve a page."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        self._app = self._app or _build()
        try:
            await self._app(scope, receive, send)
        finally:
            # Airflow's access log prints this path once we are done: a link is a right to act, and stays out of it.
            scope["path"] = _TOKEN.sub(r"\1***", scope.get("path", ""))


def _build() -> ASGIApp:
    from skene_airflow.errors import SettingsError
    from skene_airflow.feedback.shelf import Shelf
    from skene_airflow.hooks.connections import webhook_secrets
    from skene_airflow.hooks.postgres import postgres
    from skene_airflow.hooks.settings import DEFAULT_LEDGER, airflow_settings
    from skene_airflow.ledger import Ledger
    from skene_airflow.web.public import public_app, unready

    try:
        settings = airflow_settings()
        connect = postgres(settings.ledger_conn_id or DEFAULT_LEDGER)
        return public_app(settings, Shelf(lambda: Ledger(connect, settings.schema)), webhook_secrets)
    except SettingsError as error:
        return unready(error)


class SkenePlugin(AirflowPlugin):
    """Deliberately public: people who say no, and providers, have no account. Links are signed."""

    name = "skene"
    # Airflow's base class declares it as an instance's.
    fastapi_apps: list[Any] = [{"app": LazyApp(), "url_prefix": "/skene", "name": "skene"}]  # noqa: RUF012
