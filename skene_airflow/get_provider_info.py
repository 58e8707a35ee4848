"""What this package tells Airflow about itself. Every Airflow process imports this file, so it imports nothing."""

from __future__ import annotations

from typing import Any

_VERSION = "0.1.0"


def _option(
    description: str, default: str, *, kind: str = "string", example: str | None = None, sensitive: bool = False
) -> dict[str, Any]:
    option = {
        "description": description,
        "version_added": _VERSION,
        "type": kind,
        "example": example,
        "default": default,
    }
    return option | ({"sensitive": True} if sensitive else {})


_OPTIONS = {
    "loops_folder": _option(
        "The folder of the loop files. Empty: the folder `loops` beside the folder of the DAG file.",
        "",
        example="/opt/airflow/loops",
    ),
    "ledger_conn_id": _option(
        "The Postgres connection of the ledger; one ledger serves the whole installation. Empty: `skene_source`.",
        "",
        example="skene_ledger",
    ),
    "schema": _option("The Postgres schema that holds the ledger.", "skene", example="growth"),
    "auto_migrate": _option(
        "Whether a run brings the ledger's schema up to date by itself. If False, run `skene-airflow migrate`.",
        "True",
        kind="boolean",
        example="False",
    ),
    "max_mode": _option(
        "The most that any run of this deployment may do: `live`, `redirect` (all mail goes to `redirect_to`)"
        " or `shadow` (nothing is sent).",
        "live",
        example="redirect",
    ),
    "redirect_to": _option(
        "The one address that gets all mail while `max_mode` is `redirect`.", "", example="growth-test@acme.example"
    ),
    "from_email": _option(
        "The From address of loops and connections that name none.", "", example="Acme <hello@acme.example>"
    ),
    "base_url": _option(
        "The public root of the web app, path included; unsubscribe links are `<base_url>/u/<token>`.",
        "",
        example="https://airflow.acme.example/skene",
    ),
    "postal_address": _option(
        "The postal address in the footer of marketing mail.", "", example="Acme Inc., 1 Main Street, Springfield"
    ),
    "secret_key": _option(
        "Signs the links in mail. Comma-separated: the first key signs, all of them verify.",
        "",
        example="a-long-random-string",
        sensitive=True,
    ),
    "retention_days": _option(
        "After how many days the columns that templates used are erased from the ledger.",
        "30",
        kind="integer",
        example="90",
    ),
}

_RATE = {
    "label": "Mails per second",
    "description": "Empty: only the provider's own limits count.",
    "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
}
_FROM_EMAIL = {
    "label": "From address",
    "description": "Used by loops without `action.from`.",
    "schema": {"type": ["string", "null"]},
}
_UNCERTAIN = {
    "label": "When nobody knows whether a mail left",
    "description": "hold: a person decides; assume_sent: count it as sent; resend: send it again.",
    "schema": {"type": "string", "enum": ["hold", "assume_sent", "resend"], "default": "hold"},
}
_WEBHOOK_SECRET = {
    "label": "Webhook secret",
    "description": "Verifies the events that Resend posts back.",
    "schema": {"type": ["string", "null"], "format": "password"},
}

_CONNECTION_TYPES = [
    {
        "connection-type": "resend",
        "hook-class-name": "skene_airflow.hooks.resend.ResendHook",
        "hook-name": "Resend",
        "ui-field-behaviour": {
            "hidden-fields": ["login", "port", "schema", "extra"],
            "relabeling": {"password": "API key", "host": "Base URL"},
            "placeholders": {"password": "re_...", "host": "https://api.resend.com"},
        },
        "conn-fields": {
            "from_email": _FROM_EMAIL,
            "rate": _RATE,
            "uncertain": _UNCERTAIN,
            "webhook_secret": _WEBHOOK_SECRET,
        },
    },
    {
        "connection-type": "hasura",
        "hook-class-name": "skene_airflow.hooks.hasura.HasuraHook",
        "hook-name": "Hasura",
        "ui-field-behaviour": {
            "hidden-fields": ["login", "schema", "extra"],
            "relabeling": {"password": "Admin secret", "host": "URL"},
            "placeholders": {"host": "https://hasura.acme.example", "password": "HASURA_GRAPHQL_ADMIN_SECRET"},
        },
        "conn-fields": {
            "role": {
                "label": "Role of GraphQL conditions",
                "description": "Empty: the administrator, who may read everything.",
                "schema": {"type": ["string", "null"]},
            },
            "webhook_secret": _WEBHOOK_SECRET | {"description": "Verifies the events that Hasura posts."},
        },
    },
    {
        "connection-type": "outbox",
        "hook-class-name": "skene_airflow.hooks.outbox.OutboxHook",
        "hook-name": "Outbox (mails as files in a folder)",
        "ui-field-behaviour": {
            "hidden-fields": ["login", "password", "port", "schema", "extra"],
            "relabeling": {"host": "Folder"},
            "placeholders": {"host": "/opt/airflow/outbox"},
        },
        "conn-fields": {"from_email": _FROM_EMAIL},
    },
]


def get_provider_info() -> dict[str, Any]:
    """Airflow's provider info; it must be valid against Airflow's own schema, or `import airflow` fails."""
    return {
        "package-name": "skene-airflow",
        "name": "Skene growth loops",
        "description": "One YAML file is one growth loop: an Airflow DAG that mails the right people exactly once.",
        "integrations": [
            {"integration-name": "Skene", "tags": ["software"]},
            {"integration-name": "Resend", "external-doc-url": "https://resend.com/docs", "tags": ["service"]},
            {"integration-name": "Hasura", "external-doc-url": "https://hasura.io/docs/2.0", "tags": ["software"]},
        ],
        "operators": [
            {
                "integration-name": "Skene",
                "python-modules": [
                    f"skene_airflow.operators.{stage}" for stage in ("evaluate", "segment", "send", "report")
                ],
            }
        ],
        "hooks": [
            {"integration-name": "Resend", "python-modules": ["skene_airflow.hooks.resend"]},
            {"integration-name": "Hasura", "python-modules": ["skene_airflow.hooks.hasura"]},
            {"integration-name": "Skene", "python-modules": ["skene_airflow.hooks.outbox"]},
        ],
        "triggers": [{"integration-name": "Skene", "python-modules": ["skene_airflow.triggers.changes"]}],
        "connection-types": _CONNECTION_TYPES,
        "config": {
            "skene": {"description": "Growth loops: what a deployment sets once.", "options": _OPTIONS},
        },
        "cli": ["skene_airflow.cli.airflow_commands.get_cli_commands"],
    }
