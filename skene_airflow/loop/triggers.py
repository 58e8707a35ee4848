"""What makes a step run: one closed model per ``type``."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from skene_airflow.loop import codes, meant
from skene_airflow.loop.fields import SOME, Duration, Name, Table, Text, shown
from skene_airflow.loop.model import TAG, Model, by_type, refuse

PRESETS: Final[dict[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_HINT: Final = 'write five fields, such as "0 9 * * 1-5" (minute, hour, day, month, weekday), or @daily'
_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_RANDOM_FIELD: Final = re.compile(r"[hr](?:\(|/|$)", re.IGNORECASE)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_NOT_ZONES: Final = frozenset(("localtime", "posixrules", "Factory"))


@lru_cache(maxsize=1024)
def cron_trouble(expression: str) -> str | None:
    """Why this is not a cron expression that Airflow can run, or None."""
    if expression.startswith("@"):
        return None if expression in PRESETS else f"{shown(expression)} is not one of {', '.join(PRESETS)}"
    fields = expression.split()
    if len(fields) != 5:
        return f"{shown(expression)} has {len(fields)} fields, not five"
    if any(_RANDOM_FIELD.match(field) for field in fields):
        return f"{shown(expression)} fires at a random time"
    try:
        next(croniter(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except (ValueError, KeyError, ArithmeticError, IndexError, TypeError, AttributeError) as error:
        if "failed to find next date" in str(error):
            return f"{shown(expression)} never fires"
        return f"{shown(expression)} is not a cron expression"
    return None


def _cron(value: str) -> str:
    trouble = cron_trouble(value)
    if trouble:
        raise refuse(codes.CRON, trouble, _cron_hint(value))
    return value


def _cron_hint(value: str) -> str:
    word, fields = value.strip().lower(), value.split()
    preset = word if word in PRESETS else f"@{word}" if f"@{word}" in PRESETS else ""
    if preset:
        return f"did you mean '{preset}'?"
    if word in ("@once", "@reboot", "@continuous"):
        return "write `type: manual` for a loop that somebody starts"
    if len(fields) == 6:  # seconds come first for Quartz, and a year last for others
        shorter = " ".join(fields[:5] if re.fullmatch(r"\d{4}.*", fields[5]) else fields[1:])
        if not cron_trouble(shorter):
            return f"did you mean '{shorter}'? There are no seconds and no years"
    for field, (name, least, most) in zip(fields, _FIELDS, strict=False) if len(fields) == 5 else ():
        for number in re.findall(r"(?<![/\w])[0-9]+", field):
            if not least <= int(number[:9]) <= most:
                return f"the {name} {number[:9]} is not within {least} to {most}"
    strange = next((sign for sign in value if ord(sign) > 127), None)
    if strange is not None:
        return f"it holds the character U+{ord(strange):04X}; write plain spaces, digits and signs"
    return _HINT


@lru_cache(maxsize=1024)
def is_time_zone(name: str) -> bool:
    """Whether this is the name of an IANA time zone."""
    if not _ZONE.fullmatch(name) or name in _NOT_ZONES:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _time_zone(value: str) -> str:
    if value != "user" and not is_time_zone(value):
        raise refuse(codes.TIME_ZONE, f"{shown(value)} is not a known time zone", meant.a_time_zone(value))
    return value


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class ScheduleTrigger(Model):
    """Runs at the times of a cron expression."""

    type: Literal["schedule"] = Field(description="Runs by the clock.")
    cron: Annotated[str, AfterValidator(_cron)] = Field(
        description="A cron expression of five fields, or @hourly, @daily, @weekly, @monthly, @quarterly, @yearly.",
        examples=["0 9 * * *", "@daily"],
    )
    timezone: Annotated[str, AfterValidator(_time_zone)] | None = Field(
        default=None,
        description="The zone of the cron expression (absent: Airflow's default_timezone); user: each person's own.",
        examples=["Europe/Helsinki", "user"],
    )


Change: TypeAlias = Literal["insert", "update", "delete", "manual"]


class DatabaseTrigger(Model):
    """Runs when rows change, told by Hasura's event trigger or by one in the database itself."""

    type: Literal["database"] = Field(description="Runs when rows of a table change.")
    table: Table = Field(
        description="The table whose changes count; without a schema it is one of public.",
        examples=["users", "billing.invoices"],
    )
    event: Annotated[
        tuple[Change, ...], BeforeValidator(_as_list, json_schema_input_type=Change | tuple[Change, ...]), SOME
    ] = Field(description="The kind of change, or a list: insert, update, delete; manual (sent by hand in Hasura).")


class AssetTrigger(Model):
    """Runs when Airflow assets are updated."""

    type: Literal["asset"] = Field(description="Runs when an Airflow asset is updated.")
    asset: Annotated[
        tuple[Text, ...], BeforeValidator(_as_list, json_schema_input_type=Text | tuple[Text, ...]), SOME
    ] = Field(description="The name of an Airflow asset; a list means all of them.", examples=["dbt_users"])


class ManualTrigger(Model):
    """Runs only when somebody, or another DAG, triggers it."""

    type: Literal["manual"] = Field(description="Runs only when somebody or another DAG triggers it.")


STILL_DUE: Final = timedelta(days=30)
"""How long a person stays due for an `after` step that names no `until`."""


class AfterTrigger(Model):
    """Due some time after another step was sent to the same person."""

    type: Literal["after"] = Field(description="Due after another step was sent to the person.")
    step: Name | None = Field(default=None, description="The step that comes before; absent: the first.")
    wait: Duration = Field(description="How long after the other step was sent.")
    until: Duration | None = Field(default=None, description="Too late after this; absent: wait + 30d.")

    @property
    def end(self) -> timedelta:
        """How long after the other step was sent the person is due at the latest."""
        return self.until if self.until is not None else self.wait + STILL_DUE


Trigger: TypeAlias = Annotated[
    Annotated[ScheduleTrigger, Tag(f"{TAG}schedule")]
    | Annotated[DatabaseTrigger, Tag(f"{TAG}database")]
    | Annotated[AssetTrigger, Tag(f"{TAG}asset")]
    | Annotated[ManualTrigger, Tag(f"{TAG}manual")]
    | Annotated[AfterTrigger, Tag(f"{TAG}after")],
    Discriminator(by_type()),
]
