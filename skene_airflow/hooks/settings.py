"""Airflow's ``[skene]`` section, read once per task and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skene_airflow.errors import SettingsError
from skene_airflow.nouns import Mode
from skene_airflow.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_LEDGER = "skene_source"
"""The connection of the ledger when ``[skene] ledger_conn_id`` is empty."""

DEFAULTS = Settings()

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


def airflow_settings() -> Settings:
    """The settings of this Airflow installation.

    Raises SettingsError for a value that no option takes.
    """
    from airflow.sdk.configuration import conf

    return read_settings(lambda option: str(conf.get("skene", option, fallback="") or ""))


def default_timezone() -> str:
    """The IANA name of Airflow's ``[core] default_timezone``: the zone of triggers that name none."""
    from airflow.sdk.configuration import conf

    name = str(conf.get("core", "default_timezone"))
    if name != "system":
        # Airflow's own default is `utc`, which is no name of the tz database where file names have a case.
        return "UTC" if name.lower() == "utc" else name
    from pendulum.tz import local_timezone

    return str(local_timezone().name)


def read_settings(get: Callable[[str], str]) -> Settings:
    """Settings made of the raw option texts that ``get`` returns; an empty text means the default.

    Raises SettingsError for a value that no option takes.
    """
    max_mode = _mode("max_mode", get("max_mode"))
    return Settings(
        loops_folder=get("loops_folder").strip(),
        ledger_conn_id=get("ledger_conn_id").strip(),
        schema=get("schema").strip() or DEFAULTS.schema,
        auto_migrate=_flag("auto_migrate", get("auto_migrate"), DEFAULTS.auto_migrate),
        max_mode=max_mode,
        redirect_to=_redirect_to(get("redirect_to").strip(), max_mode),
        from_email=get("from_email").strip(),
        base_url=get("base_url").strip().rstrip("/"),
        postal_address=get("postal_address").strip(),
        secret_keys=tuple(key for part in get("secret_key").split(",") if (key := part.strip())),
        retention_days=_days("retention_days", get("retention_days"), DEFAULTS.retention_days),
    )


def _flag(option: str, text: str, default: bool) -> bool:
    word = text.strip().lower()
    if word and word not in _TRUE | _FALSE:
        raise _wrong(option, text, "True or False")
    return word in _TRUE if word else default


def _mode(option: str, text: str) -> Mode:
    word = text.strip().lower() or Mode.LIVE
    if word not in [mode.value for mode in Mode]:
        raise _wrong(option, text, "live, redirect or shadow")
    return Mode(word)


def _redirect_to(address: str, max_mode: Mode) -> str:
    if max_mode is Mode.REDIRECT and not address:
        message = "[skene] max_mode is redirect, but redirect_to is empty: set it to the address that gets all mail"
        raise SettingsError(message)
    return address


def _days(option: str, text: str, default: int) -> int:
    word = text.strip()
    if not word:
        return default
    if not word.isascii() or not word.isdigit():
        raise _wrong(option, text, "a number of days, 0 or more")
    return int(word)


def _wrong(option: str, text: str, expected: str) -> SettingsError:
    return SettingsError(f"[skene] {option} is {text.strip()!r}: it takes {expected}")
