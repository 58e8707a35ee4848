"""The numbers of a comparison, against published ones and against simulated truth."""

from __future__ import annotations

import random
from math import log, log1p

import pytest

from skene_airflow.insight.statistics import Share, detectable, difference, is_small, split, wilson


def binomial(chance: random.Random, people: int, rate: float) -> int:
    """How many of these people convert: from one who does to the next, the gap is geometric."""
    at, found = 0, -1
    while at <= people:
        at += 1 + int(log(1 - chance.random()) / log1p(-rate))
        found += 1
    return found


@pytest.mark.parametrize(
    ("treated", "held_out", "low", "high"),
    [
        # Newcombe 1998, table II, method 10.
        (Share(70, 56), Share(80, 48), 0.0524, 0.3339),
        (Share(10, 9), Share(10, 3), 0.1705, 0.8090),
        (Share(56, 5), Share(29, 0), -0.0381, 0.1926),
    ],
)
def test_the_published_intervals(treated: Share, held_out: Share, low: float, high: float) -> None:
    delta, interval = difference(treated, held_out)
    assert delta == pytest.approx(treated.converted / treated.people - held_out.converted / held_out.people)
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_inside_and_is_exact_for_nobody_of_ten() -> None:
    assert wilson(Share(10, 0)) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert wilson(Share(10, 10)) == pytest.approx((0.7225, 1.0), abs=5e-5)


@pytest.mark.parametrize(
    ("people", "treated_rate", "held_out_rate"),
    [((9_500, 500), 0.12, 0.10), ((950, 50), 0.05, 0.05), ((500, 500), 0.30, 0.20), ((1_900, 100), 0.02, 0.01)],
)
def test_the_interval_holds_the_truth_ninety_five_times_in_a_hundred(
    people: tuple[int, int], treated_rate: float, held_out_rate: float
) -> None:
    chance, times, held = random.Random(98), 2_000, 0
    for _ in range(times):
        treated = Share(people[0], binomial(chance, people[0], treated_rate))
        held_out = Share(people[1], binomial(chance, people[1], held_out_rate))
        _, (low, high) = difference(treated, held_out)
        held += low <= treated_rate - held_out_rate <= high
    assert 0.935 <= held / times <= 0.975  # four standard errors about 95 %, and a little more where few convert


def test_a_difference_of_the_size_that_is_detectable_is_detected_four_times_in_five() -> None:
    base, people = 0.10, (9_000, 1_000)
    least = detectable(Share(people[0], 900), Share(people[1], 100))
    chance, seen, times = random.Random(5), 0, 2_000
    for _ in range(times):
        treated = Share(people[0], binomial(chance, people[0], base + least))
        held_out = Share(people[1], binomial(chance, people[1], base))
        seen += difference(treated, held_out)[1].low > 0
    assert 0.70 <= seen / times <= 0.90


def test_a_split_of_52_to_48_is_noticed_when_people_are_many_enough() -> None:
    assert split([(0.5, 1_000, 520)]) == pytest.approx(0.2059, abs=1e-4)
    assert split([(0.5, 10_000, 5_200)]) == pytest.approx(6.33e-5, rel=1e-2)
    assert split([(0.05, 10_000, 500)]) == 1.0


def test_a_share_that_was_changed_is_no_mismatch() -> None:
    groups = [(0.05, 10_000, 497), (0.20, 10_000, 2_011)]
    assert split(groups) > 0.5
    pooled = [(0.05, 20_000, 2_508)]
    assert split(pooled) < 1e-9


def test_a_share_of_nothing_or_of_everybody() -> None:
    assert split([(0.0, 100, 0)]) == 1.0
    assert split([(0.0, 100, 1)]) == 0.0
    assert split([(1.0, 100, 100)]) == 1.0


def test_healthy_splits_are_hardly_ever_called_off() -> None:
    chance = random.Random(52)
    off = sum(split([(0.05, 2_000, binomial(chance, 2_000, 0.05))]) < 0.001 for _ in range(5_000))
    assert off <= 25  # five are expected


def test_what_is_small() -> None:
    assert is_small(Share(9_500, 300), Share(50, 1))
    assert not is_small(Share(9_500, 950), Share(500, 40))
    assert is_small(Share(100, 0), Share(100, 0))
