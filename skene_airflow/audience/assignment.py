"""Sticky chance: a salted hash of the person key as a number from 0 to 1, equal in SQL and in Python.

The salt is the loop's oldest name and what the number is for, so that a person's place in the holdout says nothing
about the sample or the variant, nor about any other loop.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

HOLDOUT: Final = "holdout"
SAMPLE: Final = "sample"
VARIANT: Final = "variant"

_BITS: Final = 60
_ALL: Final = 2.0**60


def salt(oldest_name: str, purpose: str) -> str:
    """The salt of one loop and purpose."""
    return f"{oldest_name}/{purpose}"


def share(salt: str, user_key: str) -> float:
    """The person's number: the first 60 bits of sha256 over ``salt:user_key``, divided by 2^60.

    It is below 1 for all but one person in 10^16, whom rounding takes to 1.
    """
    digest = hashlib.sha256(f"{salt}:{user_key}".encode()).hexdigest()
    return int(digest[: _BITS // 4], 16) / _ALL


def hash_sql(salt: str, user_key: str) -> str:
    """The whole hash as a SQL expression over two text expressions, to be held against ``bound``."""
    return f"sha256(convert_to({salt} || ':' || {user_key}, 'UTF8'))"


def bound(number: float) -> bytes:
    """Where hashes end whose share is below ``number`` (0 to 1): one comparison of bytes, and the same people to the
    last bit as ``share(…) < number``."""
    low, high = 0, 2**_BITS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle / _ALL >= number else (middle + 1, high)
    return min(low << 4, 2**64 - 1).to_bytes(8)


def ranges(weights: Sequence[float]) -> list[tuple[float, float]]:
    """Where each share of these weights begins (included) and ends (not), from 0 to 1."""
    total, ends = sum(weights), [0.0, *accumulate(weights)]
    return [(low / total, high / total) for low, high in pairwise(ends)]
