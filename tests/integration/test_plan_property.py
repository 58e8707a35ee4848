"""The promise of a plan: on the same rows, the run that follows decides what the plan counted, by every way to ask."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from skene_airflow.channels import ChannelConfig, make_channel
from skene_airflow.ledger import Ledger
from skene_airflow.stages.plan import plan_step
from skene_airflow.stages.rehearse import ledger_exists
from tests.integration.shop import Shop

# Another schema, other names, text keys: nothing may take `users` and `id` for granted.
TABLE = """
CREATE SCHEMA app;
CREATE TABLE app.folk (n int, uid text, mail text, tz text, name text, seats int, yes boolean, team text, part int,
                       gone boolean);
"""
KEYS = st.sampled_from(["a", "b", "c", "ä", "it's", "100%", "e", "", None])
MAILS = st.sampled_from(
    ["a@x.example", "A@X.example ", "b@x.example", "c@x.example", "d@x.example", "no address", "", None]
)
ZONES = st.sampled_from(["Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Europe/Berlin", "Mars", None])
PERSON = st.tuples(
    KEYS, MAILS, ZONES, st.sampled_from(["Ada", "{{ 1 }}", None]), st.sampled_from([1, 9, None]),
    st.sampled_from([True, False, None]), st.sampled_from(["x", "y", None]), st.sampled_from([1, 2, None]),
    st.booleans(),
)  # fmt: skip
ENTRIES = [
    "each_run", "{per: [team]}", "{per: [team, part]}", "{every: 30d}", "{existing: skip}", "{per: [part], every: 2d}",
]  # fmt: skip
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "entry": st.sampled_from(ENTRIES),
        "holdout": st.just("50%"),
        "sample": st.just("60%"),
        "consent": st.just('"yes"'),
        "frequency_cap": st.sampled_from(["1/7d", "2/30d"]),
        "quiet_hours": st.sampled_from(['{from: "00:00", to: "12:00"}', '{from: "12:00", to: "23:59"}']),
        "class": st.just("transactional"),
        "exit": st.just("SELECT uid FROM app.folk WHERE gone"),
        "guard": st.sampled_from(["{max: 2}", "{max: 1, max_share: 50%}", "{max_growth: 2x}"]),
    },
)  # fmt: skip
SEGMENTS = st.sampled_from(
    [
        "",
        "    segments: [{name: big, when: 'seats > 5'}, {name: rest}]\n",
        "    segments: [{name: big, when: 'seats > 5'}]\n",
    ]
)
VARIANTS = st.sampled_from(["", ", variants: {one: {}, two: {weight: 3, subject: Two}}"])
HISTORY = st.lists(st.sampled_from(["same", "other", "suppress", "unsubscribe", "address", "stop"]), max_size=3)
LOOP = """\
type: retention
opinion: Anything
user: {{table: app.folk, key: uid, email: mail, timezone: tz}}
{keys}
steps:
  - trigger: {{type: schedule, cron: "0 3,15 * * *"}}
    condition: SELECT *, '100%' AS note FROM app.folk{where} ORDER BY n
{segments}    action: {{type: email, template: t, personalization: {{name: "{{{{ user.name }}}}"}}{variants}}}
"""


def loop_of(shop: Shop, name: str, keys: dict[str, str], segments: str, variants: str, where: str = "") -> Any:
    shop.template("---\nsubject: Hi\n---\n<p>Hi {{ name }}</p>", "t.html")
    lines = "\n".join(f"{key}: {value}" for key, value in keys.items())
    return shop.loop(LOOP.format(keys=lines, segments=segments, variants=variants, where=where), name)


def read_only(uri: str) -> psycopg.Connection[Any]:
    """A session whose every transaction is read-only: no temporary table can be made."""
    return psycopg.connect(uri, options="-c default_transaction_read_only=on")


# Making a failure smaller would take a database many minutes; an example has few enough people to be read.
@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(PERSON, max_size=12), OPTIONS, SEGMENTS, VARIANTS, HISTORY)
def test_the_run_that_follows_does_what_the_plan_counted(
    shop: Shop, tmp_path: Path, people: list[Any], options: dict[str, str], segments: str, variants: str,
    history: list[str],
) -> None:  # fmt: skip
    shop.sql("DROP SCHEMA IF EXISTS app CASCADE")
    shop.sql("DROP SCHEMA IF EXISTS skene CASCADE")
    shop.sql(TABLE)
    shop.sql(
        "INSERT INTO app.folk SELECT row_number() OVER (), p ->> 0, p ->> 1, p ->> 2, p ->> 3, (p ->> 4)::int,"
        " (p ->> 5)::boolean, p ->> 6, (p ->> 7)::int, (p ->> 8)::boolean FROM jsonb_array_elements(%s) p",
        Jsonb([list(person) for person in people]),
    )
    shutil.rmtree(tmp_path / "box", ignore_errors=True)
    with make_channel(ChannelConfig("outbox", host=str(tmp_path / "box"))) as channel:
        for event in history:
            happen(shop, channel, event, options, segments, variants)
        job = shop.job(loop=loop_of(shop, "x", options, segments, variants))
        exists = ledger_exists(shop.ledger)
        with closing(Ledger(partial(read_only, shop.uri))) as ledger:
            reader = replace(job, source=partial(read_only, shop.uri), ledger=ledger)
            plans = [plan_step(each, exists=exists) for each in (job, reader)]
        shop.decide(channel, job)
    run = shop.sql("SELECT candidates, duplicate_rows, verdicts, unknown_zones, brakes FROM skene.runs_v JOIN"
                   " skene.runs USING (run_no, candidates, duplicate_rows, verdicts, unknown_zones)"
                   " WHERE runs.run_id = %s", job.run.run_id)[0]  # fmt: skip
    for plan in plans:
        assert plan.error is None
        assert plan.verdicts == run["verdicts"]
        assert (plan.candidates, plan.duplicate_rows) == (run["candidates"], run["duplicate_rows"])
        assert plan.unknown_zones == run["unknown_zones"]
        held = (run["brakes"] or {}).get("held", {})
        assert {brake["brake"]: brake["lets_pass"] for brake in plan.brakes} == held
        if not held:
            rows = shop.sql("SELECT segment, variant FROM skene.decisions_v WHERE run_id = %s AND verdict = 'send'",
                            job.run.run_id)  # fmt: skip
            assert plan.segments == Counter(row["segment"] for row in rows)
            assert plan.variants == Counter(row["variant"] for row in rows if row["variant"])
    assert plans[0].plain() == plans[1].plain()


def happen(shop: Shop, channel: Any, event: str, options: dict[str, str], segments: str, variants: str) -> None:
    """Something of the past that gates look at."""
    if event in ("same", "other"):
        name = "x" if event == "same" else "other"
        keys = {key: value for key, value in options.items() if key not in ("guard", "class")}
        loop = loop_of(shop, name, keys, segments, variants, " WHERE n % 2 = 0")
        shop.run(channel, shop.job(loop=loop))
        return
    shop.ledger.migrate()
    if event == "stop":
        shop.sql("INSERT INTO skene.stops (loop_id, actor) VALUES ('x', 'ada') ON CONFLICT DO NOTHING")
    elif event == "address":
        shop.sql("INSERT INTO skene.suppressions (address_hmac, scope, reason, source) SELECT address_hmac, 'all',"
                 " 'bounced', 't' FROM skene.deliveries ON CONFLICT DO NOTHING")  # fmt: skip
    else:
        reason = "manual" if event == "suppress" else "unsubscribed"
        shop.sql("INSERT INTO skene.suppressions (user_key, scope, reason, source) VALUES ('a', 'marketing', %s, 't')"
                 " ON CONFLICT DO NOTHING", reason)  # fmt: skip
