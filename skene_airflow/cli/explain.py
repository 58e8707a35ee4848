"""`explain LOOP --user KEY`: every gate in its order, its verdict and what it saw, now or at a time in the past."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.cli.verb import LEDGER, LOOP, LOOPS, PEOPLE, PERSON, Argument, Verb, format_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from skene_airflow.loop.schema import Loop, Step
    from skene_airflow.stages.explain import Asked, Entry, Explanation

_SIGNS: Final = {"pass": "✓", "skip": "✗", "hold_out": "✗", "not_named": "✗"}
_WIDTH: Final = 100
_LABEL: Final = 22


def run(args: argparse.Namespace) -> int:
    """Print the explanation. Raises SettingsError, LoopError, QueryError and LedgerError."""
    from skene_airflow.cli import acting, output
    from skene_airflow.cli.folder import named
    from skene_airflow.cli.judging import looking
    from skene_airflow.stages.explain import explain, explain_past

    key, loop = acting.person(args.user), named(args.loop, args.loops)
    step, at = _step(loop, args.step), _moment(args.at)
    with looking(args) as bench:
        job = bench.job(loop, step)
        if at is None:
            found = explain(job, key, exists=bench.exists)
        else:
            found = explain_past(job, key, at, exists=bench.exists)
    print(output.as_json(_plain(found)) if args.format == "json" else _text(found))
    return 0


def _step(loop: Loop, wanted: str | None) -> Step:
    from skene_airflow.errors import SettingsError

    steps = {step.id: step for step in loop.steps}
    if wanted is not None and wanted not in steps:
        message = f"there is no step '{wanted}' in {loop.id}; there: {', '.join(steps)}"
        raise SettingsError(message)
    return steps[wanted] if wanted is not None else loop.steps[0]


def _moment(text: str | None) -> datetime | None:
    """A time in ISO 8601, UTC where it names no zone; a day alone is its end."""
    from skene_airflow.errors import SettingsError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"--at is {text!r}: write a time such as 2026-11-24T09:30 (UTC) or 2026-11-24T09:30+01:00"
        raise SettingsError(message) from None
    if len(text) <= len("2026-11-24"):
        moment = datetime.combine(moment, time.max)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(found: Explanation) -> dict[str, Any]:
    return {
        "loop_id": found.loop_id,
        "step_id": found.step_id,
        "user_key": found.user_key,
        "at": found.at.isoformat(),
        "verdict": found.verdict,
        "reason": found.reason,
        "gates": [_gate(asked) for asked in found.gates],
        "entries": [_entry(entry) for entry in found.entries],
        "recorded": found.recorded,
        "notes": list(found.notes),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    names = ("entry_key", "verdict", "reason", "segment", "variant", "outcome")
    return {name: getattr(entry, name) for name in names} | {"gates": [_gate(asked) for asked in entry.gates]}


def _gate(asked: Asked) -> dict[str, Any]:
    return {
        "gate": asked.gate,
        "verdict": asked.verdict,
        "facts": dict(asked.facts),
        "says": asked.says,
        "decides": asked.decides,
    }


def _text(found: Explanation) -> str:
    from skene_airflow.cli.output import bold

    step = "" if found.step_id == "main" else f" / {found.step_id}"
    lines = [bold(f"{found.loop_id}{step}: person {found.user_key}")]
    if found.recorded:
        run = found.recorded
        lines.append(f"  run {run['run_id']} ({run['mode']}), decided at {run['decided_at']}")
    else:
        lines.append(f"  as of {found.at:%Y-%m-%d %H:%M %Z}")
    for note in found.notes:
        lines += textwrap.wrap(note, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    for entry in found.entries:
        lines += ["", *_head(entry, several=len(found.entries) > 1), *_lines(entry.gates)]
    if not found.entries:
        lines += ["", f"  {bold(found.verdict)}", *_lines(found.gates)]
    return "\n".join(lines)


def _head(entry: Entry, *, several: bool) -> Iterator[str]:
    from skene_airflow.cli.output import bold

    reason = f": {entry.reason}" if entry.reason else ""
    which = f"entry {entry.entry_key}: " if several and entry.entry_key else ""
    part = " / ".join(name for name in (entry.segment, entry.variant) if name and name != "all")
    more = f", segment {part}" if part else ""
    stands = f" (the delivery is {entry.outcome})" if entry.outcome else ""
    yield f"  {which}{bold(f'{entry.verdict}{reason}')}{more}{stands}"


def _lines(gates: Any) -> Iterator[str]:
    for asked in gates:
        says = (
            asked.says if asked.verdict in _SIGNS else f"{asked.verdict.replace('_', ' ')}; {asked.says}".rstrip("; ")
        )
        rows = textwrap.wrap(says, _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False) or [""]
        mark = "  ◀" if asked.decides else ""
        sign = _SIGNS.get(asked.verdict, "·")
        for number, row in enumerate(rows):
            label = f"{sign} {asked.gate}" if number == 0 else ""
            yield f"  {label:<{_LABEL}}{row}{mark if number == len(rows) - 1 else ''}".rstrip()


VERB = Verb(
    description="Say what the next run of a step would do with one person: every gate in its order, its verdict and "
    "what it saw. With --at it is what the last run before that time did, from its records; reasons that are only "
    "counted (already_entered, not_due, quiet_hours) are recomputed, and that is said. No address is printed.",
    run=run,
    arguments=(
        LOOP,
        PERSON,
        Argument(("--step",), {"metavar": "ID", "default": None, "help": "the step (the first)"}),
        Argument(
            ("--at",), {"metavar": "TIME", "default": None, "help": "a time in the past, ISO 8601; UTC without a zone"}
        ),
        format_argument("text", "json"),
        LOOPS,
        PEOPLE,
        LEDGER,
    ),
    epilog="examples:\n  skene-airflow explain re_engagement --user 42\n"
    "  skene-airflow explain re_engagement --user 42 --at 2026-11-24T09:30\n"
    "  skene-airflow explain re_engagement --user 42 --format json\n"
    "exit codes: 0 explained, 1 the loop or its query is broken, 2 wrong usage or a database cannot be reached",
)
