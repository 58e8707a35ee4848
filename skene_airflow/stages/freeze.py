"""Freeze: ask the gates once more, render, and commit the exact bytes and the lease before the first call."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from skene_airflow.audience.decision import recheck
from skene_airflow.channels import CHANNELS
from skene_airflow.errors import MissingVariable
from skene_airflow.ledger import batches, runs
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.links import Signer
from skene_airflow.message.render import InvalidAddress, Renderer, Row, Site
from skene_airflow.message.values import revive
from skene_airflow.nouns import Message, Mode, Notice, Reason, Status
from skene_airflow.stages.leavers import MOST, Leavers
from skene_airflow.stages.pace import policy_for_doubt

if TYPE_CHECKING:
    from collections.abc import Callable

    from skene_airflow.channels.base import Channel
    from skene_airflow.ledger.batches import Lane, Lease, Member, Picked
    from skene_airflow.ledger.ledger import Cursor
    from skene_airflow.stages.job import Job

log = logging.getLogger(__name__)

Said = TypeVar("Said", Message, Notice)
"""What a person gets."""


class Gathering(ABC, Generic[Said]):
    """Finds the next batch that may go, asks the gates about its people once more, and says what each of them gets.

    ``left_out`` counts people who had to leave.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._ledger = job, job.ledger
        self._recheck = recheck(self._ledger.schema)
        self._leavers = Leavers(job)
        self._to_ask: list[str] = []
        self._makers: dict[int, Callable[[Row], Said]] = {}
        self.left_out = 0

    @abstractmethod
    def _maker(self, blueprint: Blueprint) -> Callable[[Row], Said]:
        """What fills a blueprint for one person. It raises MissingVariable or InvalidAddress."""

    def _ask(self) -> None:
        """Ask who has left, if somebody has to be asked for: on the source, so outside of the ledger's transaction."""
        if self._to_ask:
            self._leavers.ask(self._to_ask)
            self._to_ask = []

    def _gather(self, cur: Cursor, picked: Picked, lane: Lane) -> list[Said] | None:
        """What those who stay get; None if they have to be asked for first."""
        people = self._people(cur, picked)
        if not (picked.late or picked.stopped) and self._leavers.unknown([p["user_key"] for p in people]):
            self._to_ask = batches.window(self._ledger, cur, picked, lane, MOST)
            return None
        people = self._staying(cur, people)
        if picked.late:
            self._leave(cur, Status.EXPIRED, {p["delivery_id"]: Reason.EXPIRED for p in people})
            people = []
        said = self._say(cur, picked, people, lane.mode)
        if not said:
            batches.close(self._ledger, cur, picked)
        return said

    def _people(self, cur: Cursor, picked: Picked) -> list[Member]:
        loop = self._job.loop
        rules = {
            "loop_ids": list(self._job.names.loop_ids),
            "topic": loop.topic,
            "transactional": loop.class_ == "transactional",
            "addressed": not self._job.in_app,
        }
        people = batches.members(self._ledger, cur, picked, self._recheck, rules)
        self._leave(cur, Status.CANCELLED, {p["delivery_id"]: p["reason"] for p in people if p["reason"]})
        return [p for p in people if not p["reason"]]

    def _staying(self, cur: Cursor, people: list[Member]) -> list[Member]:
        """Those who have not left by `exit`."""
        gone = {p["delivery_id"]: Reason.EXITED.value for p in people if self._leavers.has_left(p["user_key"])}
        self._leave(cur, Status.CANCELLED, gone)
        return [p for p in people if p["delivery_id"] not in gone]

    def _leave(self, cur: Cursor, status: Status, gone: dict[int, str]) -> None:
        batches.leave(self._ledger, cur, status, gone)
        self.left_out += len(gone)

    def _say(self, cur: Cursor, picked: Picked, people: list[Member], mode: Mode) -> list[Said]:
        said, gone = [], {}
        for person in people:
            make = self._made(cur, person["template_no"])
            try:
                said.append(make(self._row(picked, person, mode)))
            except MissingVariable:
                gone[person["delivery_id"]] = Reason.MISSING_VARIABLE.value
            except InvalidAddress:
                gone[person["delivery_id"]] = Reason.INVALID_ADDRESS.value
        self._leave(cur, Status.CANCELLED, gone)
        return said

    def _made(self, cur: Cursor, template_no: int) -> Callable[[Row], Said]:
        if template_no not in self._makers:
            source = runs.template(cur, self._ledger, template_no)
            self._makers[template_no] = self._maker(Blueprint.from_json(source))
        return self._makers[template_no]

    def _row(self, picked: Picked, person: Member, mode: Mode) -> Row:
        address = self._job.settings.redirect_to if mode is Mode.REDIRECT else person["address"]
        return Row(
            delivery_id=person["delivery_id"],
            loop_id=self._job.loop.id,
            step_id=self._job.step.id,
            user_key=person["user_key"],
            entry_key=person["entry_key"],
            address=address or "",
            user=revive(person["vars"] or {}, picked.columns),
            timezone=person["timezone"],
            locale=person["locale"],
            segment=person["segment"],
            variant=person["variant"],
            as_of=picked.as_of,
        )


