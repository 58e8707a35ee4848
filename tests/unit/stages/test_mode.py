"""The table of run modes, row by row."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from skene_airflow.errors import ConfError
from skene_airflow.nouns import Mode
from skene_airflow.stages.mode import Asked, lowered, read_conf, run_mode

LIVE, SHADOW, REDIRECT = Mode.LIVE, Mode.SHADOW, Mode.REDIRECT
SAYS_WHAT_THE_LOOP_SAYS = ["scheduled", "asset_triggered", "operator_triggered"]
ANYTHING_ELSE = ["manual", "backfill", "asset_materialization", "something_new"]


@pytest.mark.parametrize("run_type", SAYS_WHAT_THE_LOOP_SAYS)
@pytest.mark.parametrize("loop_mode", ["live", "shadow"])
def test_runs_that_obey_the_loop(run_type: str, loop_mode: str) -> None:
    assert run_mode(run_type, Asked(), loop_mode, LIVE) == loop_mode


@pytest.mark.parametrize("run_type", ANYTHING_ELSE)
@pytest.mark.parametrize("loop_mode", ["live", "shadow"])
def test_every_other_run_is_a_shadow_run_unless_asked(run_type: str, loop_mode: str) -> None:
    assert run_mode(run_type, Asked(), loop_mode, LIVE) is SHADOW
    assert run_mode(run_type, Asked(LIVE), loop_mode, LIVE) is LIVE


@pytest.mark.parametrize("run_type", SAYS_WHAT_THE_LOOP_SAYS + ANYTHING_ELSE)
def test_conf_may_always_ask_for_less(run_type: str) -> None:
    assert run_mode(run_type, Asked(SHADOW), "live", LIVE) is SHADOW


def test_max_mode_is_a_ceiling_and_never_a_floor() -> None:
    order = [SHADOW, REDIRECT, LIVE]
    for mode, ceiling in product(order, order):
        assert order.index(lowered(mode, ceiling)) == min(order.index(mode), order.index(ceiling))


@pytest.mark.parametrize(
    ("conf", "asked"),
    [
        ({}, Asked()),
        ({"mode": "auto"}, Asked()),
        ({"mode": "live"}, Asked(LIVE)),
        ({"mode": "shadow"}, Asked(SHADOW)),
        ({"mode": "live", "expires_after": "30d"}, Asked(LIVE, timedelta(days=30))),
        ({"mode": "live", "release": [], "rekey": False}, Asked(LIVE)),
        ({"mode": "live", "release": ["max", "max_growth"]}, Asked(LIVE, release=frozenset({"max", "max_growth"}))),
    ],
)
def test_conf(conf: dict[str, object], asked: Asked) -> None:
    assert read_conf(conf) == asked


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({"Mode": "live"}, "unknown key 'Mode'"),
        ({"mode": "redirect"}, "auto, shadow or live"),
        ({"mode": "LIVE"}, "auto, shadow or live"),
        ({"mode": True}, "auto, shadow or live"),
        ({"mode": ["live"]}, "auto, shadow or live"),
        ({"expires_after": 30}, "a duration"),
        ({"expires_after": "soon"}, "expires_after 'soon'"),
        ({"expires_after": "-1d"}, "expires_after '-1d'"),
        ({"release": ["max_groth"]}, "a list of max, max_share, max_growth"),
        ({"release": "max"}, "a list of max, max_share, max_growth"),
        ({"release": True}, "a list of max, max_share, max_growth"),
        ({"rekey": "yes"}, "true or false"),
    ],
)
def test_a_typo_never_sends_mail(conf: dict[str, object], says: str) -> None:
    with pytest.raises(ConfError, match=says):
        read_conf(conf)
