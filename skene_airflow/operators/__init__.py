"""One operator for each stage of a run; each only hands Airflow's facts to the stage of its name."""
