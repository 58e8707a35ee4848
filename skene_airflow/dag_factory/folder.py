"""A folder of loop files as DAGs. A broken file never takes another loop down, and is never silent."""

from __future__ import annotations

import gc
import inspect
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_parsing_context

from skene_airflow.dag_factory.build import Extras, build_dags
from skene_airflow.dag_factory.stand_in import UPKEEP, dag_id_of, stand_in
from skene_airflow.dag_factory.upkeep import upkeep_dag
from skene_airflow.errors import LoopError, SettingsError
from skene_airflow.hooks.settings import airflow_settings
from skene_airflow.loop import codes
from skene_airflow.loop.journeys import AFTER
from skene_airflow.loop.memo import memo
from skene_airflow.nouns import Fault
from skene_airflow.stages.check import Remembered, check_folder, check_one, check_some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from skene_airflow.loop.schema import Loop
    from skene_airflow.loop.shared import SharedFiles


def load_loops(
    folder: str | Path | None = None,
    *,
    default_args: Mapping[str, Any] | None = None,
    on_failure_callback: Callable[..., Any] | None = None,
    on_success_callback: Callable[..., Any] | None = None,
) -> dict[str, DAG]:
    """Every loop of ``folder`` as its DAGs, by DAG id; ``globals().update(load_loops())`` publishes them.

    Without ``folder`` it is ``[skene] loops_folder``, and if that is empty, ``loops/`` beside the folder of the
    calling file. The further arguments go to every DAG. A file with faults becomes a DAG under its own name that
    has no schedule, fails, and has the faults as its docs. The hourly DAG ``skene_upkeep`` comes with them. While
    Airflow parses for one task run, only the loop of that task is loaded. Raises SettingsError for a wrong
    ``[skene]`` section.
    """
    root = loops_root(folder or airflow_settings().loops_folder or _beside(inspect.currentframe()))
    with _without_collecting():
        return _load(root, Extras(default_args or {}, on_failure_callback, on_success_callback))


def _load(root: Path, extras: Extras) -> dict[str, DAG]:
    only = get_parsing_context().dag_id
    if only == UPKEEP:
        return {UPKEEP: upkeep_dag(root, extras)}
    remembered = Remembered(root, memo())
    # An id with `__` in it is that of a loop's second DAG, or was made of a name that cannot be a loop's.
    mine = only.removesuffix(AFTER) if only else None
    if mine and "__" in mine:
        found = check_some(root, lambda stem: stem == mine or dag_id_of(stem) == mine, remembered)
    elif mine:
        found = check_one(root, mine, remembered)
    else:
        found = check_folder(root, remembered)
    remembered.save()
    built = [build(loop, extras, remembered.shared) for loop in found.loops]
    dags = {dag.dag_id: dag for made in built if not isinstance(made, LoopError) for dag in made}
    dags |= _stand_ins([*found.errors, *(error for error in built if isinstance(error, LoopError))])
    return dags if only else dags | {UPKEEP: upkeep_dag(root, extras)}


def loops_root(folder: str | Path) -> Path:
    """The loops folder as an absolute path; a link to it stays a link, since it may point elsewhere tomorrow.

    Raises SettingsError if there is no such folder.
    """
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        message = f"the loops folder {root} does not exist: create it, or set [skene] loops_folder"
        raise SettingsError(message)
    return root


def build(loop: Loop, extras: Extras, shared: SharedFiles) -> list[DAG] | LoopError:
    """The loop's DAGs, or its faults: whatever one loop does to Airflow, the others must still be published."""
    try:
        return build_dags(loop, extras, shared)
    except LoopError as error:
        return LoopError(error.faults, loop.file)
    except Exception as error:  # noqa: BLE001 - see above
        words = f"Airflow refuses this loop: {str(error) or type(error).__name__}"
        return LoopError([Fault(loop.file, 1, 1, "", codes.REFUSED_BY_AIRFLOW, words)])


@contextmanager
def _without_collecting() -> Iterator[None]:
    """No garbage is looked for meanwhile: all that is made here stays, and looking takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _stand_ins(errors: Iterable[LoopError]) -> dict[str, DAG]:
    faults: dict[str, list[Fault]] = defaultdict(list)
    for error in errors:
        file = PurePosixPath(error.file)
        # A named audience may have the name of a sound loop.
        faults[f"segments.{file.stem}" if file.suffix == ".sql" else file.stem].extend(error.faults)
    return {dag.dag_id: dag for stem in sorted(faults) for dag in [stand_in(stem, LoopError(faults[stem]))]}


def _beside(frame: FrameType | None) -> Path:
    caller = frame.f_back if frame else None
    if caller is None:
        message = "say which folder holds the loops: load_loops('loops'), or set [skene] loops_folder"
        raise SettingsError(message)
    return Path(caller.f_code.co_filename).resolve().parent.parent / "loops"
