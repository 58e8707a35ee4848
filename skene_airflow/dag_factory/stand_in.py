"""The DAG that stands in for a loop whose file is broken: it is seen, never starts by itself, and fails."""

from __future__ import annotations

import logging
import re
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from airflow.sdk import DAG, get_parsing_context

from skene_airflow.dag_factory.docs import describe_faults
from skene_airflow.loop.journeys import AFTER
from skene_airflow.operators.broken import BrokenLoopOperator

if TYPE_CHECKING:
    from pathlib import Path

    from skene_airflow.errors import LoopError

log = logging.getLogger(__name__)

UPKEEP = "skene_upkeep"
_LOOP_ID = re.compile(rf"(?!{UPKEEP}$)(?!.*__)[a-z][a-z0-9_]*")


def stand_in(stem: str, error: LoopError) -> DAG:
    """The DAG that shows what is wrong with a loop file, and fails with it instead of sending anything.

    For a task that was queued from the file's last good version it is the DAG of that task, and has it, so that the
    task, too, fails with the faults and not for being unknown.
    """
    log.error("The loop %s is broken:\n%s", stem, error)
    dag_id, asked = dag_id_of(stem), get_parsing_context().dag_id
    dag = DAG(
        dag_id=dag_id + AFTER if asked == dag_id + AFTER else dag_id,
        dag_display_name=stem,
        description="This loop's file is broken: see the docs of this DAG",
        doc_md=describe_faults(stem, error),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["broken", "skene"],
    )
    task_id = get_parsing_context().task_id or "evaluate"
    BrokenLoopOperator(task_id=task_id, dag=dag, faults=str(error), retries=0)
    return dag


def dag_id_of(file: str | Path) -> str:
    """The DAG id of a loop file: its stem, or for a name that cannot be a loop's something close and unique."""
    name = PurePosixPath(file)
    stem = name.stem if name.suffix.lower() in (".yaml", ".yml") else str(name)
    if _LOOP_ID.fullmatch(stem):
        return stem
    # No loop id holds `__`, so this never takes the id of a sound loop.
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)[:200]}__{sha256(stem.encode()).hexdigest()[:6]}"
