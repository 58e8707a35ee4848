"""`skene-airflow VERB`: one file a verb, and only the verb that runs is imported."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

from skene_airflow.cli.verb import accepted
from skene_airflow.errors import LoopError, SkeneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skene_airflow.cli.verb import Verb

FINE = 0
FINDINGS = 1
TROUBLE = 2
"""Exit codes: fine; a fault in a loop or a brake that would hold; wrong usage, or something cannot be reached."""

VERBS = {
    "validate": "find every fault in the loops and their templates",
    "lint": "find faults, and what is legal but unwise",
    "list": "the loops of the folder",
    "show": "one loop, as written or with every default resolved",
    "schema": "the JSON Schema of loop files, for editors",
    "convert": "a skene.config.ts as a loop's YAML",
    "new": "a loop and its template from a pattern",
    "doctor": "whether versions, settings and connections fit together",
    "lift": "did it work: who was mailed against who was held out",
    "plan": "who would get what by the next run, and what would hold it",
    "explain": "why one person gets a mail of a loop, or does not",
    "history": "all that one person got or nearly got",
    "deliveries": "list, retry, abandon, settle and import single deliveries",
    "suppressions": "who must not be mailed: add, remove, list, import, export",
    "forget": "erase a person, and never mail them again",
    "export": "all that the ledger holds of a person",
    "events": "let rows that change in a plain Postgres start loops: install, uninstall",
    "stop": "stop sending at once, one loop or all",
    "start": "let a stopped loop send again",
    "esp": "a local Resend that sends nothing, with a page to read the mails",
    "render": "one mail of a loop, as HTML, text and .eml",
    "preview": "a page on this machine with every mail, reloading as you write",
    "send-test": "one mail of a loop to an address of yours",
    "web": "the pages behind the links in mail, by themselves",
    "hasura": "what loops need of a Hasura: apply, check, or write its metadata",
    "migrate": "create the ledger's schema, or bring it up to date",
}
"""Every verb with its line of help; the verb itself is the module of that name in this package."""


_EXAMPLES = """\
examples:
  skene-airflow new dormant come_back      begin a loop
  skene-airflow validate                   every fault of every file, with line and column
  skene-airflow VERB --help                the arguments of a verb, with examples
exit codes: 0 fine, 1 findings, 2 wrong usage or something cannot be reached"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; argparse itself leaves with 2 on wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character of ours shows '?'
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words and words[0] in VERBS else None
    parser = _parser(name)
    args = parser.parse_args(words)
    return run(args.verb, args)


def run(name: str, args: argparse.Namespace) -> int:
    """Run the verb ``name``; an error that a person can mend becomes a message on stderr and an exit code."""
    try:
        code = verb_named(name).run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except KeyboardInterrupt:
        return TROUBLE
    except LoopError as error:
        print(error, file=sys.stderr)
        return FINDINGS
    except SkeneError as error:
        print(f"skene-airflow {name}: {error}", file=sys.stderr)
        return TROUBLE
    return code


def verb_named(name: str) -> Verb:
    """The module of a verb."""
    # `list` would be the name of a builtin, and `lint` and `validate`, `start` and `stop` are one.
    module = {"list": "list_", "lint": "validate", "start": "stop"}.get(name, name.replace("-", "_"))
    found = importlib.import_module(f"skene_airflow.cli.{module}")
    verb: Verb = getattr(found, {"lint": "LINT", "start": "START"}.get(name, "VERB"))
    return verb


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skene-airflow",
        description="Growth loops for Apache Airflow.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, line in VERBS.items():
        sub = verbs.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:
            _fill(sub, verb_named(name))
    return parser


def _fill(parser: argparse.ArgumentParser, verb: Verb) -> None:
    parser.description, parser.epilog = verb.description, verb.epilog
    if not verb.actions:
        for argument in accepted(verb):
            parser.add_argument(*argument.flags, **argument.options)
    else:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name, action in verb.actions.items():
            # The first sentence is the line of help.
            line = action.description.partition(".")[0]
            _fill(actions.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter), action)
