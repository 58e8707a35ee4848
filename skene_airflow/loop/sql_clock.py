"""A query as if it were asked at another time: its clock words replaced by the parameter ``:as_of``."""

from __future__ import annotations

import re
from typing import Final

from skene_airflow.loop.sql import check_select, parameters, uses_now

_CALL: Final = re.compile(r"(?:now|clock_timestamp|statement_timestamp|transaction_timestamp)\s*\(\s*\)", re.IGNORECASE)
_WORDS: Final = (
    (_CALL, ":as_of"),
    (re.compile(r"current_timestamp(?!\s*\()", re.IGNORECASE), ":as_of"),
    (re.compile(r"current_date", re.IGNORECASE), "(:as_of::date)"),
    (re.compile(r"localtimestamp(?!\s*\()", re.IGNORECASE), "(:as_of::timestamp)"),
)


def asks_for_time(text: str) -> bool:
    """Whether a query's answer may depend on when it is asked."""
    return uses_now(text) is not None or bool(parameters(text))


def dated(text: str) -> str | None:
    """The query with ``:as_of`` in place of `NOW()` and its kin; None if that cannot be done for all of them.

    It is for estimates: what the query would have said some time ago of the rows as they are now.
    """
    while (at := uses_now(text)) is not None:
        found = next(((found.end(), word) for pattern, word in _WORDS if (found := pattern.match(text, at))), None)
        if found is None:
            return None
        end, word = found
        text = f"{text[:at]}{word}{text[end:]}"
    return None if check_select(text) else text
