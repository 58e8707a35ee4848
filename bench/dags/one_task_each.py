"""Airflow as many people use it for mail: a mapped task for each person. Run as a script, it times itself."""

from __future__ import annotations

import os
import sys
import time

from airflow.sdk import DAG, task

SINK, PEOPLE = os.environ["BENCH_SINK"], int(os.environ["BENCH_PEOPLE"])

with DAG("one_task_each", schedule=None) as dag:

    @task
    def mail(number: int) -> str:
        """One person, one task, one call."""
        import resend

        resend.api_key, resend.api_url = "re_bench", SINK
        person = f"user{number}@example.com"
        return resend.Emails.send(
            {"from": "Acme <hello@acme.example>", "to": [person], "subject": "Hi", "html": "<p>Hi</p>"}
        )["id"]

    mail.expand(number=list(range(PEOPLE)))

if __name__ == "__main__":
    began = time.perf_counter()
    run = dag.test()
    took = time.perf_counter() - began
    state = getattr(run, "state", None)
    if str(getattr(state, "value", state)) != "success":
        sys.exit(f"the run ended {state}")
    print(f"seconds a mail: {took / PEOPLE}")
