"""`schema`: the JSON Schema of loop files, and the same as a page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.cli.verb import Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    if args.format == "text":
        from skene_airflow.loop.reference import reference

        print(reference(), end="")
    elif args.partial:
        from skene_airflow.loop.json_schema import partial_schema, text

        print(text(partial_schema()), end="")
    else:
        from importlib.resources import files

        print(files("skene_airflow.loop").joinpath("loop.schema.json").read_text(encoding="utf-8"), end="")
    return 0


VERB = Verb(
    description="Print the JSON Schema (draft 2020-12) of loop files, for editors and other tools; "
    "with --format text the same as a page to read.",
    run=run,
    arguments=(
        format_argument("json", "text"),
        Argument(
            ("--partial",),
            {"action": "store_true", "help": "for _defaults.yaml and the loops below it: nothing is required"},
        ),
    ),
    epilog="examples:\n  skene-airflow schema > loop.schema.json\n"
    "  # then, as the first line of a loop:\n  # yaml-language-server: $schema=../loop.schema.json",
)
