"""`show LOOP [--resolved]`: a loop as it is written, or as it counts, with the origin of every value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skene_airflow.cli.verb import LOOPS, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from skene_airflow.loop.resolved import Resolved
    from skene_airflow.loop.schema import Loop
    from skene_airflow.loop.yaml_text import Out


def run(args: argparse.Namespace) -> int:
    """Print the loop. Raises LoopError if it is broken, SettingsError if there is none of this name."""
    from skene_airflow.cli.folder import named
    from skene_airflow.cli.output import as_json
    from skene_airflow.loop.resolved import resolved

    loop = named(args.loop, args.loops)
    values = resolved(loop)
    if args.format == "json":
        print(as_json(_facts(loop) | {"values": [_record(value) for value in values]}))
    elif args.resolved:
        print(_yaml(loop, values), end="")
    else:
        print(*(f"# {name}: {value}" for name, value in _facts(loop).items()), loop.text, sep="\n", end="")
    return 0


def _facts(loop: Loop) -> dict[str, Any]:
    return {"loop_id": loop.id, "file": loop.file, "version": loop.version}


def _record(value: Resolved) -> dict[str, Any]:
    place = {"file": value.file, "line": value.line, "column": value.column} if value.file else {"file": None}
    return {"path": value.path, "value": value.value, **place}


def _yaml(loop: Loop, values: Sequence[Resolved]) -> str:
    from skene_airflow.loop.yaml_text import Out, dump

    root = Out({}, above=[f"{name}: {value}" for name, value in _facts(loop).items()])
    for value in values:
        holder = root
        for part, following in zip(value.loc, [*value.loc[1:], None], strict=True):
            leaf = _leaf(value.value, value.origin) if following is None else Out([] if type(following) is int else {})
            holder = _put(holder, part, leaf)
    return dump(root)


def _put(holder: Out, part: str | int, out: Out) -> Out:
    """The value at a key or place of a map or list; ``out`` if there is none yet."""
    if isinstance(holder.value, dict):
        return holder.value.setdefault(str(part), out)
    if isinstance(holder.value, list):
        if part == len(holder.value):
            holder.value.append(out)
        return holder.value[int(part)]
    return out


def _leaf(value: Any, origin: str = "") -> Out:
    from skene_airflow.loop.yaml_text import Out

    if isinstance(value, list):
        return Out([_leaf(item) for item in value], beside=origin)
    if isinstance(value, dict):
        return Out({str(key): _leaf(item) for key, item in value.items()}, beside=origin)
    return Out(value, beside=origin)


VERB = Verb(
    description="Print a loop: its file, or with --resolved the loop that counts (defaults of folders and of the "
    "language laid below it) with the file and line of every value.",
    run=run,
    arguments=(
        Argument(("loop",), {"metavar": "LOOP", "help": "the loop's id: the stem of its file"}),
        Argument(("--resolved",), {"action": "store_true", "help": "every value that counts, and where it comes from"}),
        format_argument("text", "json"),
        LOOPS,
    ),
    epilog="examples:\n  skene-airflow show re_engagement\n  skene-airflow show re_engagement --resolved\n"
    "  skene-airflow show re_engagement --format json",
)
