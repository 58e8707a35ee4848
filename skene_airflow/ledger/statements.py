"""Our own SQL lives in ``queries/*.sql``; every statement there has a name and a comment."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from skene_airflow.errors import SettingsError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def checked_schema(schema: str) -> str:
    """Return ``schema`` if it may stand in SQL unquoted; raise SettingsError otherwise."""
    if not _SCHEMA.fullmatch(schema):
        raise SettingsError(f"[skene] schema is {schema!r}; use lower-case letters, digits and _ (such as 'skene')")
    return schema


def in_schema(sql: str, schema: str) -> str:
    """Put the (checked) schema name where our SQL files say ``{schema}``."""
    return sql.replace("{schema}", checked_schema(schema))


@cache
def statements(room: str, schema: str) -> dict[str, str]:
    """All named statements of ``queries/<room>.sql``."""
    text = in_schema(files(__package__).joinpath("queries", f"{room}.sql").read_text(encoding="utf-8"), schema)
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
