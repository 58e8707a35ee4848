"""The asset that starts a loop with a `database` trigger: Airflow's triggerer updates it when there are changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset, AssetWatcher

from skene_airflow.audience.changes import qualified
from skene_airflow.loop.schema import DatabaseTrigger
from skene_airflow.operators.restart import asset_of
from skene_airflow.triggers.changes import ChangesTrigger

if TYPE_CHECKING:
    from skene_airflow.loop.schema import Loop


def changes_asset(loop: Loop) -> Asset:
    """The loop's own asset: however many changes come, Airflow queues one run of it at a time."""
    step = loop.steps[0]
    trigger = step.trigger
    if not isinstance(trigger, DatabaseTrigger):
        message = f"the loop {loop.id} has no database trigger"
        raise TypeError(message)
    watched = ChangesTrigger(
        loop_ids=[loop.id, *reversed(loop.was)],
        step_ids=[step.id, *reversed(step.was)],
        table=qualified(trigger.table),
        events=trigger.event,
        source=loop.connections.source,
        window=loop.expires_after.total_seconds(),
    )
    asset = asset_of(loop.id)
    return Asset(name=asset.name, uri=asset.uri, watchers=[AssetWatcher(name="changes", trigger=watched)])
