"""Plan: what the next live run of a step would do, counted beforehand. Nothing is written, claimed or sent."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.audience.gates import GATES
from skene_airflow.errors import ConfError, LedgerError, LoopError, MissingVariable, QueryError, SkeneError
from skene_airflow.loop.schema import ScheduleTrigger
from skene_airflow.message.address import InvalidAddress
from skene_airflow.message.mask import specimen
from skene_airflow.message.render import Row
from skene_airflow.message.sample import ADDRESS, KEY
from skene_airflow.message.values import revive
from skene_airflow.nouns import Reason, Verdict
from skene_airflow.stages.rehearse import Rehearsal, rehearsing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from skene_airflow.message.blueprint import Blueprint
    from skene_airflow.stages.job import Job

SAMPLES: Final = 3
LATELY: Final = 7
"""Days in which mail of other loops counts as overlap."""
PLANNED: Final = {"mode": "live", "rekey": True}
"""The conf of the run that a plan stands for: it would go, and the plan says what stands in its way."""
ORDER: Final = (*(gate.reason for gate in GATES), Reason.DUPLICATE_ADDRESS, Reason.FREQUENCY_CAPPED, Reason.HELD)
"""The order in which the gates ask."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What would become of one step's candidates. A step that cannot be judged has an ``error``, in our own words.

    ``gates``: how many each gate would skip whatever the others say. ``unreachable``: the error is a database's.
    """

    loop_id: str
    step_id: str
    as_of: datetime
    mode: str = "live"
    first_run: bool = False
    candidates: int = 0
    duplicate_rows: int = 0
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, int] = field(default_factory=dict)
    segments: Mapping[str, int] = field(default_factory=dict)
    variants: Mapping[str, int] = field(default_factory=dict)
    rate: Mapping[str, Any] = field(default_factory=dict)
    brakes: Sequence[Mapping[str, Any]] = ()
    overlap: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    unknown_zones: int = 0
    follows: bool = False
    refused: bool = False
    error: str | None = None
    unreachable: bool = False
    people: array[int] = field(default_factory=lambda: array("q"), repr=False, compare=False)

    @property
    def finding(self) -> bool:
        """Whether somebody should look before the next run: it would be held or refused, or cannot be judged."""
        return bool(self.brakes or self.refused or self.error)

    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        head = {"loop_id": self.loop_id, "step_id": self.step_id, "as_of": self.as_of.isoformat()}
        if self.error is not None:
            return {**head, "error": self.error}
        names = ("mode", "first_run", "candidates", "duplicate_rows", "verdicts", "gates", "segments", "variants")
        more = ("rate", "brakes", "overlap", "samples", "notes", "unknown_zones")
        return head | {name: getattr(self, name) for name in (*names, *more)}


def plan_step(job: Job, *, exists: bool) -> StepPlan:
    """The plan of one step; a query that fails is told in it. Raises LedgerError."""
    blank = StepPlan(job.loop.id, job.step.id, job.run.as_of)
    try:
        with rehearsing(job, exists=exists, yesterday=True) as rehearsal:
            return _told(blank, rehearsal)
    except LedgerError:
        raise
    except (QueryError, LoopError, ConfError) as error:
        return replace(blank, error=str(error))
    except SkeneError as error:
        return replace(blank, error=str(error), unreachable=True)


def overlapping(plans: Iterable[StepPlan]) -> list[StepPlan]:
    """The plans, each with how many of its people other loops would mail as well, or mailed lately."""
    known = list(plans)
    people: dict[str, set[int]] = {}
    for plan in known:
        people.setdefault(plan.loop_id, set()).update(plan.people)
    shared: dict[str, Counter[str]] = {loop_id: Counter() for loop_id in people}
    for one, other in combinations(sorted(people), 2):
        if both := len(people[one] & people[other]):
            shared[one][other] = shared[other][one] = both
    return [replace(plan, overlap=_overlap(plan, shared[plan.loop_id])) for plan in known]


def _overlap(plan: StepPlan, now: Mapping[str, int]) -> list[Mapping[str, Any]]:
    lately = {each["loop_id"]: each["mailed_lately"] for each in plan.overlap}
    return [
        {"loop_id": loop_id, "also_now": now.get(loop_id, 0), "mailed_lately": lately.get(loop_id, 0)}
        for loop_id in sorted({*now, *lately})
    ]


def _told(blank: StepPlan, rehearsal: Rehearsal) -> StepPlan:
    job, rules = rehearsal.job, rehearsal.rules
    by_person = job.loop.entry.every is not None and not job.loop.entry.per
    found: dict[str, list[Any]] = {}
    rows = rehearsal.ask("judge", lately=LATELY, samples=SAMPLES, by_person=by_person)
    for row in rows:
        found.setdefault(row["what"], []).append(row["people"] if row["what"] == "people" else row["facts"])
    counts = found.get("count", [])
    candidates = sum(count["rows"] for count in counts)
    coming = [count for count in counts if count["verdict"] == "send" or _braked(count)]
    people = sum(count["rows"] for count in coming)
    return replace(
        blank,
        mode=rules.mode.value,
        first_run=rehearsal.first_run,
        candidates=candidates,
        duplicate_rows=found["rows"][0] - candidates,
        verdicts=_verdicts(counts),
        gates=_ordered({gate["gate"]: gate["rows"] for gate in found.get("gate", [])}),
        segments=_by("segment", coming),
        variants=_by("variant", coming),
        rate=_rate(found["fresh"][0], people, rehearsal),
        brakes=list(_brakes(rehearsal, people)),
        overlap=[{"loop_id": each["loop_id"], "mailed_lately": each["people"]} for each in found.get("lately", [])],
        samples=list(_samples(rehearsal, found.get("sample", []))),
        notes=list(_notes(rehearsal)),
        unknown_zones=sum(count["unknown_zones"] for count in counts),
        follows=job.follows,
        refused=rehearsal.edited == "user.key",
        people=array("q", found["people"][0] or ()),
    )


def _braked(count: Mapping[str, Any]) -> bool:
    return count["reason"] == Reason.HELD and not count["hold_out"]


def _verdicts(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """As a run counts them."""
    verdicts: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    for count in counts:
        if count["verdict"] == Verdict.SKIP:
            skips[count["reason"]] += count["rows"]
        else:
            verdicts[count["verdict"]] += count["rows"]
    return {
        Verdict.SEND.value: verdicts[Verdict.SEND],
        Verdict.HOLD_OUT.value: verdicts[Verdict.HOLD_OUT],
        Verdict.SKIP.value: _ordered(skips),
    }


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    known = {reason.value: counts[reason] for reason in ORDER if counts.get(reason)}
    return known | {reason: rows for reason, rows in counts.items() if rows and reason not in known}


def _by(name: str, coming: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for count in coming:
        if count[name] is not None:
            found[count[name]] += count["rows"]
    return dict(sorted(found.items()))


def _rate(days: Mapping[str, Any], people: int, rehearsal: Rehearsal) -> dict[str, Any]:
    """How many come at once, and how many a day from then on: those who did not qualify a day earlier."""
    fresh = days["fresh"]
    return {
        "now": people,
        "soon": days["soon"] - people,
        "backlog": None if fresh is None else days["soon"] - fresh,
        "per_day": fresh,
        "usual_run": rehearsal.memory.usual_size(rehearsal.job.names),
    }


def _brakes(rehearsal: Rehearsal, people: int) -> Iterator[dict[str, Any]]:
    guard = rehearsal.job.loop.guard
    limits = dict(rehearsal.rules.brakes)
    if guard is not None and guard.approve_above is not None:
        limits["approve_above"] = guard.approve_above
    for name, most in limits.items():
        if people > most:
            yield {"brake": name, "people": people, "lets_pass": most}


def _samples(rehearsal: Rehearsal, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Mails of this audience without anybody in them; of somebody made up where there is no audience."""
    said = rehearsal.asked.said
    for row in rows:
        _, blueprint = said[row["template_no"]]
        yield _sample(blueprint, row["segment"], row["variant"], _row(rehearsal, row))
    for content, blueprint in () if rows else said[:SAMPLES]:
        yield _sample(blueprint, content.segment, content.variant, None)


