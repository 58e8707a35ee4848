"""`validate` and `lint`: every fault of every file at once; `lint` adds what is legal but unwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skene_airflow.cli.verb import LOOPS, NO_SOURCE, SOURCE, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse

    from skene_airflow.cli.folder import Checked
    from skene_airflow.nouns import Fault


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in so many loop files, sorted."""

    loops: int
    errors: list[Fault]
    warnings: list[Fault]


def validate(args: argparse.Namespace) -> int:
    """Print the faults; 1 if there are any. Raises SettingsError for a path or database that cannot be reached."""
    return _report(_find(args), args.format)


def lint(args: argparse.Namespace) -> int:
    """Print faults and warnings; 1 if there is a fault, or with ``--strict`` a warning."""
    found = _find(args, warn=True)
    code = _report(found, args.format)
    return 1 if args.strict and found.warnings else code


def _find(args: argparse.Namespace, *, warn: bool = False) -> Findings:
    from skene_airflow.cli.folder import check

    source, paths = _source(args)
    folders = check(paths, args.loops)
    errors = [fault for folder in folders for fault in folder.faults]
    if source != NO_SOURCE:
        errors += [fault for folder in folders for fault in _against(folder, source)]
    warnings = [fault for folder in folders for fault in _warnings(folder)] if warn else []
    return Findings(sum(folder.files for folder in folders), sorted(errors), sorted(warnings))


def _source(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The database (None: each loop's own connection) and the paths.

    ``--source loops/x.yaml`` names a path, since no URI looks like a file.
    """
    source: str | None = args.source
    if source and "://" not in source and "=" not in source and Path(source).exists():
        return None, [source, *args.paths]
    return source, args.paths


def _against(folder: Checked, source: str | None) -> list[Fault]:
    from skene_airflow.cli.deployment import connector
    from skene_airflow.cli.folder import as_seen
    from skene_airflow.stages.describe import check_sources

    faults = check_sources(folder.loops, lambda conn_id: connector(source, conn_id))
    return as_seen(faults, folder.root)


def _warnings(folder: Checked) -> list[Fault]:
    from skene_airflow.cli.folder import as_seen
    from skene_airflow.loop.lint import lint_loops, unused_templates
    from skene_airflow.loop.topics import lint_topics, read_topics

    found = lint_loops(folder.loops)
    if folder.whole and not folder.faults:  # a broken loop does not say which templates it uses
        found += unused_templates(folder.loops, folder.root)
        found += lint_topics(read_topics(folder.root), folder.loops)
    return as_seen(found, folder.root)


def _report(found: Findings, style: str) -> int:
    from skene_airflow.cli import output

    both = sorted([*found.errors, *found.warnings])
    if style == "json":
        lists = {name: list(map(output.as_record, getattr(found, name))) for name in ("errors", "warnings")}
        print(output.as_json({"loops": found.loops, **lists}))
    elif style == "github":
        print(*map(output.as_github, both), sep="\n", end="\n" if both else "")
    else:
        print(*map(output.as_text, both), _summary(found), sep="\n")
    return 1 if found.errors else 0


def _summary(found: Findings) -> str:
    from skene_airflow.cli.output import count

    warned = f", {count(len(found.warnings), 'warning')}" if found.warnings else ""
    return f"{count(found.loops, 'loop')}, {count(len(found.errors), 'fault')}{warned}"


_PATHS = Argument(
    ("paths",), {"metavar": "PATH", "nargs": "*", "help": "loop files or folders (default: the loops folder)"}
)
_FORMAT = format_argument("text", "json", "github")
_STRICT = Argument(("--strict",), {"action": "store_true", "help": "leave with 1 for warnings too"})

VERB = Verb(
    description="Find every fault in the loops and their templates, without a database or a network. "
    "With --source the queries are described by the database as well; nothing of them is executed.",
    run=validate,
    arguments=(_PATHS, _FORMAT, LOOPS, SOURCE),
    epilog="examples:\n  skene-airflow validate\n  skene-airflow validate loops/re_engagement.yaml --format json\n"
    "  skene-airflow validate --source postgresql://reader@db.example/app\n"
    "exit codes: 0 no fault, 1 faults, 2 wrong usage or a database that cannot be reached",
)
LINT = Verb(
    description="Find faults as validate does, and what is legal but unwise. Warnings alone leave with 0.",
    run=lint,
    arguments=(_PATHS, _FORMAT, LOOPS, SOURCE, _STRICT),
    epilog="examples:\n  skene-airflow lint\n  skene-airflow lint --strict --format github\n"
    "exit codes: 0 no fault, 1 faults (with --strict: or warnings), 2 wrong usage",
)
