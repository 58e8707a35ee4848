"""`doctor`: do versions, loops, settings and connections fit together? Nothing is changed, no mail is sent."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from skene_airflow.cli.verb import LEDGER, LOOPS, SOURCE, Verb, format_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from skene_airflow.loop.schema import Loop

_FINDING: Final = 1
_TROUBLE: Final = 2


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found (None: fine, with advice), and the exit code if it is not good."""

    name: str
    ok: bool | None
    message: str
    code: int = _TROUBLE


def run(args: argparse.Namespace) -> int:
    """Print one line for each check; the gravest decides the exit code. Raises nothing for what it finds."""
    from skene_airflow.cli import output

    checks = []
    for check in _checks(args):
        checks.append(check)
        if args.format == "text":
            print(f"{output.mark(check.ok)} {check.name}: {check.message}", flush=True)
    if args.format == "json":
        shown = [{key: value for key, value in asdict(check).items() if key != "code"} for check in checks]
        print(output.as_json({"checks": shown}))
    return max((check.code for check in checks if check.ok is False), default=0)


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    yield from _guarded("versions", _versions)
    loops: list[Loop] = []
    yield from _guarded("loops", lambda: _loops(args, loops))
    yield from _guarded("settings", lambda: _settings(loops))
    yield from _guarded("ledger", lambda: _ledger(args))
    sources = {loop.connections.source: loop for loop in reversed(loops)}
    for conn_id, loop in sorted(sources.items()):
        yield from _guarded(f"source {conn_id}", lambda: _source(args, conn_id, loop))  # noqa: B023 - called at once
    mails = {loop.email_connection(step) for loop in loops for step in loop.steps if step.action.type == "email"}
    for conn_id in sorted(mails):
        yield from _guarded(f"email {conn_id}", lambda: _email(conn_id))  # noqa: B023 - called at once


def _guarded(name: str, look: Callable[[], Iterator[tuple[bool | None, str, int]]]) -> Iterator[Check]:
    """The findings of one check; an error that a person can mend is a finding."""
    from skene_airflow.errors import SkeneError

    try:
        for ok, message, code in look():
            yield Check(name, ok, message, code)
    except SkeneError as error:
        yield Check(name, ok=False, message=str(error))


def _versions() -> Iterator[tuple[bool | None, str, int]]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("skene-airflow", "apache-airflow", "apache-airflow-providers-postgres", "psycopg", "pglast"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            yield False, f"{package} is not installed: pip install {package}", _TROUBLE
    python = ".".join(map(str, sys.version_info[:3]))
    airflow = next((text.split()[1] for text in found if text.startswith("apache-airflow ")), "")
    if airflow and tuple(int(part) for part in airflow.split(".")[:2] if part.isdigit()) < (3, 3):
        yield False, f"Airflow {airflow} is too old: 3.3 or newer is needed", _TROUBLE
    yield True, f"Python {python}, {', '.join(found)}", 0


def _loops(args: argparse.Namespace, good: list[Loop]) -> Iterator[tuple[bool | None, str, int]]:
    from skene_airflow.cli.folder import check
    from skene_airflow.cli.output import count

    (folder,) = check((), args.loops)
    good.extend(folder.loops)
    if folder.faults:
        what = f"{count(len(folder.faults), 'fault')} in {folder.root}: run skene-airflow validate"
        yield False, what, _FINDING
    if not folder.files:
        yield None, f"no loops in {folder.root}: skene-airflow new makes one", 0
    elif good:
        yield True, f"{count(len(good), 'loop')} in {folder.root}", 0


def _settings(loops: list[Loop]) -> Iterator[tuple[bool | None, str, int]]:
    from skene_airflow.cli.deployment import settings

    found = settings()
    yield True, f"max_mode {found.max_mode}, schema {found.schema}", 0
    if not any(loop.class_ == "marketing" for loop in loops):
        return
    if not found.base_url:
        yield None, "[skene] base_url is empty: mails carry no unsubscribe link of ours", 0
    elif not found.secret_keys:
        yield None, "[skene] secret_key is not to be seen here: without it mails carry no unsubscribe link", 0
    if not found.postal_address:
        yield None, "[skene] postal_address is empty: many countries want one in marketing mail", 0


def _ledger(args: argparse.Namespace) -> Iterator[tuple[bool | None, str, int]]:
    from skene_airflow.cli.deployment import ledger
    from skene_airflow.ledger.migrate import applied, migrations

    book = ledger(args.ledger)
    try:
        with book.transaction() as cur:
            newest, known = applied(cur, book.schema), migrations()[-1].number
    finally:
        book.close()
    where = f"schema {book.schema}, version {newest}"
    if newest < known:
        yield False, f"{where}, but this package needs {known}: run skene-airflow migrate", _FINDING
    elif newest > known:
        yield False, f"{where}, and this package knows {known}: update skene-airflow", _FINDING
    else:
        yield True, where, 0


def _source(args: argparse.Namespace, conn_id: str, loop: Loop) -> Iterator[tuple[bool | None, str, int]]:
    from skene_airflow.cli.deployment import connector

    with closing(connector(args.source or None, conn_id)()) as conn:
        row = conn.execute(
            "SELECT to_regclass(%(table)s) IS NOT NULL,"
            " to_regclass(%(table)s) IS NOT NULL AND has_table_privilege(to_regclass(%(table)s),"
            " 'INSERT, UPDATE, DELETE'), current_setting('server_version')",
            {"table": loop.user.table},
        ).fetchone()
    is_there, may_write, version = row or (False, False, "?")
    yield True, f"reachable, PostgreSQL {version}", 0
    if not is_there:
        yield None, f"there is no table '{loop.user.table}', which is `user.table` of {loop.id}", 0
    elif may_write:
        yield None, f"this role may write '{loop.user.table}': queries only read, so a read-only role is safer", 0


def _email(conn_id: str) -> Iterator[tuple[bool | None, str, int]]:
    from skene_airflow.cli.deployment import channel

    with channel(conn_id) as opened:
        good, message = opened.test()
    yield good, f"{opened.name}: {message}", _TROUBLE


VERB = Verb(
    description="Look whether versions, loops, settings and connections fit together. Nothing is changed and no mail "
    "is sent.",
    run=run,
    arguments=(format_argument("text", "json"), LOOPS, SOURCE, LEDGER),
    epilog="examples:\n  skene-airflow doctor\n"
    "  skene-airflow doctor --source postgresql://reader@db.example/app --ledger postgresql://ledger@db.example/app\n"
    "exit codes: 0 all fine, 1 a fault in a loop or an old ledger, 2 something is missing or cannot be reached",
)
