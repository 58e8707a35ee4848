"""Two shares compared: how sure their difference is, and whether chance alone made two arms of these sizes."""

from __future__ import annotations

from math import erfc, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIDENCE = 0.95
"""How often the interval of a difference holds the true one."""
SUSPICIOUS = 0.001
"""Below this probability a split is no accident: one healthy loop in a thousand is warned of."""
FEW = 5.0
"""The smallest expected count of a cell of a 2 x 2 table for which its comparison is trusted (Cochran 1954)."""

_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_POWER_Z = NormalDist().inv_cdf(0.8)


class Share(NamedTuple):
    """``converted`` of ``people``."""

    people: int
    converted: int

    @property
    def rate(self) -> float | None:
        """The share from 0 to 1; None of nobody."""
        return self.converted / self.people if self.people else None


class Interval(NamedTuple):
    """From ``low`` to ``high``."""

    low: float
    high: float


def wilson(share: Share) -> Interval:
    """The score interval of one share (Wilson 1927): never outside 0 and 1, and right for few people too."""
    n, p, z2 = share.people, share.converted / share.people, _Z * _Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def difference(treated: Share, held_out: Share) -> tuple[float, Interval]:
    """How much larger the first share is, with the interval that holds the true difference 95 times in 100.

    The interval is Newcombe's hybrid score interval, made of the two Wilson intervals: method 10 of R. G. Newcombe,
    "Interval estimation for the difference between independent proportions: comparison of eleven methods", Statistics
    in Medicine 17 (1998), 873-890. Both shares must be of somebody.
    """
    one, other = treated.converted / treated.people, held_out.converted / held_out.people
    (low, high), (other_low, other_high) = wilson(treated), wilson(held_out)
    delta = one - other
    below = sqrt((one - low) ** 2 + (other_high - other) ** 2)
    above = sqrt((high - one) ** 2 + (other - other_low) ** 2)
    return delta, Interval(max(-1.0, delta - below), min(1.0, delta + above))


def detectable(treated: Share, held_out: Share) -> float:
    """The smallest true difference that arms of these sizes would show four times in five.

    The usual approximation for two shares near the pooled one: (z of 95 % + z of 80 % power) standard errors.
    """
    pooled = (treated.converted + held_out.converted) / (treated.people + held_out.people)
    spread = sqrt(pooled * (1 - pooled) * (1 / treated.people + 1 / held_out.people))
    return (_Z + _POWER_Z) * spread


def is_small(treated: Share, held_out: Share) -> bool:
    """Whether a cell of the 2 x 2 table has an expected count below FEW."""
    people = treated.people + held_out.people
    converted = treated.converted + held_out.converted
    least = min(treated.people, held_out.people) * min(converted, people - converted)
    return least < FEW * people


def split(groups: Iterable[tuple[float, int, int]]) -> float:
    """The probability that chance alone makes a split as uneven as this (a sample ratio mismatch, SRM, if tiny).

    Each group is a share that was to be held out, how many people were assigned under it, and how many of them were
    held out. It is the chi-squared test with one degree of freedom of the number held out against the sum over the
    groups: a share that was changed on the way is no fault. For one group it is Pearson's test of goodness of fit.
    """
    off = variance = 0.0
    for share, people, held_out in groups:
        off += held_out - people * share
        variance += people * share * (1 - share)
    if variance == 0:
        return 1.0 if off == 0 else 0.0
    return erfc(sqrt(off * off / variance / 2))
