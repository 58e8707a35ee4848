"""Explain: why one person gets a step's mail or does not: every gate in its order, and the facts it saw."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from skene_airflow.audience.condition import asking, has_person
from skene_airflow.audience.gates import GATES
from skene_airflow.audience.zones import zones
from skene_airflow.ledger.person import Rows, Seen, decided, entries_of, hidden_of, run_at, seen
from skene_airflow.nouns import Reason, Verdict
from skene_airflow.stages.facts import Sight, held_out, told, when
from skene_airflow.stages.rehearse import rehearsing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from skene_airflow.ledger.ledger import Cursor
    from skene_airflow.ledger.runs import Run
    from skene_airflow.stages.job import Job
    from skene_airflow.stages.rehearse import Rehearsal

NOT_NAMED: Final = "not_named"
"""The verdict on somebody whom the query does not name: no gate was asked."""
NOT_RECORDED: Final = "not_recorded"
NO_RUN: Final = "no_run"
CONDITION: Final = "condition"
HOLDOUT: Final = "holdout"
COUNTED: Final = (Reason.ALREADY_ENTERED, Reason.NOT_DUE, Reason.QUIET_HOURS)
"""Reasons that runs count and do not record."""
_OVER_ALL: Final = (Reason.DUPLICATE_ADDRESS, Reason.FREQUENCY_CAPPED, Reason.HELD)
_ALL: Final = (*(gate.reason for gate in GATES), *_OVER_ALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """One gate: `pass`, `skip`, `hold_out`, `not_asked` or `not_recorded`; what it saw, and that in words.

    ``decides``: it is the one that gave the reason.
    """

    gate: str
    verdict: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes of one entry of the person."""

    entry_key: str
    verdict: str
    reason: str | None
    segment: str | None
    variant: str | None
    gates: Sequence[Asked]
    outcome: str | None = None
    """Of the past: how the delivery stands."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a person in a step, at one moment: of the first entry that gets mail, or of the first.

    ``recorded`` is the run whose records were read, for the past.
    """

    loop_id: str
    step_id: str
    user_key: str
    at: datetime
    verdict: str
    reason: str | None = None
    gates: Sequence[Asked] = ()
    entries: Sequence[Entry] = ()
    recorded: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()


def explain(job: Job, user_key: str, *, exists: bool) -> Explanation:
    """What a live run that starts now would do with the person. Raises QueryError, LedgerError and SkeneError."""
    blank = Explanation(job.loop.id, job.step.id, user_key, job.run.as_of, NOT_NAMED)
    with rehearsing(job, exists=exists, undue=True) as rehearsal:
        entries = [_entry(rehearsal, user_key, row) for row in rehearsal.ask("person", user_key=user_key)]
    return _with(blank, entries) if entries else _not_named(job, blank, exists=exists)


def explain_past(job: Job, user_key: str, at: datetime, *, exists: bool) -> Explanation:
    """What the last run that was decided at ``at`` did with the person, from its records."""
    blank = Explanation(job.loop.id, job.step.id, user_key, at, NO_RUN)
    if not exists:
        return replace(blank, notes=["there is no ledger, so no run was decided"])
    with job.ledger.transaction() as cur:
        found = run_at(job.ledger, cur, job.names, at)
        if found is None:
            return replace(blank, notes=[f"no run of this step was decided before {when(at)}"])
        run, decided_at = found
        hidden = hidden_of(job.ledger, cur, user_key)
        cap = job.loop.frequency_cap
        then = seen(job.ledger, cur, job.names, user_key, hidden, decided_at, cap.window if cap else None)
        rows = decided(job.ledger, cur, run, user_key)
        before = _before(job, cur, user_key, decided_at)
    past = replace(job, run=replace(job.run, as_of=run.as_of))
    recorded = {"run_id": run.run_id, "mode": run.mode.value, "as_of": when(run.as_of), "decided_at": when(decided_at)}
    blank = replace(blank, recorded=recorded)
    mine = replace(then, entries=[entry for entry in then.entries if entry["run_id"] != run.run_id])
    if rows:
        sight = Sight(past, user_key, decided_at, mine, before=before)
        notes = ["verdicts are as recorded; facts are read from the ledger as it was then, as far as it still knows"]
        return _with(replace(blank, notes=notes), [_recorded(sight, row) for row in rows])
    return _recomputed(past, blank, run, decided_at, mine, before, exists=exists)


