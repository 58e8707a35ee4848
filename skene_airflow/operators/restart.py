"""The task `restart` of `skene_upkeep`: loops that still owe somebody a verdict for a change are started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset, AssetAlias, BaseOperator

from skene_airflow.operators.base import jobs, plain_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from skene_airflow.operators.loop_ref import FolderRef

OWED: Final = AssetAlias("skene_changes")
"""What the task updates in the place of assets that it does not know before it runs."""


def asset_of(loop_id: str) -> Asset:
    """The asset that a loop with a `database` trigger is scheduled on."""
    return Asset(name=f"skene_changes_{loop_id}", uri=f"skene://changes/{loop_id}")


class RestartOperator(BaseOperator):
    """A change whose person had to wait is due again, though nothing new has come. XCom gets ids and counts.

    A task of its own: Airflow believes no updates of a task that fails.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f5f5f4"

    def __init__(self, *, loops: FolderRef, **kwargs: Any) -> None:
        super().__init__(outlets=[OWED], **kwargs)
        self.loops = loops

    @plain_errors
    def execute(self, context: Context) -> dict[str, int]:
        """Update the asset of each loop that owes somebody something."""
        from skene_airflow.stages.owed import owed

        with jobs(context, self.loops.loops()) as (settings, ledger, made):
            found = owed(ledger, settings, made)
        for loop_id, number in found.items():
            context["outlet_events"][OWED].add(asset_of(loop_id), extra={"changes": number})
        return found
