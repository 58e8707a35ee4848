"""One measurement of `bench/parse.py`, in a process of its own; needs nothing but Airflow and what it measures.

Usage: python parse_worker.py WAY FOLDER [DAG_ID]. Prints JSON: processor seconds of each part.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any


def main(way: str, folder: Path, dag_id: str) -> dict[str, float]:
    """Import Airflow as a dag-processor has it, then read the DAGs twice, then serialize them once."""
    began = time.process_time()
    from airflow.sdk import DAG, Asset, BaseOperator, CronTriggerTimetable, Param, get_parsing_context  # noqa: F401

    imported = time.process_time()
    if way == "import":
        return {"airflow": imported - began, "and": _import_ours()}
    from airflow.serialization.serialized_objects import DagSerialization

    if dag_id:  # as Airflow does before it reads a DAG file for one task
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    _, cold = _read(way, folder)
    found, warm = _read(way, folder)
    dags = [value for value in found.values() if isinstance(value, DAG) and value.dag_id != "skene_upkeep"]
    began = time.process_time()
    for dag in dags:
        DagSerialization.to_dict(dag)
    return {"cold": cold, "warm": warm, "serialize": time.process_time() - began, "dags": len(dags)}


def _read(way: str, folder: Path) -> tuple[dict[str, Any], float]:
    began = time.process_time()
    found = runpy.run_path(str(folder / f"{way}.py"))
    return found, time.process_time() - began


def _import_ours() -> float:
    began = time.process_time()
    importlib.import_module("skene_airflow.dag_factory")
    return time.process_time() - began


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")))
