"""What somebody most likely meant with a value that is none: durations, shares, rates and time zones."""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from typing import Any, Final
from zoneinfo import available_timezones

from skene_airflow.loop.forms import duration_text

_WORDS: Final = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks", "wk"),
}
_UNIT: Final = {word: unit for unit, words in _WORDS.items() for word in words}
_SPOKEN: Final = re.compile(r"(?:in\s+)?([0-9]{1,9})\s*([a-z]+)")
_ISO: Final = re.compile(r"p(?:([0-9]{1,9})([dw])|t([0-9]{1,9})([hms]))")
_DECIMAL: Final = re.compile(r"([0-9]{1,6})\.5\s*([hdw])\w*")
_CLOCK: Final = re.compile(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})")
_PARTS: Final = re.compile(r"(?:([0-9]{1,4})d)?\s*(?:([0-9]{1,4})h)?\s*(?:([0-9]{1,4})m(?:in)?)?\s*(?:([0-9]{1,4})s)?")
_SMALLER: Final = {"h": (60, "m"), "d": (24, "h"), "w": (7 * 24, "h")}
_RATE: Final = re.compile(r"([0-9]{1,9})\s*(?:per|/|a|in)\s*([0-9]*)\s*([a-z]+)")
# Abbreviations and offsets are not places: they do not know summer time.
_PLACES: Final = {
    "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles",
    "mdt": "America/Denver",
    "cst": "America/Chicago",
    "cdt": "America/Chicago",
    "edt": "America/New_York",
    "bst": "Europe/London",
    "ist": "Asia/Kolkata",
    "jst": "Asia/Tokyo",
    "cest": "Europe/Berlin",
    "eest": "Europe/Helsinki",
    "aest": "Australia/Sydney",
    "z": "UTC",
    "gmt+0": "UTC",
}
_OFFSET: Final = re.compile(r"(?:utc|gmt)?\s?[+-][0-9]{1,2}(?::?[0-9]{2})?")


def a_duration(value: Any) -> str:
    """What to write instead of a value that is no duration."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9:
        return f"write the unit too: {value}s, {value}m, {value}h or {value}d"
    if isinstance(value, str) and re.fullmatch(r"[0-9]+\s*(?:ms|millis\w*)", value.strip().lower()):
        return "the shortest is 1s"
    found = _duration(value.strip().lower()) if isinstance(value, str) else None
    return f"did you mean '{found}'?" if found else "write a number and a unit: 30s, 10m, 36h, 7d"


def _duration(text: str) -> str | None:
    if spoken := _SPOKEN.fullmatch(text):
        number, word = int(spoken[1]), spoken[2]
        if word in ("month", "months", "mo"):
            return f"{number * 30}d"
        return f"{number}{_UNIT[word]}" if word in _UNIT else None
    if iso := _ISO.fullmatch(text):
        return f"{iso[1] or iso[3]}{iso[2] or iso[4]}"
    if decimal := _DECIMAL.fullmatch(text):
        times, unit = _SMALLER[decimal[2]]
        return f"{int(decimal[1]) * times + times // 2}{unit}"
    if clock := _CLOCK.fullmatch(text):
        seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
        return f"{seconds // 60}m" if seconds and seconds % 60 == 0 else None
    if (parts := _PARTS.fullmatch(text)) and any(parts.groups()):
        seconds = sum(int(part or 0) * size for part, size in zip(parts.groups(), (86_400, 3_600, 60, 1), strict=True))
        return duration_text(timedelta(seconds=seconds)) if seconds else None
    return None


def a_percentage(value: Any) -> str:
    """What to write instead of a value that is no percentage."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 100:
        share = value * 100 if value < 1 else value
        return f"did you mean '{share:g}%'?"
    return "write one from 0% to 100%, such as 5%"


def a_rate(value: Any) -> str:
    """What to write instead of a value that is no rate."""
    found = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        return "write a count and a window: 2/7d"
    number, word = int(found[2] or 1), found[3]
    window = {"month": f"{number * 30}d", "months": f"{number * 30}d", "week": f"{number * 7}d"}.get(word)
    window = window or (f"{number}{_UNIT[word]}" if word in _UNIT else None)
    return f"did you mean '{found[1]}/{window}'?" if window else "write a count and a window: 2/7d"


def a_time_zone(value: str) -> str:
    """What to write instead of a name that is no time zone."""
    text = value.strip().lower().replace(" ", "_")
    if text in ("user", "users", "local", "recipient"):
        return "write user for each person's own zone"
    if text in _PLACES:
        return f"did you mean '{_PLACES[text]}'?"
    if _OFFSET.fullmatch(text):
        return "an offset knows no summer time; write the zone of a place, such as Europe/Helsinki"
    zones = {name.lower(): name for name in available_timezones()}
    cities: dict[str, str] = {}
    for lower, name in sorted(zones.items()):
        cities.setdefault(lower.rpartition("/")[2], name)
    for known in (zones, cities):
        if text in known:
            return f"did you mean '{known[text]}'?"
    near = difflib.get_close_matches(text, zones, 1, 0.75) or difflib.get_close_matches(text, cities, 1, 0.8)
    if near:
        return f"did you mean '{zones.get(near[0]) or cities[near[0]]}'?"
    return "write an IANA name such as Europe/Helsinki or UTC, or user"
