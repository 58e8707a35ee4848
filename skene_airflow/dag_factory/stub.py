"""What a stub (the Python file that Airflow reads in a loop file's place) publishes: the DAG of that one file."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from airflow.sdk import DAG, get_parsing_context

from skene_airflow.dag_factory.build import Extras
from skene_airflow.dag_factory.folder import build
from skene_airflow.dag_factory.stand_in import UPKEEP, dag_id_of, stand_in
from skene_airflow.dag_factory.upkeep import upkeep_dag
from skene_airflow.errors import LoopError
from skene_airflow.loop.journeys import AFTER
from skene_airflow.loop.memo import memo
from skene_airflow.stages.check import Remembered, check_one


class RefusedDag(DAG):
    """The DAG of a broken file. Airflow asks every DAG whether it is valid, and shows what this one answers.

    An error raised while the stub is imported would be shown with a traceback through the stub instead.
    """

    error: LoopError

    def validate(self) -> NoReturn:
        """Raise the LoopError."""
        raise self.error


def dags_of_loop(root: str, file: str) -> dict[str, DAG]:
    """The DAGs of one loop file (its path in the loops folder); nothing if the file is gone.

    A broken file's DAG is refused with the faults, and its file gets an import error; for a task that was queued
    from its last good version there is a DAG that fails with the faults.
    """
    asked, dag_id = get_parsing_context().dag_id, dag_id_of(Path(file).name)
    if asked not in (None, dag_id, dag_id + AFTER):
        return {}
    remembered = Remembered(Path(root), memo())
    found, shown = check_one(Path(root), Path(file).stem, remembered), f"{Path(root).name}/{file}"
    remembered.save()
    for error in found.errors:
        if error.file == shown:
            return by_id(refused(file, error))
    for loop in found.loops:
        built = build(loop, Extras(), remembered.shared)
        return by_id(refused(file, built)) if isinstance(built, LoopError) else by_id(*built)
    return {}


def by_id(*dags: DAG) -> dict[str, DAG]:
    """The DAGs under the names that a DAG file publishes them by."""
    return {dag.dag_id: dag for dag in dags}


def refused(file: str, error: LoopError) -> DAG:
    """The DAG of a broken file: refused for good, or there to fail for the task that asks for it."""
    if get_parsing_context().dag_id is not None:
        return stand_in(Path(file).stem, error)
    dag = RefusedDag(dag_id_of(Path(file).name), schedule=None)
    said = f"this loop is broken, and nothing of it is sent until its file is mended:\n{error}"
    dag.error = LoopError(error.faults, error.file)
    dag.error.args = (said,)
    return dag


def dags_of_upkeep(root: str) -> dict[str, DAG]:
    """The DAG `skene_upkeep` over all loops of the folder."""
    asked = get_parsing_context().dag_id
    return {UPKEEP: upkeep_dag(Path(root), Extras())} if asked in (None, UPKEEP) else {}
