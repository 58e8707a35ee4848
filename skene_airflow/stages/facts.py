"""What each gate saw of one person, as facts and in words. Counts, names and times: never an address or a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from skene_airflow.audience.assignment import HOLDOUT, SAMPLE, salt, share
from skene_airflow.audience.gates import SPECIALS
from skene_airflow.loop.schema import AfterTrigger
from skene_airflow.nouns import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from skene_airflow.ledger.person import Seen
    from skene_airflow.stages.job import Job

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """One candidate of a person and all that its gates look at; ``row`` is what the decision says of it.

    Facts that only the query knows are left out where there is no ``row`` (the past).
    """

    job: Job
    user_key: str
    now: datetime
    seen: Seen
    row: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    existing: bool = False
    first_run: bool = False
    brakes: Mapping[str, int] = field(default_factory=dict)
    before: Sequence[Mapping[str, Any]] = ()
    """The person's entries of the step that this one follows."""

    @property
    def zone(self) -> str:
        """The zone whose clock counts for the person."""
        named = self.row.get("timezone")
        return str(named) if named and not self.row.get("unknown_zone") and is_zone(named) else self.job.timezone


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def told(gate: str, sight: Sight) -> tuple[Facts, str]:
    """The facts that a gate saw, and the same in a few words; nothing where it sees nothing of the ledger or row."""
    tell = _TELL.get(gate)
    return tell(sight) if tell else ({}, "")


def when(moment: datetime | None) -> str | None:
    """A time for people and programs alike: ISO 8601 to the second."""
    return moment.isoformat(timespec="seconds") if moment is not None else None


def span(length: timedelta) -> str:
    """A duration as the loop's file writes it."""
    seconds = int(length.total_seconds())
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


def _key(sight: Sight) -> tuple[Facts, str]:
    return {"user_key": sight.user_key}, "the row has a key"


def _entered(sight: Sight) -> tuple[Facts, str]:
    every = sight.job.loop.entry.every
    entries = [
        {**entry, "queued_at": when(entry["queued_at"]), "sent_at": when(entry["sent_at"])}
        for entry in sight.seen.entries
    ]
    facts = {"entry_key": sight.row.get("entry_key", ""), "entries": entries, "every": span(every) if every else None}
    if not entries:
        return facts, "no entry in this step yet"
    last = entries[0]
    more = f" ({len(entries)} entries)" if len(entries) > 1 else ""
    return facts, f"last entered {last['queued_at']} by run {last['run_id']}: {last['status']}{more}"


def _stopped(sight: Sight) -> tuple[Facts, str]:
    stops = [{**stop, "since": when(stop["since"])} for stop in sight.seen.stopped]
    words = ", ".join(f"{'everything' if s['loop_id'] == '*' else s['loop_id']} since {s['since']}" for s in stops)
    return {"stops": stops}, f"stopped: {words}" if stops else "nobody has stopped it"


def _expired(sight: Sight) -> tuple[Facts, str]:
    job = sight.job
    late = job.run.as_of + job.loop.expires_after
    return {"as_of": when(job.run.as_of), "expires_at": when(late)}, f"in time until {when(late)}"


def _existing(sight: Sight) -> tuple[Facts, str]:
    kept = sight.job.loop.entry.existing
    facts = {"first_live_run": sight.first_run, "existing": kept}
    return facts, f"{'the first' if sight.first_run else 'not the first'} live run; existing: {kept}"


def _due(sight: Sight) -> tuple[Facts, str]:
    trigger = sight.job.step.trigger
    if isinstance(trigger, AfterTrigger):
        return _turn(sight, trigger)
    local = sight.now.astimezone(ZoneInfo(sight.zone))
    facts: Facts = {"zone": sight.zone, "local_time": f"{local:%Y-%m-%d %H:%M}"}
    if getattr(trigger, "timezone", None) == "user":
        facts["cron"] = getattr(trigger, "cron", None)
        return facts, (
            f"{facts['local_time']} in {sight.zone}; scheduled runs mail at '{facts['cron']}' there, a run by hand now"
        )
    return facts, "the schedule asks for nobody's own clock"


