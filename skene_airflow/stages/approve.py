"""Approve: what is put to somebody about an audience above `guard.approve_above`, and what follows from the answer.

The words are kept by whoever asks (Airflow's own database): they hold numbers, and mails with the names of columns in
place of every value that comes from a person's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skene_airflow.errors import MissingVariable
from skene_airflow.ledger import control, runs
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.mask import masked, specimen
from skene_airflow.message.notice import NoticeRenderer
from skene_airflow.message.render import Row
from skene_airflow.message.sample import ADDRESS, KEY
from skene_airflow.message.values import revive
from skene_airflow.nouns import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from skene_airflow.ledger.runs import Run
    from skene_airflow.stages.job import Job

_LONGEST = 2_000  # characters of a sample


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody is asked, in Markdown; without an answer before ``until`` nobody is mailed."""

    subject: str
    body: str
    until: datetime


def request(job: Job) -> Request | None:
    """What there is to ask about the run; None if nothing is, or the answer was given."""
    run = job.recorded()
    if run.decided or run.approval is None or run.approved is not None:
        return None
    people, name = run.approval["people"], _name(run)
    return Request(f"{name}: mail {people:,} people?", "\n".join(_body(job, run, run.approval)), run.expires_at)


def answer(job: Job, *, approved: bool, by: str = "") -> None:
    """Keep what was said, and by whom; `segment` then does what follows from it. The first answer counts."""
    control.answer(job.ledger, job.recorded(), approved, by)


def _name(run: Run) -> str:
    return run.loop_id if run.step_id == "main" else f"{run.loop_id}.{run.step_id}"


def _body(job: Job, run: Run, approval: Mapping[str, Any]) -> Iterator[str]:
    verdicts = approval["verdicts"]
    yield (
        f"**{approval['people']:,} people** would get mail, and `guard.approve_above` lets {approval['limit']:,} pass"
        f" unasked. Nobody is claimed yet. Without an answer before {run.expires_at:%Y-%m-%d %H:%M %Z}, or with a no,"
        " nobody is mailed; whoever may not be mailed any more by then is not, and nobody joins."
    )
    yield from ("", "| | people |", "|---|---:|")
    yield f"| candidates | {sum(_flat(verdicts)):,} |"
    yield f"| to be mailed | {approval['people']:,} |"
    yield f"| held out | {verdicts.get(Verdict.HOLD_OUT, 0):,} |"
    for reason, count in sorted(verdicts.get(Verdict.SKIP, {}).items(), key=lambda item: -item[1]):
        yield f"| skipped: {reason} | {count:,} |"
    for what in ("segments", "variants"):
        for name, count in approval[what].items():
            if len(approval[what]) > 1:
                yield f"| {what[:-1]} {name} | {count:,} |"
    for number, chosen in enumerate(approval["samples"], 1):
        yield from _sample(job, run, number, chosen)


def _flat(verdicts: Mapping[str, Any]) -> Iterator[int]:
    for count in verdicts.values():
        yield from count.values() if isinstance(count, dict) else (count,)


def _sample(job: Job, run: Run, number: int, chosen: Mapping[str, Any]) -> Iterator[str]:
    variant = f", variant {chosen['variant']}" if chosen["variant"] else ""
    yield from ("", f"**Sample {number}** (segment {chosen['segment']}{variant})", "")
    person = runs.sample(job.ledger, run, chosen["n"])
    if person is None:
        yield "This person was forgotten meanwhile."
        return
    with job.ledger.transaction() as cur:
        blueprint = Blueprint.from_json(runs.template(cur, job.ledger, chosen["template_no"]))
    row = Row(
        delivery_id=0,
        loop_id=run.loop_id,
        step_id=run.step_id,
        user_key=KEY,
        entry_key="",
        address=ADDRESS,
        user=revive(person["vars"] or {}, run.columns),
        timezone=person["timezone"],
        locale=person["locale"],
        segment=chosen["segment"],
        variant=chosen["variant"],
        as_of=run.as_of,
    )
    try:
        subject, text = _said(blueprint, row)
    except MissingVariable:
        yield "No mail can be made for this person: a value that it prints is missing. The run will skip them."
        return
    # Indented, so that no character of the mail is read as Markdown.
    said = f"Subject: {subject}\n\n{text[:_LONGEST]}"
    yield from (f"    {line}" for line in said.splitlines())


def _said(blueprint: Blueprint, row: Row) -> tuple[str, str]:
    """What the message says to nobody: its subject and text, or the title and body of one in the app."""
    if blueprint.in_app:
        notice = NoticeRenderer(masked(blueprint)).render(row)
        return notice.title, notice.body
    mail = specimen(blueprint, row)
    return mail.subject, mail.text
