"""`new PATTERN NAME`: a loop and its template to begin with. Nothing is ever overwritten."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from skene_airflow.cli.verb import LOOPS, Argument, Verb
from skene_airflow.loop.patterns import PATTERNS

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_ID: Final = re.compile(r"(?!skene_upkeep$)(?!.*__)[a-z][a-z0-9_]{0,99}")


def run(args: argparse.Namespace) -> int:
    """Write the files. Raises SettingsError for an unknown pattern, a bad name, or files that are there."""
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.errors import SettingsError
    from skene_airflow.loop.load import loop_files
    from skene_airflow.loop.patterns import scaffold

    if args.pattern not in PATTERNS:
        raise SettingsError(_unknown(args.pattern))
    if not _ID.fullmatch(args.name):
        message = f"'{args.name}' cannot be a loop's name: write lower-case letters, digits and single '_'"
        raise SettingsError(message)
    root = loops_folder(args.loops)
    texts = {root / path: text for path, text in scaffold(args.pattern, args.name).items()}
    there = [path for path in loop_files(root) if path.stem == args.name]
    there += [path for path in texts if path.exists() and path not in there]
    if there:
        message = f"{' and '.join(map(str, there))}: there already; nothing was written"
        raise SettingsError(message)
    # The templates first: a loop without one would be a broken loop.
    for path, text in reversed(texts.items()):
        _write(path, text)
        print(f"wrote {path}")
    print(f"next: read both, then  skene-airflow validate {next(iter(texts))}")
    return 0


def _write(path: Path, text: str) -> None:
    from skene_airflow.errors import SettingsError

    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise SettingsError(message) from None


def _unknown(pattern: str) -> str:
    near = difflib.get_close_matches(pattern, PATTERNS, 1)
    meant = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no pattern '{pattern}'; {meant}There are:\n{_listed()}"


def _listed() -> str:
    return "\n".join(f"  {name:<18} {about}" for name, about in PATTERNS.items())


VERB = Verb(
    description="Write a loop and its template, to begin with, from a pattern. Nothing is overwritten.",
    run=run,
    arguments=(
        Argument(("pattern",), {"metavar": "PATTERN", "help": ", ".join(PATTERNS)}),
        Argument(("name",), {"metavar": "NAME", "help": "the new loop's id"}),
        LOOPS,
    ),
    epilog=f"patterns:\n{_listed()}\nexamples:\n  skene-airflow new dormant come_back",
)