def _turn(sight: Sight, trigger: AfterTrigger) -> tuple[Facts, str]:
    """When it is the person's turn to follow: after the mail of this very entry, or of each one there is."""
    parent, key = sight.job.loop.parent_of(sight.job.step), sight.row.get("entry_key")
    known = [{**entry, "due": entry["sent_at"] and entry["sent_at"] + trigger.wait} for entry in sight.before]
    mine = [entry for entry in known if entry["entry_key"] == key and entry["sent_at"]] or known
    facts: Facts = {
        "after": parent.id if parent else None,
        "entries": [
            {
                "entry_key": entry["entry_key"],
                "status": entry["status"],
                "sent_at": when(entry["sent_at"]),
                "due_from": when(entry["due"]),
                "due_until": when(entry["sent_at"] and entry["sent_at"] + trigger.end),
            }
            for entry in mine
        ],
    }
    if not mine:
        return facts, f"the step '{facts['after']}' has no entry of this person"
    first = facts["entries"][0]
    if first["sent_at"] is None:
        return facts, f"the mail of '{facts['after']}' was not sent: it is {first['status']}"
    return facts, (
        f"the mail of '{facts['after']}' was sent {first['sent_at']}: due from {first['due_from']}"
        f" until {first['due_until']}"
    )


def _exited(sight: Sight) -> tuple[Facts, str]:
    row, exits = sight.row, sight.job.loop.exit
    facts = {"exit": bool(row.get("exited")), "goal_at": when(row.get("goal_at"))}
    if exits is None:
        return facts, "the loop has no `exit`"
    if exits == "goal":
        return facts, f"the goal was reached {facts['goal_at']}" if facts["goal_at"] else "the goal was not reached"
    return facts, "named by `exit`" if facts["exit"] else "not named by `exit`"


def _segment(sight: Sight) -> tuple[Facts, str]:
    segment = sight.row.get("segment")
    return {"segment": segment, "variant": sight.row.get("variant")}, f"segment {segment}" if segment else ""


def _consent(sight: Sight) -> tuple[Facts, str]:
    column = sight.job.loop.consent
    if column is None:
        return {}, "the loop asks for none"
    given = bool(sight.row.get("consent"))
    return {"column": column, "consent": given}, f"{column} is {'true' if given else 'not true'}"


def _sampled(sight: Sight) -> tuple[Facts, str]:
    return _chance(sight, SAMPLE, sight.job.loop.sample)


def held_out(sight: Sight) -> tuple[Facts, str]:
    """The place of the person in the holdout."""
    return _chance(sight, HOLDOUT, sight.job.loop.holdout)


def _chance(sight: Sight, purpose: str, part: float | None) -> tuple[Facts, str]:
    if part is None:
        return {}, f"the loop has no `{purpose}`"
    place = share(salt(sight.job.names.loop_ids[-1], purpose), sight.user_key)
    facts = {"share": round(place, 6), purpose: part}
    return facts, f"the person's number is {place:.4f}; below {part:g} is {'in' if purpose == SAMPLE else 'held out'}"


def _address(sight: Sight) -> tuple[Facts, str]:
    there = bool(sight.row.get("addressed"))
    return {"address": there}, "there is one" if there else "there is none"


def _suppressed(sight: Sight) -> tuple[Facts, str]:
    return _on_list([each for each in sight.seen.listed if each["reason"] != Reason.UNSUBSCRIBED], {})


def _unsubscribed(sight: Sight) -> tuple[Facts, str]:
    said = [each for each in sight.seen.listed if each["reason"] == Reason.UNSUBSCRIBED]
    return _on_list(said, {"topic": sight.job.loop.topic})


