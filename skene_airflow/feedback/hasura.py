"""Hasura's event triggers: one call for each row that changed, at least once and in any order.

The call is not signed; a header with a shared secret says that it is genuine. Its shape is that of Hasura v2:
https://hasura.io/docs/2.0/event-triggers/payload/ (read in November 2026).
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from skene_airflow.feedback.receiver import UnreadableError
from skene_airflow.ledger.changes import Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROVIDER: Final = "hasura"
PATH: Final = "hasura/events"
"""Below `base_url`; behind it may stand the id of an Airflow connection."""
CONNECTION: Final = "hasura_default"
"""The Airflow connection whose extra ``webhook_secret`` counts, unless the path names another."""
HEADER: Final = "x-skene-secret"
"""The header that holds the shared secret."""
ROWS: Final = ("event", "data")
"""Where in the body the rows stand."""

_OPS: Final = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "MANUAL": "manual"}
_LONGEST: Final = 256


def genuine(headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Whether the call has one of the secrets; ``headers`` has lower-case names. Without secrets nothing is genuine.

    It takes as long for a wrong secret as for a right one.
    """
    given = headers.get(HEADER, "").encode("utf-8", "surrogateescape")
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), given)
    return good and bool(given)


def read(body: bytes) -> Told:
    """The change that a genuine call tells of. Its id stays the same when the call is repeated.

    Raises UnreadableError for what is not such a call.
    """
    try:
        text = body.decode("utf-8")
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise UnreadableError("not JSON") from None
    event, table = _map(found, "event"), _map(found, "table")
    event_id, op = _word(found, "id"), _OPS.get(_word(event, "op"))
    rows = _map(event, "data")
    pair = [rows.get("old"), rows.get("new")]
    if op is None or not any(isinstance(row, dict) for row in pair):
        raise UnreadableError("no row that changed")
    if not all(row is None or isinstance(row, dict) for row in pair) or _unfit(found):
        raise UnreadableError("a row that no table has")
    return Told(event_id, op, _time(found), f"{_word(table, 'schema')}.{_word(table, 'name')}", text)


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and infinity are no JSON")


def _map(found: Any, name: str) -> Mapping[str, Any]:
    part = found.get(name) if isinstance(found, dict) else None
    if not isinstance(part, dict):
        raise UnreadableError(f"no {name}")
    return part


def _word(found: Mapping[str, Any], name: str) -> str:
    word = found.get(name)
    if not isinstance(word, str) or not word or len(word) > _LONGEST:
        raise UnreadableError(f"no {name}")
    return word


def _time(found: Mapping[str, Any]) -> datetime:
    """When the row changed. Hasura writes it without a zone in some versions, and means UTC."""
    try:
        at = datetime.fromisoformat(str(found.get("created_at")))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnreadableError("no created_at") from None


def _unfit(found: Any) -> bool:
    """Whether a text holds what PostgreSQL's jsonb cannot: NUL, or half of a surrogate pair."""
    todo = [found]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, str) and ("\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value)):
            return True
    return False
