"""`airflow skene VERB`: the same verbs inside Airflow's own command. Every `airflow` command imports this file."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from skene_airflow.cli import VERBS, run, verb_named

if TYPE_CHECKING:
    import argparse

    from airflow.cli.cli_config import CLICommand

    from skene_airflow.cli.verb import Argument


def get_cli_commands() -> list[CLICommand]:
    """The command group that Airflow adds to its command line."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    arg: Any = Arg  # Airflow left it without types

    return [
        GroupCommand(
            name="skene",
            help="Growth loops",
            subcommands=[
                ActionCommand(
                    name=name,
                    help=line,
                    func=partial(_run, name),
                    args=tuple(arg(one.flags, **_options(one)) for one in verb_named(name).arguments),
                    description=verb_named(name).description,
                    epilog=verb_named(name).epilog,
                )
                for name, line in VERBS.items()
            ],
        )
    ]


def _options(argument: Argument) -> dict[str, Any]:
    # Airflow prints help as rich text, which takes `[skene]` for a style.
    return {**argument.options, "help": str(argument.options["help"]).replace("[", r"\[")}


def _run(name: str, args: argparse.Namespace) -> None:
    if code := run(name, args):
        sys.exit(code)