def _on_list(rows: list[dict[str, Any]], more: Facts) -> tuple[Facts, str]:
    entries = [{**row, "since": when(row["since"]), "until": when(row["until"])} for row in rows]
    words = ", ".join(
        f"{e['reason']} ({e['scope']}) since {e['since']}, by {'address' if e['by_address'] else 'person'}"
        for e in entries
    )
    return {**more, "entries": entries}, words or "not on the list"


def _variables(sight: Sight) -> tuple[Facts, str]:
    values = sight.row.get("vars") or {}
    missing = [name for name in sight.required if values.get(name) is None or str(values[name]) in SPECIALS]
    facts = {"required": list(sight.required), "missing": missing}
    if missing:
        return facts, f"missing: {', '.join(missing)}"
    return facts, f"{', '.join(sight.required)}: there" if sight.required else "the mail needs none"


def _quiet(sight: Sight) -> tuple[Facts, str]:
    quiet = sight.job.loop.quiet_hours
    if quiet is None:
        return {}, "the loop has no `quiet_hours`"
    local = sight.now.astimezone(ZoneInfo(sight.zone))
    hours = f"{quiet.from_:%H:%M}–{quiet.to:%H:%M}"
    facts = {
        "zone": sight.zone,
        "zone_known": not sight.row.get("unknown_zone", False),
        "local_time": f"{local:%Y-%m-%d %H:%M}",
        "quiet_hours": hours,
    }
    return facts, f"{facts['local_time']} in {sight.zone}; quiet {hours}"


def _duplicate(sight: Sight) -> tuple[Facts, str]:
    others = [{**other, "since": when(other["since"])} for other in sight.seen.sharing]
    earlier = sight.row.get("earlier")
    facts = {"others": others, "earlier_in_this_run": earlier}
    if earlier is not None:
        return facts, f"person {earlier} has the same address and comes first in this run"
    if others:
        return facts, f"person {others[0]['user_key']} has an entry with this address: {others[0]['status']}"
    return facts, "nobody else here has this address"


def _capped(sight: Sight) -> tuple[Facts, str]:
    cap = sight.job.loop.frequency_cap
    if cap is None:
        return {}, "the loop has no `frequency_cap`"
    counted = [{**row, "at": when(row["at"])} for row in sight.seen.counted]
    facts = {"cap": cap.count, "window": span(cap.window), "counted": counted}
    which = ", ".join(f"{row['loop_id']} {row['at']}" for row in counted[:3])
    return facts, f"{len(counted)} of {cap.count} in {facts['window']}{f' ({which})' if which else ''}"


def _held(sight: Sight) -> tuple[Facts, str]:
    people = sight.row.get("coming")
    facts = {"people": people, "brakes": dict(sight.brakes)}
    if not sight.brakes:
        return facts, "no brake asks"
    most = ", ".join(f"guard.{name} lets {number:,} pass" for name, number in sight.brakes.items())
    return facts, f"{people:,} people would get mail; {most}" if people is not None else most


_TELL: Final[dict[str, Callable[[Sight], tuple[Facts, str]]]] = {
    Reason.MISSING_KEY: _key,
    Reason.ALREADY_ENTERED: _entered,
    Reason.STOPPED: _stopped,
    Reason.EXPIRED: _expired,
    Reason.EXISTING: _existing,
    Reason.NOT_DUE: _due,
    Reason.EXITED: _exited,
    Reason.NO_SEGMENT: _segment,
    Reason.NO_CONSENT: _consent,
    Reason.NOT_SAMPLED: _sampled,
    Reason.INVALID_ADDRESS: _address,
    Reason.SUPPRESSED: _suppressed,
    Reason.UNSUBSCRIBED: _unsubscribed,
    Reason.MISSING_VARIABLE: _variables,
    Reason.QUIET_HOURS: _quiet,
    Reason.DUPLICATE_ADDRESS: _duplicate,
    Reason.FREQUENCY_CAPPED: _capped,
    Reason.HELD: _held,
}
