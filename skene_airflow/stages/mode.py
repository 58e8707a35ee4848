"""Which mode a run has: the table in the docs, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from skene_airflow.errors import ConfError
from skene_airflow.loop.fields import Duration
from skene_airflow.nouns import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

OBEDIENT = frozenset({"scheduled", "asset_triggered", "operator_triggered"})
"""Run types that do what the loop's `mode` says; every other one is a shadow run unless its conf says live."""

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
BRAKES = ("max", "max_share", "max_growth", "approve_above")
"""The brakes of `guard` that a run's conf may release."""

_KEYS = ("mode", "expires_after", "release", "rekey")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run's conf asks for. ``mode`` is None for `auto`."""

    mode: Mode | None = None
    expires_after: timedelta | None = None
    rekey: bool = False
    release: frozenset[str] = frozenset()
    """The brakes that this run passes whatever its size."""


def read_conf(conf: Mapping[str, object]) -> Asked:
    """Read a run's conf. Raises ConfError for an unknown key or value: a typo must never send mail."""
    unknown = sorted(set(conf) - set(_KEYS))
    if unknown:
        raise ConfError(f"conf has the unknown key {unknown[0]!r}; a loop knows: {', '.join(_KEYS)}.")
    rekey = conf.get("rekey", False)
    if not isinstance(rekey, bool):
        raise ConfError(f"conf says rekey {rekey!r}; write true or false, without quotes.")
    mode = conf.get("mode", "auto")
    if mode not in ("auto", "shadow", "live"):
        raise ConfError(f"conf says mode {mode!r}; write auto, shadow or live.")
    wanted = None if mode == "auto" else Mode(str(mode))
    return Asked(wanted, _span(conf.get("expires_after")), rekey, _released(conf.get("release", [])))


def _released(names: Any) -> frozenset[str]:
    if not isinstance(names, (list, tuple)) or any(name not in BRAKES for name in names):
        raise ConfError(f'conf says release {names!r}; write a list of {", ".join(BRAKES)}, such as ["max_growth"].')
    return frozenset(names)


def _span(value: object) -> timedelta | None:
    if value is None:
        return None
    try:
        return _DURATION.validate_python(value)
    except ValidationError:
        raise ConfError(f'conf says expires_after {value!r}; write a duration in quotes, such as "30d".') from None


def run_mode(run_type: str, asked: Asked, loop_mode: str, max_mode: Mode) -> Mode:
    """The mode of a run that is about to stage its audience."""
    wanted = asked.mode or (Mode(loop_mode) if run_type in OBEDIENT else Mode.SHADOW)
    return lowered(wanted, max_mode)


def lowered(mode: Mode, max_mode: Mode) -> Mode:
    """``mode`` under the deployment's ceiling: live > redirect > shadow."""
    order = [Mode.SHADOW, Mode.REDIRECT, Mode.LIVE]
    return min(mode, max_mode, key=order.index)
