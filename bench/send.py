"""Four ways to mail everybody, side by side: ``make bench``, or ``python -m bench.send --people 100000``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # also as `python bench/send.py`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import psycopg

from bench import judge, scale, table, world
from bench.measure import Measured, measure
from bench.naive import seconds_per_mail

if TYPE_CHECKING:
    from bench.world import Place

RESULTS = Path(__file__).parent / "results.md"
NAIVE_PEOPLE = 200
HEAD = """# Measured

{machine}. PostgreSQL with its defaults (every commit reaches the disk), database, sink and clients all on this
machine. Medians of repetitions that took turns; ratios are medians of the ratios within each repetition."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print one table, and write it down."""
    args = _arguments(arguments)
    pages = [HEAD.format(machine=table.machine())]
    if not args.scale:
        pages += _side_by_side(args)
    if args.large:
        pages += [_large(args), judge.page(args.large)]
    page = "\n\n".join(pages) + "\n"
    print(page)
    if args.write:
        Path(args.write).write_text(page, encoding="utf-8")
    return 0


def _side_by_side(args: argparse.Namespace) -> list[str]:
    with world.database() as uri, tempfile.TemporaryDirectory() as folder:
        world.fill(uri, args.people)
        return [_compare(uri, Path(folder), template, latency, args)
                for latency in args.latency for template in args.template]  # fmt: skip


def _large(args: argparse.Namespace) -> str:
    with world.database() as uri, tempfile.TemporaryDirectory() as folder:
        world.fill(uri, args.large)
        return scale.page(uri, Path(folder), args.large, args.patience, airflow=not args.no_airflow)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.send", description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs="*", default=[50.0, 0.0], help="milliseconds of the sink")
    templates = sorted(world.TEMPLATES.glob("*.html"))
    parser.add_argument("--template", type=Path, nargs="*", default=templates, help="front matter `subject`, then HTML")
    parser.add_argument("--no-airflow", action="store_true", help="leave out what runs in an Airflow of its own")
    parser.add_argument("--large", type=int, default=1_000_000, help="people of the large run and of judging; 0: none")
    parser.add_argument("--scale", action="store_true", help="the large run and judging alone")
    parser.add_argument("--patience", type=float, default=150.0, help="seconds that autovacuum has after a large run")
    parser.add_argument("--write", default=str(RESULTS), help="where the table goes; empty for nowhere")
    return parser.parse_args(arguments)


def _compare(uri: str, folder: Path, template: Path, latency: float, args: argparse.Namespace) -> str:
    results = table.Results()
    with world.sink(latency) as sink:
        place = world.Place(uri, sink, str(world.write_loop(folder, template)), str(template))
        for number in range(args.repeat):
            _repetition(results, replace(place, run_id=f"bench-{latency:g}-{template.stem}-{number}"))
        naive = None if args.no_airflow else seconds_per_mail(sink, min(NAIVE_PEOPLE, args.people))
    title = f"## {args.people:,} people, template `{template.stem}`, provider answers after {latency:g} ms"
    return "\n".join([title, "", *table.lines(results, naive)])


def _repetition(results: table.Results, place: Place) -> None:
    results.add(table.PLAIN, _checked(place, "plain"))
    for shards in (1, 2):
        _empty(place)
        decided = measure(place, "decide")
        sent = _checked(place, "send", shards)
        results.add(table.ours(shards, whole=False), sent)
        results.add(table.ours(shards, whole=True), decided, sent)
    results.add(table.CEILING, _checked(place, "ceiling"))


def _checked(place: Place, way: str, shards: int = 1) -> Measured:
    """Measure, and hold the count against what the sink took. Raises RuntimeError if they differ."""
    before = place.accepted()
    done = measure(place, way, shards)
    if place.accepted() - before != done.number:
        message = f"{way}: {done.number} mails are said to be sent, the sink took {place.accepted() - before}"
        raise RuntimeError(message)
    return done


def _empty(place: Place) -> None:
    """Forget the last run, and let the disk settle: nobody pays for what another way wrote."""
    with psycopg.connect(place.database, autocommit=True) as conn:
        conn.execute(f"DROP SCHEMA IF EXISTS {place.schema} CASCADE")
        conn.execute("CHECKPOINT")


if __name__ == "__main__":
    sys.exit(main())
