"""The built-in DAG `skene_upkeep`: once an hour, over all loops, what no run came back for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, CronTriggerTimetable

from skene_airflow.dag_factory.stand_in import UPKEEP
from skene_airflow.operators.loop_ref import FolderRef
from skene_airflow.operators.restart import RestartOperator
from skene_airflow.operators.upkeep import UpkeepOperator

if TYPE_CHECKING:
    from pathlib import Path

    from skene_airflow.dag_factory.build import Extras

_DOC = """Once an hour, what no run came back for, over every loop in the loops folder whose file loads:

- mail that a failed run left queued is sent (loops with `mode: live` that are not stopped), until it expires;
- `on_sent` is run for people whose mail left while nobody marked them;
- who reached a loop's `goal` in time is recorded;
- what is late becomes `expired`, what nobody can ask the provider about any more `uncertain`;
- loops with a `database` trigger are started again for changes whose person had to wait (task `restart`);
- addresses, names and changed rows older than `[skene] retention_days` are erased from the ledger.

It decides nothing about anybody. **Pausing it leaves mail that was already promised to people unsent**; to stop
sending, use `skene-airflow stop [LOOP]`.
"""


def upkeep_dag(root: Path, extras: Extras) -> DAG:
    """The DAG. It is created unpaused, and reads the loops when it runs."""
    dag = DAG(
        dag_id=UPKEEP,
        description="Sends what is left over, expires what is late, erases what is old",
        doc_md=_DOC,
        # Half past: most loops begin on the hour, and finish their own mail.
        schedule=CronTriggerTimetable("30 * * * *", timezone="UTC"),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["skene"],
        default_args=dict(extras.default_args),
        on_failure_callback=extras.on_failure_callback,
        on_success_callback=extras.on_success_callback,
    )
    UpkeepOperator(task_id="upkeep", dag=dag, loops=FolderRef(root))
    RestartOperator(task_id="restart", dag=dag, loops=FolderRef(root))
    return dag
