"""Every loop file in the loops folder becomes an Airflow DAG; nothing else has to be registered.

The folder is `[skene] loops_folder`, or `loops/` beside this file's folder. `load_loops` also takes a folder,
`default_args` and callbacks, for what YAML cannot say.
"""

from skene_airflow.dag_factory import load_loops

globals().update(load_loops())
