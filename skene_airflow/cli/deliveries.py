"""`deliveries list | retry | abandon | settle | import`: what only a person can decide. Audited."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.import_ import IMPORT
from skene_airflow.cli.verb import ACTOR, LEDGER, LOOPS, Argument, Verb, below, format_argument
from skene_airflow.nouns import PROVIDERS, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.deliveries import Deed, Which

_SHOWN = (
    "delivery_id",
    "loop_id",
    "step_id",
    "user_key",
    "entry_key",
    "run_id",
    "status",
    "reason",
    "error_class",
    "provider",
    "attempts",
    "queued_at",
    "sent_at",
)


def _list(args: argparse.Namespace) -> int:
    """Print the rows of deliveries_v. Raises LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.ledger import deliveries

    with acting.opened(args) as book:
        acting.warn_unknown(book, args.loop, args.loops)
        rows = deliveries.find(book, _which(args, args.status), args.limit + 1)
    more, rows = len(rows) > args.limit, [{name: _plain(value) for name, value in row.items()} for row in rows]
    rows = rows[: args.limit]
    if args.format == "json":
        print(output.as_json({"deliveries": rows, "more": more}))
        return 0
    print(output.table([{name: _cell(row[name]) for name in _SHOWN} for row in rows]) or "no deliveries")
    if more:
        print(f"... and more: --limit shows more than {args.limit}", file=sys.stderr)
    return 0


def _retry(args: argparse.Namespace) -> int:
    """Queue them anew. Raises SettingsError and LedgerError."""
    from skene_airflow.channels import CHANNELS
    from skene_airflow.ledger.deliveries import RETRIED, Again, retry

    again = Again({name: kind.batch_size for name, kind in CHANNELS.items()}, args.provider, _expiries(args.loops))
    statuses = [args.status] if args.status else [s for s in RETRIED if s is not Status.UNCERTAIN or args.may_double]

    def change(book: Ledger, ids: Sequence[int], deed: Deed) -> int:
        return retry(book, ids, deed, again, args.may_double)

    return _change(args, statuses, change, "queued anew", "the next run or skene_upkeep (hourly) sends them")


def _abandon(args: argparse.Namespace) -> int:
    """Give them up. Raises SettingsError and LedgerError."""
    from skene_airflow.ledger.deliveries import abandon

    return _change(args, [Status.UNCERTAIN], abandon, "abandoned", "they keep their entry, and are not mailed again")


def _settle(args: argparse.Namespace) -> int:
    """Record that they went out. Raises SettingsError and LedgerError."""
    from skene_airflow.errors import SettingsError
    from skene_airflow.ledger.deliveries import settle

    if args.message_id and len(args.delivery) != 1:
        message = "--message-id belongs to one delivery: name its number"
        raise SettingsError(message)

    def change(book: Ledger, ids: Sequence[int], deed: Deed) -> int:
        return settle(book, ids, deed, args.message_id)

    return _change(args, [Status.UNCERTAIN], change, "settled as sent", "")


def _change(
    args: argparse.Namespace,
    statuses: Sequence[str],
    change: Callable[[Ledger, Sequence[int], Deed], int],
    done: str,
    then: str,
) -> int:
    from skene_airflow.cli import acting, output
    from skene_airflow.errors import SettingsError
    from skene_airflow.ledger import deliveries

    filtered = any((args.loop, args.step, args.run_id, args.user))
    if filtered == bool(args.delivery):
        message = (
            "name deliveries by number, or choose them by --loop, --step, --run, --user; `deliveries list` shows both"
        )
        raise SettingsError(message)
    with acting.opened(args) as book:
        if acting.warn_unknown(book, args.loop, args.loops):
            return 2
        ids = args.delivery or [row["delivery_id"] for row in deliveries.find(book, _which(args, *statuses))]
        try:
            count = change(book, sorted(set(ids)), acting.deed(args)) if ids else 0
        except deliveries.DeliveriesRefused as error:
            print(f"skene-airflow deliveries {args.action}: {error}", file=sys.stderr)
            return 1
    if args.format == "json":
        print(output.as_json({"changed": count, "deliveries": sorted(set(ids))}))
    else:
        print(f"{output.count(count, 'delivery')} {done}{f'; {then}' if then and count else ''}")
    return 0


