"""The task of a DAG that stands in for a broken loop file: it fails and says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context


class BrokenLoopOperator(BaseOperator):
    """Fails with the faults of the file, so that a run by hand never looks as if something was sent."""

    ui_color = "#ffdddd"

    def __init__(self, *, faults: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.faults = faults

    def execute(self, context: Context) -> NoReturn:  # noqa: ARG002 - Airflow's signature
        """Fail at once."""
        message = f"the loop's file is broken, nothing is sent until it is mended:\n{self.faults}"
        raise AirflowFailException(message)
