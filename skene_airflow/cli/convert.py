"""`convert FILE`: a `skene.config.ts` as a loop's YAML. The file is read as data and never run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skene_airflow.cli.verb import LOOPS, Argument, Verb

if TYPE_CHECKING:
    import argparse

_MAX_BYTES: Final = 256 * 1024
_ID: Final = re.compile(r"(?!skene_upkeep$)(?!.*__)[a-z][a-z0-9_]{0,99}")


def run(args: argparse.Namespace) -> int:
    """Print or write the YAML; 1 if the loop has faults to mend.

    Raises LoopError for what is no data, SettingsError for a file that cannot be read or must not be written.
    """
    from skene_airflow.loop.convert import convert

    target = _target(args)
    converted = convert(_read(args.file), _shown(args.file))
    if target is None:
        print(converted.yaml, end="")
    else:
        _write(target, converted.yaml)
        print(f"wrote {target}")
    for fault in converted.faults:
        print(fault, file=sys.stderr)
    return 1 if converted.faults else 0


def _target(args: argparse.Namespace) -> Path | None:
    from skene_airflow.cli.folder import loops_folder
    from skene_airflow.errors import SettingsError

    if args.output and args.name:
        message = "-o names the file and --name the loop: write one of them"
        raise SettingsError(message)
    target = Path(args.output) if args.output else loops_folder(args.loops) / f"{args.name}.yaml" if args.name else None
    if target is None:
        return None
    if not _ID.fullmatch(target.stem) or target.suffix not in (".yaml", ".yml"):
        message = f"'{target.name}' cannot be a loop's file: write lower-case letters, digits and single '_', and .yaml"
        raise SettingsError(message)
    if target.exists():
        message = f"{target} is there already; nothing was written"
        raise SettingsError(message)
    return target


def _read(name: str) -> str:
    from skene_airflow.errors import SettingsError

    try:
        raw = sys.stdin.buffer.read(_MAX_BYTES + 1) if name == "-" else _head(Path(name))
        if len(raw) <= _MAX_BYTES:
            return raw.decode("utf-8")
        trouble = f"it is larger than {_MAX_BYTES // 1024} kB"
    except OSError as error:
        trouble = error.strerror or "it cannot be read"
    except UnicodeDecodeError:
        trouble = "it is not UTF-8"
    message = f"{name} cannot be converted: {trouble}"
    raise SettingsError(message)


def _head(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(_MAX_BYTES + 1)


def _shown(name: str) -> str:
    return "stdin" if name == "-" else name


def _write(target: Path, text: str) -> None:
    from skene_airflow.errors import SettingsError

    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}"
        raise SettingsError(message) from None


VERB = Verb(
    description="Turn a skene.config.ts (or .js, .json) into a loop's YAML. The file is read as data with a parser "
    "and never run: what is not a literal is named with its place.",
    run=run,
    arguments=(
        Argument(("file",), {"metavar": "FILE", "help": "the config file; - reads standard input"}),
        Argument(("-o", "--output"), {"metavar": "FILE", "help": "write this file (its stem is the loop's id)"}),
        Argument(("--name",), {"metavar": "NAME", "help": "write NAME.yaml into the loops folder"}),
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow convert skene.config.ts\n"
    "  skene-airflow convert skene.config.ts -o loops/re_engagement.yaml\n"
    "  skene-airflow convert skene.config.ts --name re_engagement",
)
