from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import pytest

from skene_airflow.cli import VERBS, main, verb_named
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


def leaves(group: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every verb that does something, by the words that lead to it."""
    for command in group.subcommands:
        words = (*above, command.name)
        yield from leaves(command, words) if hasattr(command, "subcommands") else [words]


def options(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> set[str]:
    """The flags of the verb at the end of these words."""
    for word in words:
        (under,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        parser = under.choices[word]
    return set(parser._option_string_actions)


def test_every_verb_is_there_with_its_own_arguments() -> None:
    (group,) = get_cli_commands()
    assert group.name == "skene"
    assert [command.name for command in group.subcommands] == list(VERBS)  # type: ignore[union-attr] # it is a group


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_describes_itself(name: str) -> None:
    assert verb_named(name).description
    assert VERBS[name]


def test_every_verb_takes_the_three_places(capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--loops", "no_folder", "--source", "postgresql://127.0.0.1:1/app"]
    ledger = ["--ledger", "postgresql://127.0.0.1:1/ledger"]
    (group,) = get_cli_commands()
    assert [
        name
        for name in leaves(group, ())
        if "--ledger" not in (known := options(airflow_parser(), name)) or not {"--loops", "--source"} <= known
    ] == []
    for words in (["schema"], ["list", "--loops", "loops"]):
        assert main([*words, *(places[2:] if "--loops" in words else places), *ledger]) == 0
    assert main(["history", "--user", "1", *places, *ledger]) == 2
    assert main(["validate", *places, *ledger]) == 2
    assert "unrecognized" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["history", "--help"])
    assert "--source" not in capsys.readouterr().out


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
