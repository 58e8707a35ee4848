"""Airflow notifiers: who hears of trouble with a loop."""
