"""What came back: people who say no, and what providers tell. No Airflow in here."""
