"""GraphQL conditions in whole runs, against the double over a real PostgreSQL."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from skene_airflow.audience.hasura import PAGE, fetch
from skene_airflow.cli import main
from skene_airflow.errors import QueryError
from skene_airflow.hasura.client import Endpoint, Hasura
from skene_airflow.loop.load import load_loop
from skene_airflow.message.template import check_templates
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.job import Job, source_of
from skene_airflow.stages.putting import Putter
from skene_airflow.stages.report import RunReport, report
from skene_airflow.stages.segment import segment
from skene_airflow.testing import HasuraServer, Reply
from tests.integration.shop import SETTINGS, Shop

LOOP = """\
type: retention
opinion: People are found through Hasura
{more}
steps:
  - trigger: {{type: manual}}
    condition:
      type: graphql
      query: |
        {query}
      path: data.users
{variables}
{segments}
    action: {{type: in_app, title: "{title}"}}
"""
QUERY = (
    "query ($as_of: timestamptz!) { users(where: {last_activity_at: {_lt: $as_of}}) "
    "{ id email name last_activity_at balance timezone tags } }"
)


@pytest.fixture
def hasura(shop: Shop) -> Iterator[HasuraServer]:
    shop.sql("ALTER TABLE users ADD balance numeric DEFAULT 5.50, ADD tags text[] DEFAULT '{a,b}'")
    with HasuraServer(shop.uri) as server:
        server.track("users")
        yield server


def write(
    shop: Shop,
    query: str = QUERY,
    title: str = "Hi {{ user.name }}",
    variables: str = "",
    segments: str = "",
    more: str = "",
) -> Any:
    text = LOOP.format(query=query, title=title, variables=variables, segments=segments, more=more)
    return shop.loop(text, "found")


def job_of(shop: Shop, hasura: HasuraServer, loop: Any, role: str = "", **more: Any) -> Job:
    endpoint = Endpoint(hasura.url, "admin", role)
    return replace(shop.job(loop=loop, **more), hasura=lambda: Hasura(endpoint))


def run(shop: Shop, job: Job) -> RunReport:
    evaluate(job)
    for shard in segment(job, None).shards:
        Putter(job, shard).run()
    return report(job)


def titles(shop: Shop) -> dict[str, str]:
    return {row["user_key"]: row["title"] for row in shop.sql("SELECT user_key, title FROM skene.inbox")}


def test_numbers_and_times_have_the_types_of_the_schema(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(3)
    shop.sql("UPDATE users SET name = E'tab\\tand \\\\ slash', balance = NULL WHERE id = 2")
    shop.sql("UPDATE users SET last_activity_at = '2026-01-05 23:30:00Z'")
    title = "{{ user.last_activity_at | datetime }} {{ (user.balance or 0) + 1 }} {{ user.tags[1] }}"
    segments = '    segments: [{name: rich, when: "balance > 5.4 AND last_activity_at < :as_of"}, {name: rest}]'
    run(shop, job_of(shop, hasura, write(shop, title=title, segments=segments)))
    when, number, tag = titles(shop)["1"].rsplit(" ", 2)
    assert when.startswith("Jan 6, 2026, 12:30")  # in Berlin
    assert (float(number), tag) == (6.5, "b")
    segment_of = {row["user_key"]: row["segment"] for row in shop.sql("SELECT * FROM skene.deliveries_v")}
    assert segment_of == {"1": "rich", "2": "rest", "3": "rich"}


@pytest.mark.parametrize("number", [0, 1, PAGE, PAGE + 1, 2 * PAGE + 7])
def test_every_page_is_asked_for_once(shop: Shop, hasura: HasuraServer, number: int) -> None:
    shop.dormant(number)
    job = job_of(shop, hasura, write(shop))
    people = job.question().people
    assert people is not None
    assert people.rows == number
    people.file.seek(0)
    keys = Counter(line.split(b"\t")[0] for line in people.file.read().splitlines())
    assert keys == Counter(str(i).encode() for i in range(1, number + 1))


def test_a_limit_of_the_role_is_no_end(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(25)
    permission = {"columns": "*", "filter": {"id": {"_lte": 20}}, "limit": 7}
    hasura.metadata.tables[0]["select_permissions"] = [{"role": "growth", "permission": permission}]
    assert run(shop, job_of(shop, hasura, write(shop), "growth")).statuses == {"sent": 20}


def test_several_rows_of_a_person_stay_together(shop: Shop, hasura: HasuraServer) -> None:
    shop.sql("CREATE VIEW visits AS SELECT u.*, n FROM users u, generate_series(1, 3) n")
    hasura.track("visits")
    shop.dormant(700)
    query = "{ users: visits { id email name n last_activity_at } }"
    outcome = run(shop, job_of(shop, hasura, write(shop, query, more="entry: {per: [n]}")))
    assert outcome.statuses == {"sent": 2100}


def test_the_gates_are_the_same_and_a_rerun_adds_nothing(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(40)
    shop.sql("UPDATE users SET name = NULL WHERE id = 7")
    loop = write(shop, more="holdout: 20%\nexit: SELECT id FROM users WHERE id = 9")
    job = job_of(shop, hasura, loop)
    outcome = run(shop, job)
    assert outcome.verdicts["skip"] == {"exited": 1, "missing_variable": 1}
    assert outcome.verdicts["send"] + outcome.verdicts["hold_out"] == 38
    calls = len(hasura.calls)
    assert run(shop, job).verdicts == outcome.verdicts
    assert len(hasura.calls) == calls  # what was staged is kept: an endpoint is not asked again
    again = run(shop, job_of(shop, hasura, loop))
    assert again.verdicts["skip"]["already_entered"] == 38


def test_variables_and_limits_of_the_document(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(30)
    query = "query ($least: bigint!) { users(limit: 5, where: {id: {_gte: $least}}) { id email name } }"
    run(shop, job_of(shop, hasura, write(shop, query, variables="      variables: {least: 11}")))
    assert set(titles(shop)) == {"11", "12", "13", "14", "15"}


def test_fifty_thousand_people_in_flat_memory(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(50_000)
    condition = write(shop, "{ users { id email name last_activity_at } }").steps[0].condition
    with Hasura(Endpoint(hasura.url, "admin")) as client:
        tracemalloc.start()
        people = fetch(client, condition, datetime.now(UTC), "id")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert people.rows == 50_000
    assert len(hasura.calls) == 56  # three of them for the schema
    assert most < 40_000_000  # of which the double, in this process, has its part: a page each


def test_an_endpoint_that_is_slow_or_broken(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(1)
    loop = write(shop)
    times = iter([0.0, 1.0, 700.0])
    with Hasura(Endpoint(hasura.url, "admin")) as client, pytest.raises(QueryError, match="longer than its timeout"):
        fetch(client, loop.steps[0].condition, datetime.now(UTC), "id", clock=lambda: next(times))
    with pytest.raises(QueryError, match="refuses the admin secret"):
        evaluate(replace(job_of(shop, hasura, loop), hasura=lambda: Hasura(Endpoint(hasura.url, "wrong"))))
    hasura._fault = lambda _: Reply(500, b'{"path": "$", "error": "x", "code": "unexpected"}')
    with pytest.raises(QueryError, match="Hasura refuses it"):
        evaluate(job_of(shop, hasura, loop))
    assert shop.sql("SELECT count(*) AS n FROM skene.runs WHERE staged_at IS NOT NULL") == [{"n": 0}]


def test_what_the_endpoint_does_not_have(shop: Shop, hasura: HasuraServer) -> None:
    with pytest.raises(QueryError, match="knows no field 'nmae' of users"):
        job_of(shop, hasura, write(shop, "{ users { id email name: nmae } }")).question()
    with pytest.raises(QueryError, match="knows no 'people' there"):
        job_of(shop, hasura, write(shop, "{ users: people { id email name } }")).question()


@pytest.mark.parametrize(
    ("query", "path", "says"),
    [
        ("{ users { id email name ", "", "steps[0].condition.query: this is not GraphQL: Expected Name, found <EOF>"),
        ("mutation { users { id } }", "", "this is a mutation; a condition only reads"),
        ("query a { users { id } } query b { users { id } }", "", "a condition is one query, and here are 2"),
        (
            "{ usres { id email name } }",
            "",
            "steps[0].condition.path: the query asks for no 'users' there; did you mean",
        ),
        ("{ users(offset: 3) { id email name } }", "", "the list has the argument 'offset'"),
        ("{ users { email name } }", "", "the query returns no column 'id'"),
        ("query ($a: Int!) { users(limit: $a) { id name } }", "", "the variable '$a' has no value"),
    ],
)
def test_documents_are_checked_without_an_endpoint(shop: Shop, query: str, path: str, says: str) -> None:
    text = LOOP.format(query=query, title="Hi", variables="", segments="", more="")
    (shop.folder / "found.yaml").write_text(text)
    assert says in str(load_loop(shop.folder / "found.yaml"))


def test_a_column_that_is_printed_and_not_asked_for(shop: Shop) -> None:
    loop = write(shop, "{ users { id name } }", title="Hi {{ user.nmae }}")
    (fault,) = check_templates(loop)
    assert (fault.path, fault.code) == ("steps[0].action.title", "SK214")
    assert "ask for it in the document; it asks for id, name" in str(fault)


def test_without_a_database_of_the_app_the_ledgers_is_asked(shop: Shop, tmp_path: Path) -> None:
    settings = replace(SETTINGS, ledger_conn_id="ledger")
    loop = write(shop, "{ users { id name } }")
    assert source_of(loop, settings) == "ledger"
    assert source_of(loop, SETTINGS) == "skene_source"
    assert source_of(write(shop, "{ users { id name } }", more="connections: {source: app}"), settings) == "app"
    assert source_of(shop.loop(), settings) == "skene_source"


def test_decimals_stay_as_they_are(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(1)
    with Hasura(Endpoint(hasura.url, "admin")) as client, nullcontext():
        assert client.graphql("{ users { balance } }") == {"users": [{"balance": Decimal("5.50")}]}


def test_plan_counts_them_beforehand(
    shop: Shop, hasura: HasuraServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.dormant(7)
    write(shop, "{ users { id name } }")
    monkeypatch.setenv(
        "AIRFLOW_CONN_HASURA_DEFAULT", f'{{"conn_type": "hasura", "host": "{hasura.url}", "password": "admin"}}'
    )
    main(["plan", "--loops", str(shop.folder), "--source", shop.uri, "--ledger", shop.uri, "--format", "json"])
    found = json.loads(capsys.readouterr().out)["loops"]
    assert [(each["loop_id"], each["candidates"], each["verdicts"]["send"]) for each in found] == [("found", 7, 7)]
