"""`render LOOP`: one mail as it would arrive, for a sample person or a real one. Nothing is sent or claimed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import CONTENT, LOOP, LOOPS, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse

    from skene_airflow.loop.schema import Loop
    from skene_airflow.stages.look import Look


def run(args: argparse.Namespace) -> int:
    """Print or write the mail; 1 if it cannot be made for this person. Raises LoopError and SettingsError."""
    from skene_airflow.cli.deployment import settings
    from skene_airflow.cli.folder import named
    from skene_airflow.cli.looking import about, source_of, wish_of
    from skene_airflow.errors import MissingVariable
    from skene_airflow.message.address import InvalidAddress
    from skene_airflow.stages.look import look, site_of

    loop = named(args.loop, args.loops)
    try:
        seen = look(loop, wish_of(args), site_of(settings()), source_of(args, loop))
    except (MissingVariable, InvalidAddress) as error:
        print(f"skene-airflow render: {about(error)}", file=sys.stderr)
        return 1
    if args.out is not None:
        _write(Path(args.out), loop, seen)
    else:
        print(_shown(args.format, loop, seen), end="")
    for remark in seen.remarks:
        print(f"{'warning' if remark.serious else 'note'}: {remark.message} [{remark.rule}]", file=sys.stderr)
    return 0


def _shown(style: str, loop: Loop, seen: Look) -> str:
    message = seen.message
    if seen.notice is not None and style != "json":
        lines = [f"Title: {seen.notice.title}", f"Link: {seen.notice.link or 'none'}", "", seen.notice.body]
        return "\n".join(lines) + "\n"
    if style == "html":
        return message.html.rstrip("\n") + "\n"
    if style == "eml":
        return seen.eml.decode("utf-8").replace("\r\n", "\n")
    if style == "json":
        from skene_airflow.cli.output import as_json

        return as_json(_record(loop, seen)) + "\n"
    from skene_airflow.message.headers import headers_of

    lines = [f"{name}: {value}" for name, value in headers_of(message)]
    return "\n".join([*lines, "", message.text.rstrip("\n"), ""])


def _record(loop: Loop, seen: Look) -> dict[str, Any]:
    from skene_airflow.message.headers import headers_of

    message = seen.message
    which = {
        "loop_id": loop.id,
        "step_id": seen.step.id,
        "segment": seen.content.segment,
        "variant": seen.content.variant,
    }
    if seen.notice is not None:
        return which | {"title": seen.notice.title, "body": seen.notice.body, "link": seen.notice.link}
    return which | {
        "language": seen.language,
        "subject": message.subject,
        "headers": dict(headers_of(message)),
        "html": message.html,
        "text": message.text,
        "eml": seen.eml.decode("utf-8"),
        "warnings": [{"rule": each.rule, "message": each.message, "serious": each.serious} for each in seen.remarks],
    }


def _write(folder: Path, loop: Loop, seen: Look) -> None:
    from skene_airflow.errors import SettingsError
    from skene_airflow.message.contents import ALL

    segment = seen.content.segment if seen.content.segment != ALL else ""
    stem = ".".join(filter(None, (loop.id, seen.step.id, segment, seen.content.variant or "", seen.language)))
    parts = {".html": seen.message.html.encode(), ".txt": seen.message.text.encode(), ".eml": seen.eml}
    if seen.notice is not None:
        parts = {".txt": _shown("text", loop, seen).encode()}
    for ending, content in parts.items():
        file = folder / f"{stem}{ending}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except OSError as error:
            raise SettingsError(f"{file} cannot be written: {error.strerror}") from None
        print(f"wrote {file}")


VERB = Verb(
    description="Write one mail of a loop as it would arrive: HTML, text and .eml. It is made for a sample person, "
    "without a database; with --source for the first person of the loop's query, with --user for one of them. "
    "Nothing is sent, and nothing is written to the ledger.",
    run=run,
    arguments=(
        LOOP,
        *CONTENT,
        Argument(
            ("--out",), {"metavar": "DIR", "default": None, "help": "write .html, .txt and .eml into this folder"}
        ),
        format_argument("text", "html", "eml", "json"),
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow render re_engagement\n  skene-airflow render re_engagement --out mails\n"
    "  skene-airflow render re_engagement --format html > mail.html\n"
    "  skene-airflow render re_engagement --locale pt-BR --format json\n"
    "  skene-airflow render re_engagement --user 42 --source postgresql://reader@db.example/app\n"
    "exit codes: 0 fine, 1 a fault, or no mail can be made for this person, 2 wrong usage or no database",
)
