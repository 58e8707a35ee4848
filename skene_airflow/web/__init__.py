"""Pages for people, as ASGI apps. No Airflow in here."""
