"""Where Airflow's connections and configuration become plain values for the floors below."""
