"""What a plan of a folder holds, and its words: shared by text, Markdown and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.audience.gates import GATES
from skene_airflow.cli.output import as_record
from skene_airflow.nouns import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from skene_airflow.nouns import Fault
    from skene_airflow.stages.plan import StepPlan

NO_LEDGER: Final = "none, first run"
SAYS: Final[dict[str, str]] = {
    **{gate.reason.value: gate.says for gate in GATES},
    Reason.DUPLICATE_ADDRESS.value: "another person with this address has this entry",
    Reason.FREQUENCY_CAPPED.value: "the person has had as many mails as `frequency_cap` allows",
    Reason.HELD.value: "a brake holds the run",
}
"""Each reason in words."""
_ALWAYS: Final = (Reason.QUIET_HOURS.value, Reason.MISSING_VARIABLE.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of some steps at one moment. ``schema`` is the ledger's, None where there is none."""

    at: datetime
    schema: str | None
    steps: Sequence[StepPlan]
    faults: Sequence[Fault]

    @property
    def ledger(self) -> str:
        """The ledger in words."""
        return self.schema or NO_LEDGER


@dataclass(frozen=True, slots=True)
class Skip:
    """One reason: how many it skips, and how many its gate would meet whatever the gates before it say."""

    reason: str
    rows: int
    met: int
    says: str


def as_plain(plan: Plan) -> dict[str, Any]:
    """The plan for a program."""
    return {
        "as_of": plan.at.isoformat(),
        "ledger": plan.ledger,
        "loops": [step.plain() for step in plan.steps],
        "errors": [as_record(fault) for fault in plan.faults],
    }


def skips(step: StepPlan) -> Iterator[Skip]:
    """The reasons in the gates' order; quiet hours and missing variables also where another gate came first."""
    counts: dict[str, int] = step.verdicts["skip"]
    for reason in dict.fromkeys([*(name for name in SAYS if name in counts), *counts, *_ALWAYS]):
        rows, met = counts.get(reason, 0), step.gates.get(reason, 0)
        if rows or met:
            yield Skip(reason, rows, max(rows, met), SAYS.get(reason, ""))


def skipped(step: StepPlan) -> int:
    """How many candidates are skipped."""
    return sum(step.verdicts["skip"].values())


def rate(step: StepPlan) -> str:
    """How many come at once, and how many a day from then on."""
    known = step.rate
    now, soon, fresh = known["now"], known["soon"], known["per_day"]
    parts = [f"{now:,} {'on the first run' if step.first_run else 'now'}"]
    if soon:
        parts.append(f"{soon:,} more when their hours allow it")
    if fresh is None:
        why = "it follows another step" if step.follows else "the query does not look at the time"
        parts.append(f"how many a day is not known: {why}")
    elif known["backlog"]:
        parts.append(f"{known['backlog']:,} of them qualified more than a day ago, then about {fresh:,} a day")
    elif now or soon:
        parts.append(f"about {fresh:,} a day")
    if known["usual_run"] is not None:
        parts.append(f"recent live runs mailed {known['usual_run']:,.0f} (median)")
    return "; ".join(parts)


def overlap(step: StepPlan) -> Iterator[tuple[str, str]]:
    """Other loops, each with how many of these people are theirs too."""
    for other in step.overlap:
        now, lately = other["also_now"], other["mailed_lately"]
        words = [f"{now:,} of these people would get its mail as well"] * bool(now)
        words += [f"{lately:,} had its mail in the last 7 days"] * bool(lately)
        yield other["loop_id"], ", ".join(words)


def brakes(step: StepPlan) -> Iterator[str]:
    """What would hold the run, with its numbers."""
    for brake in step.brakes:
        people, most = f"{brake['people']:,}", f"{brake['lets_pass']:,}"
        if brake["brake"] == "approve_above":
            yield f"guard.approve_above: {people} people would get mail; above {most} somebody has to approve it"
        else:
            yield f"guard.{brake['brake']}: {people} people would get mail, and it lets {most} pass"


def samples(step: StepPlan) -> Iterator[tuple[str, str, str]]:
    """Each different mail once: who gets it, its subject, its text."""
    seen: dict[tuple[str, str], str] = {}
    for sample in step.samples:
        whom = " / ".join(part for part in (sample["segment"], sample["variant"], sample["language"]) if part)
        if "error" in sample:
            seen.setdefault((sample["error"], ""), whom)
        else:
            seen.setdefault((sample["subject"], sample["text"].strip()), whom)
    yield from ((whom, subject, text) for (subject, text), whom in seen.items())