def _with(blank: Explanation, entries: Sequence[Entry]) -> Explanation:
    order = [Verdict.SEND, Verdict.HOLD_OUT]
    first = min(entries, key=lambda each: order.index(Verdict(each.verdict)) if each.verdict in order else len(order))
    return replace(blank, verdict=first.verdict, reason=first.reason, gates=first.gates, entries=entries)


def _not_named(job: Job, blank: Explanation, *, exists: bool) -> Explanation:
    user, question = job.loop.user, job.question()
    with closing(job.source()) as conn, asking(conn, question):
        known = has_person(conn, user.table, user.key, blank.user_key, question)
    who = f"{user.table} has this {user.key}" if known else f"{user.table} has nobody with this {user.key}"
    words = f"the query does not name this person now; {who}"
    facts = {"named": False, "in_user_table": known, "as_of": when(job.run.as_of)}
    gates = [Asked(CONDITION, NOT_NAMED, facts, words, decides=True)]
    if exists and (entered := _earlier(job, blank)):
        gates.append(entered)
    return replace(blank, gates=gates)


def _earlier(job: Job, blank: Explanation) -> Asked | None:
    """Often the query names nobody twice (a change that was taken, a flag that `on_sent` set): then this is why."""
    with job.ledger.transaction() as cur:
        entries = entries_of(job.ledger, cur, job.names, blank.user_key, blank.at)
    if not entries:
        return None
    facts, says = told(Reason.ALREADY_ENTERED, Sight(job, blank.user_key, blank.at, Seen(entries=entries)))
    return Asked(Reason.ALREADY_ENTERED.value, "not_asked", facts, says)


def _entry(rehearsal: Rehearsal, user_key: str, row: Mapping[str, Any]) -> Entry:
    job, rules = rehearsal.job, rehearsal.rules
    hidden = [bytes(row["address_hmac"])] if row["address_hmac"] else []
    cap = job.loop.frequency_cap
    known = Seen()
    before: Rows = []
    if rehearsal.exists:
        before = _before(job, rehearsal.memory.cur, user_key, rules.now)
        window = cap.window if cap else None
        known = seen(job.ledger, rehearsal.memory.cur, job.names, user_key, hidden, rules.now, window)
    said = rehearsal.asked.said
    required = said[row["template_no"]][1].required if row["template_no"] is not None else ()
    sight = Sight(
        job, user_key, rules.now, known, row, required, rules.existing, rehearsal.first_run, rules.brakes, before
    )
    gates = [*_condition(job, row), *_gates(sight), *_over_all(sight), _holdout(sight)]
    return Entry(row["entry_key"], row["verdict"], row["reason"], row["segment"], row["variant"], gates)


def _before(job: Job, cur: Cursor, user_key: str, at: datetime) -> Rows:
    """The person's entries of the step that this one follows."""
    parent = job.loop.parent_of(job.step)
    return entries_of(job.ledger, cur, job.names_of(parent), user_key, at) if parent is not None else []


def _condition(job: Job, row: Mapping[str, Any]) -> Iterator[Asked]:
    facts = {"named": True, "as_of": when(job.run.as_of), "segment": row["segment"], "variant": row["variant"]}
    yield Asked(CONDITION, "pass", facts, "the query names this person")


def _gates(sight: Sight) -> Iterator[Asked]:
    """The gates that look at one person each: all of them were asked."""
    row = sight.row
    for gate in GATES:
        facts, says = told(gate.reason, sight)
        decides = row["reason"] == gate.reason
        skips = decides or row["gates"].get(gate.reason.value, False)
        if decides and not row["gates"].get(gate.reason.value, False):
            says = "another entry of this person comes first in this run"
        yield Asked(
            gate.reason.value, "skip" if skips else "pass", facts, says or (gate.says if skips else ""), decides
        )


def _over_all(sight: Sight) -> Iterator[Asked]:
    """The gates over everybody whom the others let pass: they are asked until one of them has a reason."""
    reason = sight.row["reason"]
    is_open = reason is None or reason in _OVER_ALL
    for gate in _OVER_ALL:
        facts, says = told(gate, sight)
        verdict = "skip" if reason == gate else "pass" if is_open else "not_asked"
        yield Asked(gate.value, verdict, facts, says, decides=reason == gate)
        is_open = is_open and reason != gate


def _holdout(sight: Sight) -> Asked:
    facts, says = held_out(sight)
    verdict = sight.row["verdict"]
    mine = "hold_out" if verdict == Verdict.HOLD_OUT else "pass" if verdict == Verdict.SEND else "not_asked"
    return Asked(HOLDOUT, mine, facts, says, decides=verdict == Verdict.HOLD_OUT)


