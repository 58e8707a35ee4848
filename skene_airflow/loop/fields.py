"""The small values of the language: durations, percentages, rates, names, addresses, times of day."""

import re
import unicodedata
from datetime import time, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from skene_airflow.loop import codes, meant
from skene_airflow.loop.model import Model, refuse

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([-+]?)([0-9]{1,9})([smhdw])")
_LONGEST: Final = 3_650 * 86_400
_PERCENTAGE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%")
_RATE: Final = re.compile(r"([0-9]{1,9})\s?/\s?([0-9]{1,9}[smhdw])")
_FACTOR: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s?x")
CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w$]*")
# Any other name can be a column's: the SQL that reads it is quoted.
_NOT_A_COLUMN: Final = re.compile(r"""^['"`\[]|['"`\]]$|\{\{|\(""")
_QUALIFIED: Final = re.compile(r"[^\W\d]\w*\.[^\W\d]\w*")
_TEMPLATE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CONNECTION: Final = re.compile(r"[A-Za-z0-9_.-]+")
_ADDR_SPEC: Final = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")
_MAILBOX: Final = re.compile(rf"(?:[^<>\r\n]*\S\s*<({_ADDR_SPEC.pattern})>|<?({_ADDR_SPEC.pattern})>?)")


def shown(value: object) -> str:
    """A value as a fault quotes it: short, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, tuple | list):
        return "a list"
    if isinstance(value, dict):
        return "a map"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split())
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"


def duration(value: Any) -> timedelta:
    """``36h`` as a length of time; refuses everything that is not one."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(codes.DURATION, f"{shown(value)} is not a duration", meant.a_duration(value))
    seconds = _SECONDS[match[3]] * int(match[2])
    if match[1] == "-" or not seconds:
        hint = "write a number above 0 and a unit: 30s, 10m, 36h, 7d"
        raise refuse(codes.NOT_POSITIVE, f"the duration {shown(value)} is not positive", hint)
    if seconds > _LONGEST:
        raise refuse(codes.DURATION, f"{shown(value)} is longer than ten years", "write a shorter duration")
    return timedelta(seconds=seconds)


def parse_duration(text: str | None) -> timedelta | None:
    """The same for a text that may be anything: None for what is no duration."""
    try:
        return duration(text)
    except PydanticCustomError:
        return None


def _percentage(value: Any) -> Any:
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise refuse(codes.PERCENTAGE, f"{shown(value)} is not a percentage", meant.a_percentage(value))
    return float(match[1]) / 100


def _factor(value: Any) -> Any:
    match = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) < 1:
        raise refuse(codes.RANGE, f"{shown(value)} is not a factor", "write one of at least 1x, such as 5x")
    return float(match[1])


def _clock(value: Any) -> Any:
    match = CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(codes.CLOCK, f"{shown(value)} is not a time of day", "write hours and minutes, such as 21:00")
    return time(int(match[1]), int(match[2]))


def _matching(pattern: re.Pattern[str], longest: int, code: str, what: str, hint: str) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) > longest or not pattern.fullmatch(value):
            raise refuse(code, f"{shown(value)} is not {what}", hint)
        return value

    return AfterValidator(check)


def _template(value: str) -> str:
    if len(value) > 100 or not _TEMPLATE.fullmatch(value):
        bare = value.rpartition("/")[2].partition(".")[0]
        hint = f"did you mean '{bare}'?" if _TEMPLATE.fullmatch(bare) else "letters, digits, '_' and '-' are a name"
        hint = f"write the file's name without folder and ending; {hint}"
        raise refuse(codes.NAME, f"{shown(value)} is not a template's name", hint)
    return value


def _column(value: str) -> str:
    bad = not value.strip() or len(value.encode()) > 63 or any(unicodedata.category(sign) == "Cc" for sign in value)
    if bad or _NOT_A_COLUMN.search(value) or _QUALIFIED.fullmatch(value):
        hint = "write the bare name as the database has it, such as last_activity_at; no quotes, no table"
        raise refuse(codes.IDENTIFIER, f"{shown(value)} is not a column name", hint)
    return value


def _one_line(value: str) -> str:
    if not value.strip():
        raise refuse(codes.BLANK, "the text is empty", "write it, or leave the key out")
    return value


def _some(value: Any) -> Any:
    if not value:
        raise refuse(codes.BLANK, "nothing is written here", "write at least one, or leave the key out")
    return value


# Not pydantic's min_length: that counts the good items only, and blames a list for a fault of its items.
SOME: Final = AfterValidator(_some)


def _table(value: str) -> str:
    parts = value.split(".")
    if len(parts) > 2 or not all(_IDENTIFIER.fullmatch(part) and len(part) <= 63 for part in parts):
        hint = "write the bare name, such as users or app.users; no quotes"
        raise refuse(codes.IDENTIFIER, f"{shown(value)} is not a table name", hint)
    return value


def _mailbox(value: str) -> str:
    if len(value) > 320 or not _MAILBOX.fullmatch(value):
        hint = "write one address: ada@acme.example or Ada at Acme <ada@acme.example>"
        raise refuse(codes.ADDRESS, f"{shown(value)} is not one mail address", hint)
    return value


def _rate(value: Any) -> Any:
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(codes.RATE, f"{shown(value)} is not a rate", meant.a_rate(value))
    if int(match[1]) < 1:
        raise refuse(codes.RANGE, f"{shown(value)} lets nothing through", "write a count of at least 1")
    return {"count": int(match[1]), "window": duration(match[2])}


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


# What a schema can see of a duration: above zero, and not far above ten years.
_DURATION_FORM: Final = "0*([1-9][0-9]{0,8}s|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d|[1-9][0-9]{0,2}w)"
Duration = Annotated[timedelta, BeforeValidator(duration), _text_schema(_DURATION_FORM, "10m", "36h", "7d")]
Percentage = Annotated[
    float, BeforeValidator(_percentage), _text_schema(r"[0-9]{1,3}(\.[0-9]{1,6})?\s?%", "5%", "12.5%")
]
Factor = Annotated[float, BeforeValidator(_factor), _text_schema(r"[0-9]{1,6}(\.[0-9]{1,6})?\s?x", "5x")]
Clock = Annotated[time, BeforeValidator(_clock), _text_schema("([01][0-9]|2[0-3]):[0-5][0-9]", "21:00")]
Text = Annotated[str, AfterValidator(_one_line), Field(max_length=2_000, json_schema_extra={"minLength": 1})]
Sql = Annotated[str, Field(json_schema_extra={"minLength": 1})]
Name = Annotated[
    str,
    _matching(_NAME, 100, codes.NAME, "a name", "write lower-case letters, digits and '_', a letter first"),
    _text_schema(_NAME.pattern),
]
Column = Annotated[
    str,
    AfterValidator(_column),
    WithJsonSchema({"type": "string"}),
]
Table = Annotated[str, AfterValidator(_table)]
Template = Annotated[
    str,
    AfterValidator(_template),
    _text_schema(_TEMPLATE.pattern, "re_engagement"),
]
Connection = Annotated[
    str,
    _matching(_CONNECTION, 200, codes.NAME, "a connection id", "write it as Airflow knows it, such as resend_default"),
    _text_schema(_CONNECTION.pattern, "resend_default"),
]
Mailbox = Annotated[str, AfterValidator(_mailbox)]


class RateValue(Model):
    """At most ``count`` messages to a person within ``window``."""

    count: int
    window: Duration


Rate = Annotated[
    RateValue, BeforeValidator(_rate), _text_schema(f"0*[1-9][0-9]{{0,8}}\\s?/\\s?{_DURATION_FORM}", "2/7d")
]
