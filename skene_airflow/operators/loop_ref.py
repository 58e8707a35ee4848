"""A loop and one of its steps, as tasks carry it; and all loops of a folder, as upkeep does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skene_airflow.loop.schema import Loop, Step

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class LoopRef:
    """The parsed loop for the task that runs, and one short text for everybody else.

    Airflow stores ``str()`` of such a value in the serialized DAG: id, step and version, never a path, the
    query or a template. ``version`` changes with any edit of the YAML or of a template, and the DAG with it.
    """

    loop: Loop
    step: Step
    version: str

    def must_load(self) -> None:
        """Look at the loop's file as it stands now. Raises LoopError if it is broken or gone.

        A task may be queued, or run for long, from the last good version of a file that is broken by now.
        """
        from skene_airflow.stages.check import check_again

        check_again(self.loop)

    def while_it_loads(self, alive: Callable[[], bool]) -> Callable[[], bool]:
        """``alive``, which raises LoopError once the loop's file is broken or gone."""

        def asked() -> bool:
            self.must_load()
            return alive()

        return asked

    def __str__(self) -> str:
        return f"{self.loop.id}.{self.step.id}@{self.version}"

    __repr__ = __str__

    def __deepcopy__(self, memo: dict[int, Any]) -> LoopRef:
        return self  # Immutable; Airflow copies tasks often.


@dataclass(frozen=True, slots=True, repr=False)
class FolderRef:
    """The loops folder for the task that reads all loops; its path never reaches Airflow's database."""

    root: Path

    def loops(self) -> list[LoopRef]:
        """Every step of every loop whose file loads now; the others are named in the log."""
        from skene_airflow.stages.check import check_folder

        folder = check_folder(self.root)
        for error in folder.errors:
            log.warning("%s is broken, and nothing of it is sent until it is mended:\n%s", error.file, error)
        return [LoopRef(loop, step, loop.version) for loop in folder.loops for step in loop.steps]

    def __str__(self) -> str:
        return "all loops"

    __repr__ = __str__

    def __deepcopy__(self, memo: dict[int, Any]) -> FolderRef:
        return self  # Immutable; Airflow copies tasks often.
