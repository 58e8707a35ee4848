"""Values of a person, from the ledger's JSON back to what the query gave."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MODIFIER = re.compile(r"\([^)]*\)")


def revive(values: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Return the values with their own types: datetime, date, time, Decimal, float, int, str, bool, list, dict.

    ``types`` names the PostgreSQL type of each column as ``format_type`` writes it. NaN, infinity, and what
    Python cannot hold (years before 1 or after 9999) become None, which templates treat as missing.
    """
    return {name: revive_one(value, types.get(name, "")) for name, value in values.items()}


def revive_one(value: Any, type_name: str) -> Any:
    """Return one value with the type that PostgreSQL calls ``type_name``; unknown types stay as they are."""
    if value is None:
        return None
    if type_name.endswith("[]") and isinstance(value, list):
        return [revive_one(item, type_name[:-2]) for item in value]
    reader = _READERS.get(_MODIFIER.sub("", type_name).strip())
    if reader is None:
        return value
    try:
        return reader(value)
    except (ValueError, TypeError, InvalidOperation, OverflowError):
        return None


def is_missing(value: Any) -> bool:
    """Tell whether a value is NULL, NaN or infinite."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Decimal):
        return not value.is_finite()
    return value is None


def _decimal(value: Any) -> Decimal | None:
    number = Decimal(str(value))
    return number if number.is_finite() else None


def _float(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int:
    return int(value)


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[str(value)]


def _instant(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _local(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=None)


def _date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _time(value: Any) -> time:
    return value if isinstance(value, time) else time.fromisoformat(str(value))


_READERS: dict[str, Callable[[Any], Any]] = {
    "timestamp with time zone": _instant,
    "timestamp without time zone": _local,
    "date": _date,
    "time without time zone": _time,
    "time with time zone": _time,
    "numeric": _decimal,
    "double precision": _float,
    "real": _float,
    "smallint": _integer,
    "integer": _integer,
    "bigint": _integer,
    "boolean": _boolean,
    "text": str,
    "character varying": str,
    "character": str,
    "uuid": str,
}