def _sample(blueprint: Blueprint, segment: str, variant: str | None, row: Row | None) -> dict[str, Any]:
    head = {"segment": segment, "variant": variant, "language": blueprint.language_for(row.locale if row else None)}
    try:
        mail = specimen(blueprint, row)
    except (MissingVariable, InvalidAddress) as error:
        return {**head, "error": f"no mail can be made for this person: {error}"}
    return {**head, "subject": mail.subject, "text": mail.text}


def _row(rehearsal: Rehearsal, row: Mapping[str, Any]) -> Row:
    job = rehearsal.job
    return Row(
        delivery_id=0,
        loop_id=job.loop.id,
        step_id=job.step.id,
        user_key=KEY,
        entry_key="",
        address=ADDRESS,
        user=revive(row["vars"] or {}, dict(rehearsal.types)),
        timezone=row["timezone"],
        locale=row["locale"],
        segment=row["segment"],
        variant=row["variant"],
        as_of=job.run.as_of,
    )


def _notes(rehearsal: Rehearsal) -> Iterator[str]:
    """What a reader must know who trusts the numbers."""
    job = rehearsal.job
    trigger = job.step.trigger
    if rehearsal.edited == "user.key":
        yield (
            "`user.key` was edited: the next live run is refused until its conf says"
            ' {"mode": "live", "rekey": true}; then it records whoever qualifies and mails nobody of them'
        )
    elif rehearsal.edited is not None:
        yield "`entry` was edited: the next live run records whoever qualifies, and mails nobody of them"
    elif rehearsal.rules.existing:
        yield "`existing: skip`: the first live run records whoever qualifies, and mails nobody of them"
    if job.loop.mode == "shadow":
        yield "`mode: shadow`: scheduled runs decide and record all this, and send nothing"
    elif rehearsal.rules.mode != "live":
        yield f"[skene] max_mode is {rehearsal.rules.mode}: no run of this deployment mails these people"
    if isinstance(trigger, ScheduleTrigger) and trigger.timezone == "user":
        yield f"each person at the local time of '{trigger.cron}': these people are spread over a day"
