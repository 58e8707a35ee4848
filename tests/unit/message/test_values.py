"""Values come back from JSON as what the query gave."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from skene_airflow.message.values import revive


@pytest.mark.parametrize(
    ("type_name", "stored", "value"),
    [
        ("timestamp with time zone", "2026-11-14T09:30:00.5+01:00",
         datetime(2026, 11, 14, 9, 30, 0, 500000, timezone(timedelta(hours=1)))),
        ("timestamp(3) with time zone", "2026-11-14T09:30:00+00:00", datetime(2026, 11, 14, 9, 30, tzinfo=UTC)),
        ("timestamp without time zone", "2026-11-14T09:30:00", datetime(2026, 11, 14, 9, 30)),  # noqa: DTZ001
        ("date", "2026-11-14", date(2026, 11, 14)),
        ("time without time zone", "09:30:00", time(9, 30)),
        ("numeric(10,2)", 5.5, Decimal("5.5")),
        ("numeric", Decimal("5.50"), Decimal("5.50")),
        ("double precision", 1, 1.0),
        ("bigint", 9007199254740993, 9007199254740993),
        ("boolean", True, True),
        ("character varying(20)", "Ada", "Ada"),
        ("text", "NaN", "NaN"),
        ("uuid", "7f0f", "7f0f"),
        ("date[]", ["2026-11-14", None], [date(2026, 11, 14), None]),
        ("jsonb", {"a": [1, None]}, {"a": [1, None]}),
        ("some_enum", "gold", "gold"),
        ("text", None, None),
    ],
)  # fmt: skip
def test_revive(type_name: str, stored: Any, value: Any) -> None:
    revived = revive({"c": stored}, {"c": type_name})["c"]
    assert revived == value
    assert type(revived) is type(value)


@pytest.mark.parametrize(
    ("type_name", "stored"),
    [("numeric", "NaN"), ("numeric", "Infinity"), ("double precision", "NaN"), ("real", "-Infinity"),
     ("timestamp with time zone", "infinity"), ("date", "-infinity"), ("date", "0044-03-15 BC"),
     ("timestamp without time zone", "294276-01-01T00:00:00"), ("double precision", float("nan"))],
)  # fmt: skip
def test_what_is_no_value_is_missing(type_name: str, stored: Any) -> None:
    assert revive({"c": stored}, {"c": type_name}) == {"c": None}


def test_through_json() -> None:
    values = json.loads('{"n": 1e400, "name": "Zo\\u00eb"}')
    assert revive(values, {"n": "double precision", "name": "text"}) == {"n": None, "name": "Zoë"}
