"""What Airflow's triggerer waits for on our behalf."""
