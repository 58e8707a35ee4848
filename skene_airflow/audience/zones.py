"""What depends on the person's time zone and on nothing else of the person: quiet hours, and local cron times.

Both are worked out once for each zone of the tz database (some 600), and joined to the people by its name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter

from skene_airflow.loop.triggers import PRESETS, is_time_zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skene_airflow.loop.rules import QuietHours

# No clock has been put forward or back by more than a day, and by three hours only on the date line.
_MARGIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The local times of a cron expression count if they lie after ``since`` and not after ``until``."""

    cron: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Zone:
    """What is true in one zone now. ``due`` is true where no window was asked for."""

    name: str
    quiet: bool
    due: bool


@cache
def known() -> tuple[str, ...]:
    """The names of the tz database, sorted."""
    return tuple(sorted(name for name in available_timezones() if is_time_zone(name)))


def zones(
    now: datetime, quiet: QuietHours | None = None, window: Window | None = None, names: Sequence[str] | None = None
) -> list[Zone]:
    """What is true at the moment ``now`` in every zone of the tz database, or in those of ``names``."""
    times = _local_times(window) if window is not None else []
    found = []
    for name in known() if names is None else names:
        place = ZoneInfo(name)
        is_quiet = quiet is not None and _between(now.astimezone(place).time(), quiet.from_, quiet.to)
        found.append(Zone(name, is_quiet, window is None or _in_window(place, window, times)))
    return found


def _between(clock: time, begin: time, end: time) -> bool:
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def _local_times(window: Window) -> list[datetime]:
    """The times of the cron expression that any clock on Earth may show around the window."""
    begin = window.since.astimezone(UTC).replace(tzinfo=None) - _MARGIN - timedelta(hours=15)
    end = window.until.astimezone(UTC).replace(tzinfo=None) + _MARGIN + timedelta(hours=15)
    times = croniter(PRESETS.get(window.cron, window.cron), begin - timedelta(seconds=1))
    found = []
    while (local := times.get_next(datetime)) <= end:
        found.append(local)
    return found


def _in_window(place: ZoneInfo, window: Window, times: Sequence[datetime]) -> bool:
    """Whether one of these times on the clocks of a place lies in the window."""
    first = bisect_left(times, window.since.astimezone(place).replace(tzinfo=None) - _MARGIN)
    last = bisect_right(times, window.until.astimezone(place).replace(tzinfo=None) + _MARGIN)
    return any(window.since < instant(local, place) <= window.until for local in times[first:last])


def instant(local: datetime, place: ZoneInfo) -> datetime:
    """When a clock on the wall shows this time: the first time in an overlap, the next valid minute in a gap."""
    at = local.replace(tzinfo=place, fold=0).astimezone(UTC)
    if at.astimezone(place).replace(tzinfo=None) == local:
        return at
    # In a gap the two folds lie on both sides of it; the clock jumps somewhere between them.
    early, late = sorted((at, local.replace(tzinfo=place, fold=1).astimezone(UTC)))
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(place).replace(tzinfo=None) < local:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0) + timedelta(seconds=bool(late.microsecond))
