from __future__ import annotations

import argparse
from typing import Any

import pytest

from skene_airflow.cli import VERBS, verb_named
from skene_airflow.cli.airflow_commands import get_cli_commands


def airflow_parser() -> argparse.ArgumentParser:
    (group,) = get_cli_commands()
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    add(commands, group)
    return parser


def add(commands: Any, group: Any) -> None:
    """As Airflow does it: groups in groups."""
    for command in group.subcommands:
        sub = commands.add_parser(command.name)
        if hasattr(command, "subcommands"):
            add(sub.add_subparsers(dest="subcommand"), command)
            continue
        for argument in command.args:
            argument.add_to_parser(sub)
        sub.set_defaults(func=command.func)


def test_every_verb_is_there_with_its_own_arguments() -> None:
    (group,) = get_cli_commands()
    assert group.name == "skene"
    assert [command.name for command in group.subcommands] == list(VERBS)  # type: ignore[union-attr] # it is a group


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_describes_itself(name: str) -> None:
    assert verb_named(name).description
    assert VERBS[name]


def test_it_runs_the_same_verb(capsys: pytest.CaptureFixture[str]) -> None:
    args = airflow_parser().parse_args(["migrate", "--sql"])
    args.func(args)
    assert "CREATE" in capsys.readouterr().out


def test_it_runs_the_verbs_below_a_verb(pg: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = airflow_parser().parse_args(["deliveries", "list", "--ledger", pg])
    args.func(args)
    assert capsys.readouterr().out == "no deliveries\n"


def test_trouble_is_airflows_exit_code_too() -> None:
    args = airflow_parser().parse_args(["migrate", "--ledger", "postgresql://127.0.0.1:1/app"])
    with pytest.raises(SystemExit) as left:
        args.func(args)
    assert left.value.code == 2
