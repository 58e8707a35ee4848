"""Growth loops for Apache Airflow: one YAML file is one loop, and nobody is mailed twice."""

__version__ = "0.1.0"
