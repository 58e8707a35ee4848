"""Chance that stays: one hash in SQL and Python, even shares, and no share that knows of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skene_airflow.audience.assignment import HOLDOUT, SAMPLE, VARIANT, bound, hash_sql, ranges, salt, share

MANY = 100_000


def test_it_is_the_same_in_sql_and_python_for_a_hundred_thousand_keys(
    connect: Callable[[], psycopg.Connection[Any]],
) -> None:
    keys = [f"{n}" if n % 3 else f"ключ-{n}-é😀'\"\\%" for n in range(MANY)]
    # Also where the border is somebody's own number: nobody is below it but those who are.
    numbers = [0.0, 0.05, 1 / 3, 0.52, *(share("loop/holdout", key) for key in keys[:40]), 1.0]
    with connect() as conn:
        rows = conn.execute(
            f"SELECT k, ARRAY(SELECT h < b FROM unnest(%(bounds)s::bytea[]) WITH ORDINALITY AS u (b, n) ORDER BY n)"
            f" FROM (SELECT k, {hash_sql('%(salt)s::text', 'k')} AS h FROM unnest(%(keys)s::text[]) AS t (k)) t",
            {"salt": "loop/holdout", "keys": keys, "bounds": [bound(number) for number in numbers]},
        )
        for key, below in rows:
            mine = share("loop/holdout", key)
            assert below == [mine < number for number in numbers], key


@given(st.integers(0, 2**60 - 1), st.floats(0, 1))
def test_a_bound_parts_the_hashes_where_the_number_parts_the_shares(bits: int, number: float) -> None:
    digest = (bits << 4).to_bytes(8) + b"\xff" * 24
    assert (digest < bound(number)) == (bits / 2.0**60 < number)
    assert (digest < bound(bits / 2.0**60)) == (bits / 2.0**60 < bits / 2.0**60)


def test_the_value_is_the_documented_one() -> None:
    # printf 'my_loop/holdout:42' | sha256sum
    assert salt("my_loop", HOLDOUT) == "my_loop/holdout"
    assert share("my_loop/holdout", "42") == pytest.approx(0.54247312549, abs=1e-10)


@pytest.mark.parametrize("purpose", [HOLDOUT, SAMPLE, VARIANT])
def test_shares_are_even(purpose: str) -> None:
    buckets = [0] * 100
    for n in range(MANY):
        buckets[int(share(salt("loop", purpose), str(n)) * 100)] += 1
    chi = sum((count - MANY / 100) ** 2 / (MANY / 100) for count in buckets)
    assert chi < 159  # p > 0.0001 with 99 degrees of freedom; the keys are fixed, so this never flakes


def test_one_share_knows_nothing_of_another() -> None:
    inside = [n for n in range(MANY) if share(salt("loop", SAMPLE), str(n)) < 0.5]
    held = sum(share(salt("loop", HOLDOUT), str(n)) < 0.1 for n in inside)
    other = sum(
        share(salt("other", HOLDOUT), str(n)) < 0.1 for n in inside if share(salt("loop", HOLDOUT), str(n)) < 0.1
    )
    assert held / len(inside) == pytest.approx(0.1, abs=0.005)
    assert other / held == pytest.approx(0.1, abs=0.015)


def test_ranges_cover_everything_once() -> None:
    assert ranges([1]) == [(0.0, 1.0)]
    assert ranges([1, 1, 2]) == [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
    thirds = ranges([0.1, 0.1, 0.1])
    assert [low for low, _ in thirds[1:]] == [high for _, high in thirds[:-1]]
    assert thirds[-1][1] == 1.0
    assert ranges([1, 0]) == [(0.0, 1.0), (1.0, 1.0)]
