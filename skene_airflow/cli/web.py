"""`web`: the pages behind the links in mail, by themselves, for deployments whose Airflow is not public."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LEDGER, LOOPS, Argument, Verb

if TYPE_CHECKING:
    import argparse

HOST = "127.0.0.1"
PORT = 8027
MOST = 256
"""Connections at a time; what comes on top is answered with 503. Each may bring as much as a provider's event."""


def run(args: argparse.Namespace) -> int:
    """Serve until somebody ends it. Raises SettingsError for a missing secret_key or a port that cannot be had."""
    from dataclasses import replace
    from pathlib import Path

    import uvicorn

    from skene_airflow.cli.deployment import ledger, settings, webhook_secrets
    from skene_airflow.cli.serving import listening
    from skene_airflow.feedback.shelf import Shelf
    from skene_airflow.web.public import public_app

    facts = settings()
    folder = args.loops or facts.loops_folder or ("loops" if Path("loops").is_dir() else "")
    shelf = Shelf(lambda: ledger(args.ledger))
    app = public_app(replace(facts, loops_folder=str(folder)), shelf, webhook_secrets)
    try:
        with listening(args.host, args.port) as listener:
            print(f"listening: http://{args.host}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
            # No access log: a link is a right to act, and does not belong into a log.
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False
            )
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        shelf.close()
    return 0


VERB = Verb(
    description="Serve the pages behind the links in mail: unsubscribe by one click (RFC 8058) and a page of topics, "
    "/resend, where Resend posts its signed events, and /hasura/events, where Hasura posts rows that changed. "
    "The same pages are part of Airflow's API server, at /skene. Put TLS in front, and let [skene] base_url name "
    "the public address.",
    run=run,
    arguments=(
        Argument(("--host",), {"metavar": "ADDRESS", "default": HOST, "help": f"where to listen ({HOST})"}),
        Argument(("--port",), {"type": int, "metavar": "N", "default": PORT, "help": f"the port ({PORT}; 0: any)"}),
        LEDGER,
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow web\n  skene-airflow web --host 0.0.0.0 --port 8080",
)