def _recorded(sight: Sight, row: Mapping[str, Any]) -> Entry:
    """A decision as it stands: the gates before its reason let the person pass, those behind it left no record."""
    known = replace(sight, row={"entry_key": row["entry_key"], "segment": row["segment"], "variant": row["variant"]})
    gates, passed = [Asked(CONDITION, "pass", {"named": True}, "the query named this person")], True
    for gate in _ALL:
        facts, says = told(gate, known) if gate in _FROM_LEDGER else ({}, "")
        decides = row["reason"] == gate
        gates.append(Asked(gate.value, "skip" if decides else "pass" if passed else NOT_RECORDED, facts, says, decides))
        passed = passed and not decides
    if row["reason"] not in (None, *_ALL):
        gates.append(Asked(row["reason"], "skip", {}, "", decides=True))
    facts, says = held_out(known)
    out = row["verdict"] == Verdict.HOLD_OUT
    gates.append(Asked(HOLDOUT, "hold_out" if out else "pass" if passed else NOT_RECORDED, facts, says, decides=out))
    outcome = row["outcome"] or row["status"]
    return Entry(row["entry_key"], row["verdict"], row["reason"], row["segment"], row["variant"], gates, outcome)


_FROM_LEDGER: Final = frozenset(
    {
        Reason.ALREADY_ENTERED,
        Reason.STOPPED,
        Reason.SUPPRESSED,
        Reason.UNSUBSCRIBED,
        Reason.NOT_SAMPLED,
        Reason.DUPLICATE_ADDRESS,
        Reason.FREQUENCY_CAPPED,
    }
)
"""Gates whose facts the ledger still knows."""


def _recomputed(
    job: Job, blank: Explanation, run: Run, decided_at: datetime, then: Seen, before: Rows, *, exists: bool
) -> Explanation:
    """Where a run recorded nothing: the reasons that are only counted, from what can still be known."""
    skips = dict((run.verdicts or {}).get(Verdict.SKIP, {}))
    counts = ", ".join(f"{reason} {skips[reason]:,}" for reason in COUNTED if skips.get(reason))
    nothing = (
        "this run recorded nothing of this person: it did not name them, or for a reason that is only counted"
        f" ({', '.join(COUNTED)}); it counted {counts or 'none of these'}"
    )
    notes = [
        nothing,
        "what follows is recomputed: the query over today's rows, the ledger and the clocks as they were then",
    ]
    blank = replace(blank, verdict=NOT_RECORDED, notes=notes)
    with rehearsing(job, exists=exists, undue=True) as rehearsal:
        rows = rehearsal.ask("person", user_key=blank.user_key)
    if not rows:
        words = "the query, asked of today's rows for that time, does not name this person"
        return replace(blank, gates=[Asked(CONDITION, NOT_NAMED, {"named": False}, words)])
    entries = [_guessed(Sight(job, blank.user_key, decided_at, then, row, before=before), skips) for row in rows]
    likely = next((entry for entry in entries if entry.reason), entries[0])
    return replace(blank, verdict=likely.verdict, reason=likely.reason, gates=likely.gates, entries=entries)


def _guessed(sight: Sight, skips: Mapping[str, int]) -> Entry:
    row, job = sight.row, sight.job
    (there,) = zones(sight.now, job.loop.quiet_hours, None, [sight.zone])
    held = [entry for entry in sight.seen.entries if entry["status"] not in ("expired", "cancelled")]
    true = {
        Reason.ALREADY_ENTERED: any(entry["entry_key"] == row["entry_key"] for entry in held)
        or bool(held and job.loop.entry.every),
        Reason.QUIET_HOURS: there.quiet and job.loop.class_ != "transactional",
        # Without a record nothing else is left in a loop by its people's own clocks.
        Reason.NOT_DUE: False,
    }
    reason = next((each for each in COUNTED if true[each] and skips.get(each)), None)
    if reason is None and skips.get(Reason.NOT_DUE):
        reason = Reason.NOT_DUE
    gates = [Asked(CONDITION, "pass", {"named": True}, "the query names this person today")]
    for gate in COUNTED:
        facts, says = told(gate, sight)
        verdict = "skip" if gate == reason or true[gate] else "pass"
        gates.append(Asked(gate.value, verdict, {**facts, "recomputed": True}, says, decides=gate == reason))
    verdict = Verdict.SKIP.value if reason else NOT_RECORDED
    return Entry(row["entry_key"], verdict, reason, row["segment"], row["variant"], gates)
