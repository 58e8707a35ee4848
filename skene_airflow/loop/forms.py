"""Values of the language back in the form that people write."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Final

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def duration_text(length: timedelta) -> str:
    """A length of time in the largest unit that fits; one day is ``24h``, as people say."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0 and seconds != _UNITS["d"] * (unit == "d"))
    return f"{seconds // _UNITS[unit]}{unit}"


def plain(value: object) -> object:
    """A value of a model as YAML would hold it."""
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, time):
        return f"{value:%H:%M}"
    return value
