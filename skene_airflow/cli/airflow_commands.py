"""`airflow skene VERB`: the same verbs inside Airflow's own command. Every `airflow` command imports this file."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from skene_airflow.cli import VERBS, run, verb_named
from skene_airflow.cli.verb import accepted

if TYPE_CHECKING:
    import argparse

    from airflow.cli.cli_config import CLICommand

    from skene_airflow.cli.verb import Argument, Verb


def get_cli_commands() -> list[CLICommand]:
    """The command group that Airflow adds to its command line."""
    from airflow.cli.cli_config import GroupCommand

    return [
        GroupCommand(
            name="skene",
            help="Growth loops",
            subcommands=[_command(name, line, verb_named(name), name) for name, line in VERBS.items()],
        )
    ]


def _options(argument: Argument) -> dict[str, Any]:
    # Airflow prints help as rich text, which takes `[skene]` for a style.
    return {**argument.options, "help": str(argument.options["help"]).replace("[", r"\[")}


def _command(name: str, line: str, verb: Verb, top: str) -> CLICommand:
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    if verb.actions:
        below = [
            _command(action, under.description.partition(".")[0], under, top) for action, under in verb.actions.items()
        ]
        return GroupCommand(name=name, help=line, subcommands=below, description=verb.description, epilog=verb.epilog)
    arg: Any = Arg  # Airflow left it without types
    return ActionCommand(
        name=name,
        help=line,
        func=partial(_run, top, None if name == top else name),
        args=tuple(arg(argument.flags, **_options(argument)) for argument in accepted(verb)),
        description=verb.description,
        epilog=verb.epilog,
    )


def _run(name: str, action: str | None, args: argparse.Namespace) -> None:
    args.action = action
    if code := run(name, args):
        sys.exit(code)
