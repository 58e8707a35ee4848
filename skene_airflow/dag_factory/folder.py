"""A folder of loop files as DAGs. A broken file never takes another loop down, and is never silent."""

from __future__ import annotations

import inspect
import logging
import re
from collections import defaultdict
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_parsing_context

from skene_airflow.dag_factory.build import Extras, build_dag
from skene_airflow.dag_factory.docs import describe_faults
from skene_airflow.errors import LoopError, SettingsError
from skene_airflow.hooks.settings import airflow_settings
from skene_airflow.loop.load import loop_files
from skene_airflow.nouns import Fault
from skene_airflow.operators.broken import BrokenLoopOperator
from skene_airflow.stages.check import check_folder, check_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import FrameType

    from skene_airflow.loop.schema import Loop

log = logging.getLogger(__name__)

_LOOP_ID = re.compile(r"(?!skene_upkeep$)(?!.*__)[a-z][a-z0-9_]*")


def load_loops(
    folder: str | Path | None = None,
    *,
    default_args: Mapping[str, Any] | None = None,
    on_failure_callback: Callable[..., Any] | None = None,
    on_success_callback: Callable[..., Any] | None = None,
) -> dict[str, DAG]:
    """Every loop of ``folder`` as a DAG, by DAG id; ``globals().update(load_loops())`` publishes them.

    Without ``folder`` it is ``[skene] loops_folder``, and if that is empty, ``loops/`` beside the folder of the
    calling file. The further arguments go to every DAG. A file with faults becomes a DAG under its own name that
    has no schedule, fails, and has the faults as its docs. While Airflow parses for one task run, only the
    loop of that task is loaded. Raises SettingsError for a wrong ``[skene]`` section.
    """
    root = Path(folder or airflow_settings().loops_folder or _beside(inspect.currentframe()))
    extras = Extras(default_args or {}, on_failure_callback, on_success_callback)
    only = get_parsing_context().dag_id
    loops, errors = _load_one(root, only) if only else _load_all(root)
    dags = {}
    for loop in loops:
        built = _build(loop, extras)
        if isinstance(built, DAG):
            dags[built.dag_id] = built
        else:
            errors.append(built)
    return dags | _stand_ins(errors)


def dag_id_of(file: str | Path) -> str:
    """The DAG id of a loop file: its stem, or for a name that cannot be a loop's something close and unique."""
    stem = PurePosixPath(file).stem
    if _LOOP_ID.fullmatch(stem):
        return stem
    # No loop id holds `__`, so this never takes the id of a sound loop.
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)[:200]}__{sha256(stem.encode()).hexdigest()[:6]}"


def _load_all(root: Path) -> tuple[list[Loop], list[LoopError]]:
    _refuse_absent(root)
    folder = check_folder(root)
    return list(folder.loops), list(folder.errors)


def _load_one(root: Path, dag_id: str) -> tuple[list[Loop], list[LoopError]]:
    _refuse_absent(root)
    files = [path for path in loop_files(root) if dag_id_of(path) == dag_id]
    if len(files) > 1:  # Two files with one id: only the whole folder's reader refuses them in its own words.
        loops, errors = _load_all(root)
        mine = [error for error in errors if dag_id_of(error.file) == dag_id]
        return [loop for loop in loops if loop.id == dag_id], mine
    checked = [check_loop(path, root) for path in files]
    return (
        [loop for loop in checked if not isinstance(loop, LoopError)],
        [error for error in checked if isinstance(error, LoopError)],
    )


def _build(loop: Loop, extras: Extras) -> DAG | LoopError:
    try:
        return build_dag(loop, extras)
    except LoopError as error:
        return LoopError(error.faults, loop.file)
    except Exception as error:  # noqa: BLE001 - whatever one loop does to Airflow, the others must still be published
        words = f"Airflow refuses this loop: {str(error) or type(error).__name__}"
        return LoopError([Fault(loop.file, 1, 1, "", "SK900", words)])


def _stand_ins(errors: Iterable[LoopError]) -> dict[str, DAG]:
    faults: dict[str, list[Fault]] = defaultdict(list)
    for error in errors:
        faults[PurePosixPath(error.file).stem].extend(error.faults)
    return {dag.dag_id: dag for stem in sorted(faults) for dag in [_stand_in(stem, LoopError(faults[stem]))]}


def _stand_in(stem: str, error: LoopError) -> DAG:
    """A DAG that shows what is wrong with a loop file, and fails with it instead of sending anything."""
    log.error("The loop %s is broken:\n%s", stem, error)
    dag = DAG(
        dag_id=dag_id_of(f"{stem}.yaml"),
        dag_display_name=stem,
        description="This loop's file is broken: see the docs of this DAG",
        doc_md=describe_faults(stem, error),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["broken", "skene"],
    )
    BrokenLoopOperator(task_id="evaluate", dag=dag, faults=str(error), retries=0)
    return dag


def _refuse_absent(root: Path) -> None:
    if not root.is_dir():
        message = f"the loops folder {root} does not exist: create it, or set [skene] loops_folder"
        raise SettingsError(message)


def _beside(frame: FrameType | None) -> Path:
    caller = frame.f_back if frame else None
    if caller is None:
        message = "say which folder holds the loops: load_loops('loops'), or set [skene] loops_folder"
        raise SettingsError(message)
    return Path(caller.f_code.co_filename).resolve().parent.parent / "loops"
