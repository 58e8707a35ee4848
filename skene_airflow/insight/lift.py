"""Lift: who was mailed against who was held out, by intention to treat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skene_airflow.insight.statistics import (
    CONFIDENCE,
    SUSPICIOUS,
    Interval,
    Share,
    detectable,
    difference,
    is_small,
    split,
)
from skene_airflow.ledger import goals
from skene_airflow.nouns import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from skene_airflow.ledger import Ledger
    from skene_airflow.ledger.goals import Measure
    from skene_airflow.ledger.runs import Names

METHOD = "Newcombe 1998, hybrid score interval of Wilson intervals"
Groups = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Split:
    """How many were to be held out and were, and the probability that chance alone went so far from it."""

    expected: float
    held_out: int
    p_value: float

    @property
    def off(self) -> bool:
        """Whether something else than chance decides who is held out."""
        return self.p_value < SUSPICIOUS


@dataclass(frozen=True, slots=True)
class Lift:
    """What the ledger says of one step. ``treated`` is everybody who was to be mailed, whatever became of the mail.

    ``difference`` and ``interval`` are shares (0.02 is two points of a hundred), None where nobody was held out or
    nobody treated. ``counted`` is ``closed`` if only people whose window is over are counted, ``open`` while there are
    none and everybody is; ``closed`` and ``open`` say how many people that is.
    """

    loop_id: str
    step_id: str
    looked_at: datetime
    counted: str
    closed: int
    open: int
    treated: Share
    held_out: Share
    split: Split | None
    difference: float | None = None
    interval: Interval | None = None
    detectable: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def relative(self) -> float | None:
        """The difference as a share of the held-out people's conversion; None where nobody of them converted."""
        if self.difference is None or not self.held_out.rate:
            return None
        return self.difference / self.held_out.rate

    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "loop_id": self.loop_id,
            "step_id": self.step_id,
            "looked_at": self.looked_at.isoformat(),
            "windows": {"counted": self.counted, "closed": self.closed, "open": self.open},
            "treated": _plain(self.treated),
            "held_out": _plain(self.held_out),
            "difference": self.difference,
            "interval": list(self.interval) if self.interval else None,
            "confidence": CONFIDENCE,
            "method": METHOD,
            "relative_lift": self.relative,
            "detectable_difference": self.detectable,
            "split": None
            if self.split is None
            else {
                "expected_held_out": self.split.expected,
                "held_out": self.split.held_out,
                "p_value": self.split.p_value,
                "off": self.split.off,
            },
            "warnings": self.warnings,
        }


def _plain(share: Share) -> dict[str, Any]:
    return {"people": share.people, "converted": share.converted, "conversion": share.rate}


def lift(
    ledger: Ledger, names: Names, measure: Measure, looked_at: datetime, holdout: float, *, later: bool = False
) -> Lift:
    """Compare the people of one step, each once; goals are known until ``looked_at``.

    ``holdout`` stands for the share of runs that did not note theirs. ``later``: it is not the loop's first step, and
    whoever was held out of that one never came here.
    """
    groups = goals.compare(ledger, names, measure, looked_at, holdout)
    sizes = {over: sum(group["people"] for group in groups if group["closed"] is over) for over in (True, False)}
    counted = [group for group in groups if group["closed"]] or groups
    treated, held_out = _share(counted, Verdict.SEND), _share(counted, Verdict.HOLD_OUT)
    both = treated.people > 0 and held_out.people > 0
    delta, interval = difference(treated, held_out) if both else (None, None)
    found = Lift(
        loop_id=names.loop_ids[0],
        step_id=names.step_ids[0],
        looked_at=looked_at,
        counted="closed" if sizes[True] else "open",
        closed=sizes[True],
        open=sizes[False],
        treated=treated,
        held_out=held_out,
        split=None if later else _split(groups),
        difference=delta,
        interval=interval,
        detectable=detectable(treated, held_out) or None if both else None,
    )
    found.warnings.extend(_warnings(found, later))
    return found


def _share(groups: Iterable[Mapping[str, Any]], verdict: Verdict) -> Share:
    mine = [group for group in groups if group["verdict"] == verdict]
    return Share(sum(group["people"] for group in mine), sum(group["converted"] for group in mine))


def _split(groups: Groups) -> Split | None:
    """Over everybody who was assigned, whether or not their window is over; None if nobody was to be held out."""
    shares: dict[float, list[int]] = {}
    for group in groups:
        people = shares.setdefault(float(group["share"]), [0, 0])
        people[0] += group["people"]
        people[1] += group["people"] if group["verdict"] == Verdict.HOLD_OUT else 0
    if not any(shares):
        return None
    expected = sum(share * people for share, (people, _) in shares.items())
    held_out = sum(held for _, held in shares.values())
    return Split(expected, held_out, split((share, people, held) for share, (people, held) in shares.items()))


def _warnings(found: Lift, later: bool) -> Iterable[str]:
    if found.split is not None and found.split.off:
        yield (
            f"the split is off: {found.split.held_out:,} people were held out, and {found.split.expected:,.0f} were to"
            f" be (p = {found.split.p_value:.2g}). Something else than chance decides who is held out, and until it is"
            " found the difference means nothing"
        )
    if not found.closed and found.open:
        yield f"no window is over yet: {found.open:,} people are counted as of now, and more of them may convert"
    elif found.open:
        yield f"{found.open:,} people are not counted: their window is still open"
    if not found.treated.people and not found.held_out.people:
        yield "nobody was assigned yet"
    elif later and not found.held_out.people:
        yield "whoever was held out of the first step never comes here: the first step has the comparison"
    elif not found.held_out.people:
        yield "nobody was held out, so there is nothing to compare with: write `holdout: 10%`"
    elif not found.treated.people:
        yield "everybody was held out, so there is nothing to compare"
    elif is_small(found.treated, found.held_out):
        yield "the sample is too small: fewer than five conversions, or five people without one, are expected in an arm"
