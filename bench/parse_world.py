"""The same N DAGs, said three times: as loops, as dag-factory's YAML, and written by hand in one Python file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LOOP = """type: retention
opinion: People who were not here for {n} days come back when they are asked ({n})
steps:
  - trigger: {{type: schedule, cron: "{minute} {hour} * * *"}}
    condition:
      type: query
      query: |
        SELECT u.* FROM users u
        WHERE u.last_activity_at < :as_of - interval '{n} days'
          AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND o.created_at > :as_of - interval '7 days')
      timeout: 10m
    action:
      type: email
      provider: resend
      template: mail_{n}
      personalization: {{name: "{{{{ user.name or 'there' }}}}", since: "{{{{ user.created_at | date }}}}"}}
recovery: {{retries: 3, backoff: exponential}}
"""
_TEMPLATE = """---
subject: We miss you, {{{{ name }}}}
preheader: Number {n} of what is new
---
<p>Hi {{{{ name }}}},</p>
<p>you are with us since {{{{ since }}}}. <a href="https://acme.example/new/{n}">See what is new</a>.</p>
"""
_FACTORY = """loop_{n:04d}:
  description: People who were not here for {n} days come back when they are asked ({n})
  doc_md: {doc}
  schedule: "{minute} {hour} * * *"
  start_date: 2026-01-01
  catchup: false
  max_active_runs: 1
  tags: [retention, skene]
  default_args:
    owner: airflow
    retries: 3
    retry_delay: {{__type__: datetime.timedelta, seconds: 30}}
    retry_exponential_backoff: true
  tasks:
    - task_id: evaluate
      operator: bench_tasks.Stage
      loop: loop_{n:04d}.main
      execution_timeout: {{__type__: datetime.timedelta, seconds: 720}}
    - task_id: segment
      operator: bench_tasks.Stage
      loop: loop_{n:04d}.main
      dependencies: [evaluate]
    - task_id: send
      operator: bench_tasks.Stage
      partial: {{loop: loop_{n:04d}.main}}
      expand: {{shard: segment.output}}
      dependencies: [segment]
    - task_id: report
      operator: bench_tasks.Stage
      loop: loop_{n:04d}.main
      trigger_rule: all_done
      dependencies: [send]
"""
_TASKS = """from airflow.sdk import BaseOperator


class Stage(BaseOperator):
    template_fields = ()

    def __init__(self, *, loop, shard=None, **kwargs):
        super().__init__(**kwargs)
        self.loop, self.shard = loop, shard
"""
_HAND_HEAD = """from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param
from bench_tasks import Stage
"""
_HAND = """
with DAG(
    dag_id="loop_{n:04d}",
    description="People who were not here for {n} days come back when they are asked ({n})",
    doc_md={doc},
    schedule=CronTriggerTimetable("{minute} {hour} * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["retention", "skene"],
    params={{"mode": Param("auto", type="string", enum=["auto", "shadow", "live"], title="Mode", description="auto")}},
    default_args={{
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
    }},
) as dag_{n}:
    evaluate = Stage(task_id="evaluate", loop="loop_{n:04d}.main@0123456789ab", execution_timeout=timedelta(minutes=12))
    segment = Stage(task_id="segment", loop="loop_{n:04d}.main@0123456789ab")
    send = Stage.partial(task_id="send", loop="loop_{n:04d}.main@0123456789ab").expand(shard=segment.output)
    report = Stage(task_id="report", loop="loop_{n:04d}.main@0123456789ab", trigger_rule="all_done")
    evaluate >> segment >> send >> report
"""


def make(folder: Path, number: int) -> None:
    """Write all three, with the DAG file of each: `loops.py`, `dag_factory.py`, `by_hand.py`."""
    for name in ("loops/templates", "yaml"):
        (folder / name).mkdir(parents=True)
    (folder / "bench_tasks.py").write_text(_TASKS)
    by_hand = [_HAND_HEAD]
    for n in range(1, number + 1):
        facts: dict[str, Any] = {"n": n, "minute": n % 60, "hour": n % 24}
        loop = _LOOP.format(**facts)
        # Airflow keeps a DAG's docs in its database: all three carry the same, so that all three write as much.
        facts["doc"] = json.dumps(f"{facts['n']} days\n\n{loop}")
        (folder / "loops" / f"loop_{n:04d}.yaml").write_text(loop)
        (folder / "loops" / "templates" / f"mail_{n}.html").write_text(_TEMPLATE.format(**facts))
        (folder / "yaml" / f"loop_{n:04d}.yaml").write_text(_FACTORY.format(**facts))
        by_hand.append(_HAND.format(**facts))
    (folder / "by_hand.py").write_text("".join(by_hand))
    (folder / "loops.py").write_text(
        f"from skene_airflow.dag_factory import load_loops\n\nglobals().update(load_loops({str(folder / 'loops')!r}))\n"
    )
    (folder / "dag_factory.py").write_text(
        "from airflow.sdk import DAG\nfrom dagfactory import load_yaml_dags\n\n"
        f"load_yaml_dags(globals_dict=globals(), dags_folder={str(folder / 'yaml')!r})\n"
    )
