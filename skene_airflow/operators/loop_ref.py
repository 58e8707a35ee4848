"""A loop and one of its steps, as tasks carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skene_airflow.loop.schema import Loop, Step


@dataclass(frozen=True, slots=True, repr=False)
class LoopRef:
    """The parsed loop for the task that runs, and one short text for everybody else.

    Airflow stores ``str()`` of such a value in the serialized DAG: id, step and version, never a path, the
    query or a template. ``version`` changes with any edit of the YAML or of a template, and the DAG with it.
    """

    loop: Loop
    step: Step
    version: str

    def __str__(self) -> str:
        return f"{self.loop.id}.{self.step.id}@{self.version}"

    __repr__ = __str__

    def __deepcopy__(self, memo: dict[int, Any]) -> LoopRef:
        return self  # Immutable; Airflow copies tasks often.
