"""Loop → DAG: the one place that knows a DAG's shape."""

from skene_airflow.dag_factory.build import build_dag
from skene_airflow.dag_factory.folder import load_loops

__all__ = ["build_dag", "load_loops"]
