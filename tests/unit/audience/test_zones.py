"""Clocks on walls: quiet hours and local cron times across changes of the clock, in five zones and more."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from skene_airflow.audience.zones import Window, instant, known, zones
from skene_airflow.loop.rules import QuietHours

NIGHT = QuietHours.model_construct(from_=time(21), to=time(8))
NOON = QuietHours.model_construct(from_=time(12), to=time(13))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        # gaps: the next valid minute
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:00"),
        ("America/New_York", "2026-03-08 02:15", "2026-03-08 07:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30"),  # half an hour
        ("America/Santiago", "2026-09-06 00:30", "2026-09-06 04:00"),  # at midnight
        ("Pacific/Auckland", "2026-09-27 02:30", "2026-09-26 14:00"),
        ("Pacific/Apia", "2011-12-30 09:00", "2011-12-30 10:00"),  # a day that never was
        # overlaps: the first time
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30"),
        ("America/New_York", "2026-11-01 01:15", "2026-11-01 05:15"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
        ("America/Santiago", "2026-04-04 23:30", "2026-04-05 02:30"),
        ("Pacific/Auckland", "2026-04-05 02:30", "2026-04-04 13:30"),
        ("Asia/Kathmandu", "2026-06-01 09:00", "2026-06-01 03:15"),
    ],
)
def test_when_a_clock_shows_a_time(zone: str, local: str, expected: str) -> None:
    assert instant(datetime.fromisoformat(local), ZoneInfo(zone)) == at(expected)


@pytest.mark.parametrize(
    ("zone", "cron"),
    [
        ("Europe/Berlin", "30 2 * * *"),
        ("America/New_York", "30 1 * * *"),
        ("Australia/Lord_Howe", "45 1 * * *"),
        ("America/Santiago", "30 0 * * *"),
        ("Asia/Kathmandu", "0 9 * * *"),
    ],
)
def test_every_person_is_due_once_for_each_local_day_of_a_year(zone: str, cron: str) -> None:
    tick, hour, due = at("2026-01-01 00:00"), timedelta(hours=1), []
    while tick < at("2027-01-01 00:00"):
        tick += hour
        if zones(tick, window=Window(cron, tick - hour, tick), names=[zone])[0].due:
            due.append(tick)
    assert 364 <= len(due) <= 366
    assert len({moment.astimezone(ZoneInfo(zone)).date() for moment in due}) == len(due)


def test_a_window_holds_its_end_and_not_its_beginning() -> None:
    nine = at("2026-05-05 09:00")
    for since, until, due in [(-60, 0, True), (0, 60, False), (-120, -60, False), (-1500, 60, True)]:
        window = Window("0 9 * * *", nine + timedelta(minutes=since), nine + timedelta(minutes=until))
        assert zones(nine, window=window, names=["UTC"])[0].due is due


def test_quiet_hours_over_midnight_and_within_a_day() -> None:
    names = ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland"]
    found = zones(at("2026-06-01 06:30"), NIGHT, names=names)  # 06:30, 12:00, 02:30, 18:30
    assert [zone.quiet for zone in found] == [True, False, True, False]
    found = zones(at("2026-06-01 06:30"), NOON, names=names)
    assert [zone.quiet for zone in found] == [False, True, False, False]
    assert [zone.quiet for zone in zones(at("2026-06-01 08:00"), NIGHT, names=["UTC"])] == [False]
    assert [zone.quiet for zone in zones(at("2026-06-01 21:00"), NIGHT, names=["UTC"])] == [True]


@pytest.mark.parametrize(
    ("zone", "moment", "quiet"),
    [
        ("Europe/Berlin", "2026-03-29 05:59", True),  # 07:59 in summer
        ("Europe/Berlin", "2026-03-29 06:00", False),
        ("Europe/Berlin", "2026-10-25 06:59", True),  # 07:59 in winter
        ("America/New_York", "2026-03-08 11:59", True),
        ("America/New_York", "2026-03-08 12:00", False),
        ("America/New_York", "2026-11-01 12:59", True),
        ("Australia/Lord_Howe", "2026-10-03 20:59", True),
        ("Australia/Lord_Howe", "2026-10-03 21:00", False),
        ("America/Santiago", "2026-09-06 10:59", True),
        ("America/Santiago", "2026-09-06 11:00", False),
        ("Asia/Kathmandu", "2026-06-01 02:14", True),
        ("Asia/Kathmandu", "2026-06-01 02:15", False),
    ],
)
def test_quiet_hours_on_the_days_of_a_change(zone: str, moment: str, quiet: bool) -> None:
    assert zones(at(moment), NIGHT, names=[zone])[0].quiet is quiet


def test_nothing_is_worked_out_that_nobody_asks_for() -> None:
    assert "Europe/Berlin" in known()
    assert "localtime" not in known()
    assert all(zone.due for zone in zones(at("2026-06-01 08:00"), NIGHT))
