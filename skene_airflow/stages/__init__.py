"""The run, one verb a file: evaluate, segment, send, report. No Airflow in here."""
