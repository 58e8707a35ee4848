"""Times of a loop that cannot all be meant: quiet for ever, bands out of order, an end before its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from croniter import croniter

from skene_airflow.loop import codes
from skene_airflow.loop.faults import key_fault, node_fault
from skene_airflow.loop.fields import CLOCK, parse_duration
from skene_airflow.loop.triggers import PRESETS, cron_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from skene_airflow.loop.nodes import Loc, Node
    from skene_airflow.nouns import Fault


def check_times(root: Node) -> Iterator[Fault]:
    """The faults of times that are good alone, and wrong together."""
    yield from _quiet(root)
    for index, step in enumerate((root.get("steps") or root).items()):
        yield from _bands(root, step, index)
        trigger: Loc = ("steps", index, "trigger")
        yield from _order(root, (*trigger, "wait"), (*trigger, "until"), may_equal=False)
    yield from _order(root, ("recovery", "retry_delay"), ("recovery", "max_retry_delay"), may_equal=True)


def _text(root: Node, *loc: str | int) -> str | None:
    node = root.get(*loc)
    return node.text() if node is not None else None


def _minute(text: str | None) -> int | None:
    found = CLOCK.fullmatch(text) if text is not None else None
    return int(found[1]) * 60 + int(found[2]) if found else None


def _quiet(root: Node) -> Iterator[Fault]:
    begin, end = _minute(_text(root, "quiet_hours", "from")), _minute(_text(root, "quiet_hours", "to"))
    if begin is None or end is None:
        return
    if begin == end:
        what = "quiet hours that end when they begin"
        yield node_fault(root, ("quiet_hours", "to"), codes.CLOCK, what, "write another time, or leave quiet_hours out")
        return
    if _text(root, "class") == "transactional":
        return
    for index, step in enumerate((root.get("steps") or root).items()):
        minutes = _fires_at(step)
        if minutes and all(_within(minute, begin, end) for minute in minutes):
            what = "this fires in the quiet hours only: nobody ever gets a mail"
            hint = "move the cron, or the quiet hours, or name the people's own zone as the trigger's timezone"
            yield node_fault(root, ("steps", index, "trigger", "cron"), codes.ALWAYS_QUIET, what, hint)


def _fires_at(step: Node) -> list[int]:
    """The minutes of the day at which a step's cron expression fires; none for one that is broken."""
    cron = _text(step, "trigger", "cron")
    if cron is None or _text(step, "trigger", "type") != "schedule" or cron_trouble(cron):
        return []
    minutes, hours = croniter.expand(PRESETS.get(cron, cron))[0][:2]
    every = [range(24) if hours == ["*"] else hours, range(60) if minutes == ["*"] else minutes]
    return [int(hour) * 60 + int(minute) for hour in every[0] for minute in every[1]]


def _within(minute: int, begin: int, end: int) -> bool:
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _bands(root: Node, step: Node, index: int) -> Iterator[Fault]:
    bands = step.get("segments", "bands")
    if bands is None or not isinstance(bands.value, dict):
        return
    before: timedelta | None = None
    names = list(bands.value)
    for name, entry in bands.value.items():
        loc: Loc = ("steps", index, "segments", "bands", name)
        if entry.node.value == "rest":
            if name != names[-1]:
                yield key_fault(root, loc, codes.BANDS, "'rest' stands before other bands", "move it to the end")
            continue
        length = parse_duration(entry.node.text())
        if before is not None and length is not None and length <= before:
            what = "this band is not longer than the one before it: nobody gets into it"
            yield node_fault(root, loc, codes.BANDS, what, "write the shortest first: {active: 1d, cooling: 7d}")
        before = length if length is not None else before


def _order(root: Node, short: Loc, long: Loc, *, may_equal: bool) -> Iterator[Fault]:
    small, large = parse_duration(_text(root, *short)), parse_duration(_text(root, *long))
    if small is None or large is None or small < large or (may_equal and small == large):
        return
    what = f"'{long[-1]}' is not longer than '{short[-1]}'" if not may_equal else f"this is less than '{short[-1]}'"
    yield node_fault(root, long, codes.ORDER, what, "write a longer time")
