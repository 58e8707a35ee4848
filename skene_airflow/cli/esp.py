"""`esp`: a local Resend-compatible server for development. It takes mail, shows it, and sends nothing."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import Argument, Verb

if TYPE_CHECKING:
    from skene_airflow.testing import Webhook

PORT = 8026


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted. Raises SettingsError for a taken port, a folder that cannot be written, a bad secret."""
    from skene_airflow.errors import SettingsError
    from skene_airflow.testing.esp import Esp

    try:
        webhook = _webhook(args)
        esp = Esp(args.port, args.data, webhook, args.rate or None, _shares(args.fault), args.api_key)
    except OSError as error:
        where = f"127.0.0.1:{args.port}" if args.data is None else f"127.0.0.1:{args.port} or {args.data}"
        message = f"{where} cannot be used: {error.strerror}; take another with --port or --data"
        raise SettingsError(message) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    with esp:
        print(*_hello(esp.url, args, webhook), sep="\n", flush=True)
        stopped.wait()
    return 0


def _webhook(args: argparse.Namespace) -> Webhook | None:
    from skene_airflow.testing import Webhook
    from skene_airflow.testing.resend_events import new_secret

    if not args.webhook:
        return None
    return Webhook(args.webhook, args.webhook_secret or os.environ.get("RESEND_WEBHOOK_SECRET") or new_secret())


def _shares(faults: list[tuple[str, float]] | None) -> dict[str, float]:
    return dict(faults or ())


def _hello(url: str, args: argparse.Namespace, webhook: Webhook | None) -> list[str]:
    connection: dict[str, Any] = {"conn_type": "resend", "host": url, "password": args.api_key or "re_anything"}
    lines = [f"A Resend that sends nothing: {url} (open it to read the mails; Ctrl-C ends it)"]
    if webhook is not None:
        connection["extra"] = {"webhook_secret": webhook.secret}
        lines.append(f"Signed webhooks go to {webhook.url}")
    return [*lines, f"export AIRFLOW_CONN_RESEND_DEFAULT='{json.dumps(connection)}'"]


def _fault(text: str) -> tuple[str, float]:
    from skene_airflow.testing import FAULTS

    name, _, share = text.partition("=")
    try:
        number = float(share or "1")
    except ValueError:
        number = -1.0
    if name not in FAULTS or not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"write NAME or NAME=0.05; names: {', '.join(FAULTS)}")
    return name, number


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 65535")
    return int(text)


VERB = Verb(
    description="A local Resend-compatible server: POST /emails and /emails/batch, GET /emails/ID, idempotency, rate "
    "limits, errors, signed webhooks, and a page to read the mails. It listens on 127.0.0.1 alone and sends nothing.",
    run=run,
    arguments=(
        Argument(("--port",), {"metavar": "N", "type": _whole, "default": PORT, "help": f"the port ({PORT}; 0: any)"}),
        Argument(("--data",), {"metavar": "DIR", "type": Path, "default": None, "help": "keep mails and keys here"}),
        Argument(("--rate",), {"metavar": "N", "type": _whole, "default": 10, "help": "calls a second (10; 0: any)"}),
        Argument(("--webhook",), {"metavar": "URL", "default": None, "help": "where signed events are posted"}),
        Argument(
            ("--webhook-secret",),
            {"metavar": "whsec_...", "default": None, "help": "else $RESEND_WEBHOOK_SECRET, else a new one, printed"},
        ),
        Argument(
            ("--fault",),
            {
                "metavar": "NAME=SHARE",
                "type": _fault,
                "action": "append",
                "default": None,
                "help": "what goes wrong, and for which share of the calls; may be given several times",
            },
        ),
        Argument(("--api-key",), {"metavar": "KEY", "default": None, "help": "the one key that is good (else any)"}),
    ),
    epilog="examples:\n  skene-airflow esp\n  skene-airflow esp --data .esp --webhook http://127.0.0.1:8080/skene/resend\n"
    "  skene-airflow esp --fault drop_after=0.05 --fault rate_limit=0.1",
)
