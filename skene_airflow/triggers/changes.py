"""Waits in Airflow's triggerer for changes that a loop has not taken; each event it fires starts one run for all."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from skene_airflow.errors import SkeneError, unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from skene_airflow.feedback.lookout import Lookout

LOOK_EVERY = 10.0
"""Seconds between two looks while nothing is told: a notification may be lost on the way (behind PgBouncer all are)."""
GATHER = 1.0
"""Seconds that the first of many changes waits for the others."""
AGAIN = 10.0
"""Seconds until it is tried again to reach the ledger."""


class ChangesTrigger(BaseEventTrigger):
    """Changes of ``table`` by ``events`` that no run of the step has taken, told (LISTEN) or looked for.

    The ledger tells of what Hasura posted; what the app's database has noted by itself is fetched from its outbox.

    ``loop_ids`` and ``step_ids`` are the names of both, today's first; ``source`` is the connection of the table's
    database, ``window`` how many seconds a change stays due.
    """

    def __init__(
        self,
        loop_ids: Sequence[str],
        step_ids: Sequence[str],
        table: str,
        events: Sequence[str],
        source: str,
        window: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow left it without types
        self.loop_ids, self.step_ids, self.table = list(loop_ids), list(step_ids), table
        self.events, self.source, self.window = list(events), source, window

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow keeps of it."""
        names = ("loop_ids", "step_ids", "table", "events", "source", "window")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire whenever a run is worth beginning. It never ends by itself, whatever becomes of the databases."""
        while True:
            lookout: Lookout | None = None
            try:
                lookout = await asyncio.to_thread(self._lookout)
                await asyncio.to_thread(lookout.open)
                while True:
                    if found := await asyncio.to_thread(lookout.look):
                        yield TriggerEvent({"changes": found})  # type: ignore[no-untyped-call] # see above
                    await _something(lookout)
                    await asyncio.sleep(GATHER)
            except Exception as error:  # noqa: BLE001 - Airflow never starts a trigger again that has ended
                words = str(error) if isinstance(error, SkeneError) else unexpected(error)
                self.log.warning("changes of %s cannot be looked for now: %s", self.table, words)
            finally:
                if lookout is not None:
                    lookout.close()
            await asyncio.sleep(AGAIN)

    def _lookout(self) -> Lookout:
        # The triggerer imports this file for each loop; what asks the ledger is imported where it asks.
        from skene_airflow.feedback.lookout import Lookout
        from skene_airflow.feedback.outbox import Outbox
        from skene_airflow.hooks.postgres import postgres
        from skene_airflow.hooks.settings import DEFAULT_LEDGER, airflow_settings
        from skene_airflow.ledger.changes import Wanted
        from skene_airflow.ledger.runs import Names
        from skene_airflow.nouns import Mode

        settings = airflow_settings()
        wanted = Wanted(
            Names(self.loop_ids, self.step_ids),
            self.table,
            self.events,
            self.source,
            timedelta(seconds=self.window),
            Mode.REDIRECT if settings.max_mode is Mode.REDIRECT else Mode.LIVE,
        )
        connect = postgres(settings.ledger_conn_id or DEFAULT_LEDGER)
        outbox = Outbox(postgres(self.source), settings.schema, self.source)
        return Lookout(wanted, connect, settings.schema, migrate=settings.auto_migrate, outbox=outbox)


async def _something(lookout: Lookout) -> None:
    """Return when the database tells something, or after a while."""
    if lookout.told:
        return
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    sockets = lookout.sockets
    for socket in sockets:
        loop.add_reader(socket, heard.set)
    try:
        await asyncio.wait_for(heard.wait(), LOOK_EVERY)
    except TimeoutError:
        return
    finally:
        for socket in sockets:
            loop.remove_reader(socket)