def _which(args: argparse.Namespace, *statuses: str | None) -> Which:
    from skene_airflow.ledger.deliveries import Which

    chosen = tuple(Status(status) for status in statuses if status)
    return Which(None, args.loop, args.step, args.run_id, args.user, chosen or None)


def _expiries(loops: str | None) -> dict[str, Any]:
    """Each loop's own `expires_after`, as far as the folder's files load; the language's default counts for others."""
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.errors import SettingsError
    from skene_airflow.stages.check import check_folder

    try:
        return {loop.id: loop.expires_after for loop in check_folder(loops_folder(loops)).loops}
    except SettingsError:
        return {}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _cell(value: Any) -> str:
    return "" if value is None else str(value)[:19] if str(value)[10:11] == "T" else str(value)


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _option(*flags: str, **options: Any) -> Argument:
    return Argument(flags, {"default": None, **options})


_FILTERS = (
    _option("--loop", metavar="ID", help="only this loop"),
    _option("--step", metavar="ID", help="only this step"),
    _option("--run", metavar="RUN_ID", dest="run_id", help="only this run"),
    _option("--user", metavar="KEY", help="only this person key"),
)
_NUMBERS = Argument(
    ("delivery",),
    {"metavar": "NUMBER", "nargs": "*", "type": _number, "help": "delivery numbers, as `list` shows them"},
)
_COMMON = (ACTOR, format_argument("text", "json"), LEDGER, LOOPS)


def _reason(*flags: str, required: bool, text: str) -> Argument:
    return Argument(flags, {"metavar": "TEXT", "default": "", "required": required, "dest": "reason", "help": text})


VERB = below(
    "Single deliveries: look at them, and decide what only a person can decide. Every change is in skene.audit.",
    {
        "list": Verb(
            description="Print deliveries, the newest first. Person keys only, never an address.",
            run=_list,
            arguments=(
                *_FILTERS,
                _option("--status", choices=[status.value for status in Status], help="only this status"),
                Argument(("--limit",), {"metavar": "N", "type": _number, "default": 100, "help": "at most N (100)"}),
                format_argument("text", "json"),
                LEDGER,
                LOOPS,
            ),
            epilog="examples:\n  skene-airflow deliveries list --status uncertain\n"
            "  skene-airflow deliveries list --loop re_engagement --user 42 --format json",
        ),
        "retry": Verb(
            description="Send failed and abandoned ones again, in new batches with new keys. Uncertain ones too with "
            "--may-double. They expire `expires_after` (24h) from now; suppressions and exits are asked again.",
            run=_retry,
            arguments=(
                _NUMBERS,
                *_FILTERS,
                _option("--status", choices=["failed", "uncertain", "abandoned"], help="only this status"),
                Argument(
                    ("--may-double",),
                    {"action": "store_true", "help": "also uncertain ones, which may have been mailed already"},
                ),
                _option("--provider", choices=PROVIDERS, help="send with it instead of the old one"),
                _reason("--reason", required=False, text="why, for the audit"),
                *_COMMON,
            ),
            epilog="examples:\n  skene-airflow deliveries retry 4711 4712\n"
            "  skene-airflow deliveries retry --loop re_engagement --status failed\n"
            "  skene-airflow deliveries retry --run scheduled__2026-11-24 --status uncertain --may-double",
        ),
        "abandon": Verb(
            description="Give up on uncertain ones. They are not mailed again, and keep their entry.",
            run=_abandon,
            arguments=(_NUMBERS, *_FILTERS, _reason("--reason", required=True, text="why, for the audit"), *_COMMON),
            epilog="example:\n  skene-airflow deliveries abandon 4711 --reason 'the relay lost its queue'",
        ),
        "settle": Verb(
            description="Record that uncertain ones did go out. They become sent, and on_sent runs for them.",
            run=_settle,
            arguments=(
                _NUMBERS,
                *_FILTERS,
                _reason("--evidence", "--reason", required=True, text="how you know, for the audit"),
                _option("--message-id", metavar="ID", help="the provider's id of the message (one delivery)"),
                *_COMMON,
            ),
            epilog='example:\n  skene-airflow deliveries settle 4711 --evidence "in the relay\'s log, line 8841"',
        ),
        "import": IMPORT,
    },
    epilog="exit codes: 0 done (also if nothing matched), 1 nothing was changed because of a delivery's state, "
    "2 wrong usage or the ledger cannot be reached",
)