class Freezer(Gathering[Message]):
    """Makes the next batch of a sender ready to be sent.

    ``uncertain`` counts people whose outcome nobody can know any more.
    """

    def __init__(self, job: Job, channel: Channel) -> None:
        super().__init__(job)
        self._channel = channel
        settings = job.settings
        signer = Signer(settings.secret_keys) if settings.secret_keys else None
        self._site = Site(settings.base_url, settings.postal_address, signer, channel.from_email or settings.from_email)
        self._policy = policy_for_doubt(channel)
        self.uncertain = 0

    def next(self, lane: Lane) -> Lease | None:
        """Lease the next batch of the lane, frozen; None when none may be picked now."""
        while True:
            with self._ledger.transaction() as cur:
                picked = batches.pick(self._ledger, cur, lane)
                if picked is None:
                    return None
                held = self._prepare(cur, picked, lane)
            if held is not None:
                return held
            self._ask()

    def _prepare(self, cur: Cursor, picked: Picked, lane: Lane) -> Lease | None:
        if picked.in_doubt and (lane.window is None or picked.outside_window):
            self._give_up(cur, picked.batch_id)
            return None
        if not picked.must_freeze:
            return batches.lease(self._ledger, cur, picked, lane.account)
        messages = self._gather(cur, picked, lane)
        if not messages:
            return None
        ids = [message.delivery_id for message in messages]
        if len(ids) > self._channel.batch_size:  # cut for another provider
            batches.split(self._ledger, cur, picked, ids)
            return None
        body = self._channel.freeze(messages)
        if len(body) > self._channel.most_bytes and len(ids) > 1:
            batches.split(self._ledger, cur, picked, ids)
            return None
        return batches.lease(self._ledger, cur, picked, lane.account, body, ids)

    def take_over(self, lane: Lane) -> int:
        """Go on with what was left when the connection was of another provider. Returns how many batches."""
        others = [name for name in CHANNELS if name != lane.provider]
        with self._ledger.transaction() as cur:
            for batch_id in batches.left_in_doubt(self._ledger, cur, lane, others):
                self._give_up(cur, batch_id)
            taken = batches.take_over(self._ledger, cur, lane, others)
        if taken:
            log.info("send: %s batches were cut for another provider; %s sends them now", taken, lane.provider)
        return taken

    def _give_up(self, cur: Cursor, batch_id: int) -> None:
        """Nobody can be asked any more whether this batch went out: it stands there for a person to see."""
        people = batches.doubt(self._ledger, cur, batch_id)
        self.uncertain += people
        batches.resolve(self._ledger, cur, batch_id, self._policy)
        log.warning(
            "send: the outcome of a batch of %s is unknown and cannot be asked for; it reads as uncertain", people
        )

    def _maker(self, blueprint: Blueprint) -> Callable[[Row], Message]:
        return Renderer(blueprint, self._site).render
