"""`skene-airflow hasura` against the double, over a real PostgreSQL: what is created, and what it then lets read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg
import pytest
import yaml

from skene_airflow.cli import main
from skene_airflow.hasura.client import Endpoint, Hasura, HasuraError, HasuraUnreachable
from skene_airflow.testing import HasuraServer, Reply
from skene_airflow.testing.hasura_metadata import TABLE
from tests.integration.shop import Shop

WELCOME = """\
type: onboarding
opinion: People who sign up hear from us at once
steps:
  - trigger: {type: database, table: users, event: [insert, update]}
    condition: SELECT u.* FROM users u JOIN event e ON u.id = e.id
    action: {type: in_app, title: "Hello {{ user.name }}"}
"""
ORDERS = """\
type: milestone
opinion: Whoever orders is thanked
steps:
  - trigger: {type: database, table: shop.orders, event: insert}
    condition: SELECT u.* FROM users u JOIN event e ON u.id = e.user_id
    on_sent: UPDATE users u SET re_engagement_sent = true FROM sent WHERE u.id = sent.id
    action: {type: in_app, title: "Thank you"}
"""


@pytest.fixture
def hasura(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[HasuraServer]:
    shop.sql("CREATE SCHEMA shop")
    shop.sql("CREATE TABLE shop.orders (id bigint PRIMARY KEY, user_id bigint)")
    (shop.folder / "welcome.yaml").write_text(WELCOME)
    (shop.folder / "thanks.yaml").write_text(ORDERS)
    monkeypatch.setenv("HASURA_GRAPHQL_ADMIN_SECRET", "admin")
    monkeypatch.setenv("AIRFLOW__SKENE__BASE_URL", "https://airflow.acme.example/skene")
    with HasuraServer(shop.uri, "admin") as server:
        server.track("users")
        yield server


def run(shop: Shop, hasura: HasuraServer, verb: str, *more: str) -> int:
    where = ["--endpoint", hasura.url, "--ledger", shop.uri] if verb != "metadata" else []
    return main(["hasura", verb, "--loops", str(shop.folder), *where, *more])


def entry(hasura: HasuraServer, name: str, schema: str = "skene") -> dict[str, Any]:
    return next(t for t in hasura.metadata.tables if t["table"] == {"schema": schema, "name": name})


def test_apply_creates_what_the_loops_need_once(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shop, hasura, "apply") == 0
    trigger = entry(hasura, "orders", "shop")["event_triggers"][0]
    assert trigger["name"] == "skene_shop_orders"
    assert trigger["webhook"] == "https://airflow.acme.example/skene/hasura/events"
    assert trigger["definition"] == {"enable_manual": False, "insert": {"columns": "*"}}
    assert trigger["headers"] == [{"name": "X-Skene-Secret", "value_from_env": "SKENE_WEBHOOK_SECRET"}]
    assert set(entry(hasura, "users", "public")["event_triggers"][0]["definition"]) == {
        "enable_manual",
        "insert",
        "update",
    }
    for table in hasura.metadata.tables:
        jsonschema.validate(table, TABLE)
    version, calls = hasura.metadata.version, len(hasura.calls)
    assert run(shop, hasura, "apply") == 0
    assert hasura.metadata.version == version
    assert [call["type"] for _, call in hasura.calls[calls:]] == ["export_metadata", "get_inconsistent_metadata"]
    assert "nothing is missing" in capsys.readouterr().out
    assert run(shop, hasura, "check") == 0


def test_check_and_dry_run_change_nothing_and_say_what_is_missing(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    version = hasura.metadata.version
    assert run(shop, hasura, "check") == 1
    assert run(shop, hasura, "apply", "--dry-run", "--format", "json") == 0
    text = capsys.readouterr().out
    facts = json.loads(text[text.index("{") :])
    assert "track table skene.inbox" in text
    assert {call["type"] for call in facts["calls"]} >= {"pg_track_table", "pg_create_event_trigger"}
    assert hasura.metadata.version == version
    assert not shop.sql("SELECT FROM pg_namespace WHERE nspname = 'skene'")  # not even the ledger is made


def test_each_person_reads_their_own_rows_and_marks_them_read(shop: Shop, hasura: HasuraServer) -> None:
    shop.dormant(3)
    assert run(shop, hasura, "apply", "--staff", "growth") == 0
    shop.sql(
        "INSERT INTO skene.inbox (user_key, loop_id, step_id, title, body, delivery_id)"
        " SELECT i::text, 'welcome', 'main', 'Hello ' || i, '', i FROM generate_series(1, 3) i"
    )
    mine = {"x-hasura-role": "user", "x-hasura-user-id": "2"}
    query = "{ skene_inbox { id title read_at person { user { id name } } } }"
    with Hasura(Endpoint(hasura.url, "admin", headers=mine)) as app:
        with pytest.raises(HasuraError, match="Cannot query field 'user'"):
            app.graphql(query)  # the app decides itself whether `user` may be seen
        assert app.graphql("{ skene_inbox { title person { user_key } } }") == {
            "skene_inbox": [{"title": "Hello 2", "person": {"user_key": "2"}}]
        }
        update = 'mutation { update_skene_inbox(where: {}, _set: {read_at: "2026-11-25T08:00:00Z"}) { affected_rows } }'
        assert app.graphql(update) == {"update_skene_inbox": {"affected_rows": 1}}
        with pytest.raises(HasuraError):
            app.graphql('mutation { update_skene_inbox(where: {}, _set: {title: "x"}) { affected_rows } }')
    with Hasura(Endpoint(hasura.url, "admin", "growth")) as staff:
        assert len(staff.graphql("{ skene_inbox { title } }")["skene_inbox"]) == 3
    with Hasura(Endpoint(hasura.url, "admin")) as admin:
        found = admin.graphql("{ users(where: {id: {_eq: 2}}) { name skene { inbox { title } } } }")
        assert found == {"users": [{"name": "User 2", "skene": {"inbox": [{"title": "Hello 2"}]}}]}
        assert admin.graphql(query)["skene_inbox"][0]["person"] == {"user": {"id": 1, "name": "User 1"}}


def test_no_permission_shows_an_address(shop: Shop, hasura: HasuraServer) -> None:
    run(shop, hasura, "apply", "--staff", "growth")
    ours = [table for table in hasura.metadata.tables if table["table"]["schema"] == "skene"]
    for table in ours:
        columns = shop.sql("SELECT column_name AS n FROM information_schema.columns WHERE table_schema = 'skene'"
                           " AND table_name = %s", table["table"]["name"])  # fmt: skip
        assert not [row["n"] for row in columns if "address" in row["n"] or "email" in row["n"]]
        for permission in table.get("select_permissions", ()):
            rows = permission["permission"]["filter"]
            assert rows == ({} if permission["role"] == "growth" else {"user_key": {"_eq": "X-Hasura-User-Id"}})


def test_what_is_not_ours_stays_and_what_no_loop_needs_goes(shop: Shop, hasura: HasuraServer) -> None:
    hasura.track(
        "orders", "shop", select_permissions=[{"role": "user", "permission": {"columns": ["id"], "filter": {}}}]
    )
    theirs = {
        "table": {"schema": "public", "name": "users"},
        "source": "default", "name": "crm", "webhook": "https://crm.example", "update": {"columns": "*"},
    }  # fmt: skip
    hasura.metadata.run({"type": "pg_create_event_trigger", "args": theirs})
    run(shop, hasura, "apply")
    (shop.folder / "thanks.yaml").unlink()
    entry(hasura, "inbox")["select_permissions"][0]["permission"]["columns"] = ["title"]
    assert run(shop, hasura, "check") == 1
    assert run(shop, hasura, "apply") == 0
    assert entry(hasura, "orders", "shop")["event_triggers"] == []
    assert entry(hasura, "orders", "shop")["select_permissions"][0]["permission"]["columns"] == ["id"]
    assert [t["name"] for t in entry(hasura, "users", "public")["event_triggers"]] == ["crm", "skene_users"]
    assert "body" in entry(hasura, "inbox")["select_permissions"][0]["permission"]["columns"]


def test_it_warns_where_on_sent_fires_triggers(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shop, hasura, "apply")
    capsys.readouterr()
    run(shop, hasura, "check")
    err = capsys.readouterr().err
    assert "loops/thanks.yaml: on_sent of step 'main' updates public.users: each person mailed fires skene_users" in err


def test_somebody_who_changes_the_metadata_meanwhile_is_not_overwritten(shop: Shop, hasura: HasuraServer) -> None:
    whole = hasura.metadata.run
    raced: list[str] = []

    def racing(call: Any) -> object:
        if call["type"] == "bulk" and not raced:
            raced.append("once")
            whole({"type": "pg_create_object_relationship", "args": {
                "table": {"schema": "public", "name": "users"}, "name": "self",
                "using": {"manual_configuration": {"remote_table": {"schema": "public", "name": "users"},
                                                   "column_mapping": {"id": "id"}}}}})  # fmt: skip
        return whole(call)

    hasura.metadata.run = racing  # type: ignore[method-assign]
    assert run(shop, hasura, "apply") == 0
    assert [each["name"] for each in entry(hasura, "users", "public")["object_relationships"]] == ["self", "skene"]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        ({"HASURA_GRAPHQL_ADMIN_SECRET": "wrong"}, "Hasura refuses the admin secret"),
        ({"AIRFLOW__SKENE__BASE_URL": ""}, "[skene] base_url is not set"),
    ],
)
def test_what_a_person_can_mend_is_said(
    shop: Shop, hasura: HasuraServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    break_it: dict[str, str], says: str,
) -> None:  # fmt: skip
    for name, value in break_it.items():
        monkeypatch.setenv(name, value)
    assert run(shop, hasura, "apply") == 2
    assert says in capsys.readouterr().err


def test_nobody_there_and_somebody_else_there(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hasura", "check", "--loops", str(shop.folder), "--ledger", shop.uri, "--endpoint"]
    assert main([*arguments, "http://127.0.0.1:9"]) == 2
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err
    assert main([*arguments, "nowhere"]) == 2
    assert "is no URL" in capsys.readouterr().err
    assert run(shop, hasura, "check", "--database", "other") == 2
    assert "no database named 'other'; it has: default" in capsys.readouterr().err
    hasura._fault = lambda path: Reply(502, b"<html>bad gateway</html>")
    assert run(shop, hasura, "check") == 2
    assert "answered 502 and no JSON" in capsys.readouterr().err


def test_a_ledger_of_its_own_gets_event_triggers_alone(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sql("ALTER TABLE users RENAME TO people")  # as if it were in another database than the ledger
    assert run(shop, hasura, "apply") == 2
    assert "public.users with the column 'id'" in (err := capsys.readouterr().err)
    assert "(SQLSTATE 42P01); if the ledger has a database of its own, add --events-only" in err
    shop.sql("ALTER TABLE people RENAME TO users")
    assert run(shop, hasura, "apply", "--events-only") == 0
    assert {table["table"]["schema"] for table in hasura.metadata.tables} == {"public", "shop"}
    assert entry(hasura, "users", "public")["event_triggers"]


def test_inconsistent_metadata_is_a_finding(
    shop: Shop, hasura: HasuraServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shop, hasura, "apply")
    shop.sql("CREATE TABLE gone (id int)")
    hasura.track("gone")
    shop.sql("DROP TABLE gone")
    assert run(shop, hasura, "check") == 1
    assert "inconsistent metadata: gone: no such table/view exists" in capsys.readouterr().err


def test_a_broken_loop_takes_no_trigger_away(shop: Shop, hasura: HasuraServer) -> None:
    run(shop, hasura, "apply")
    (shop.folder / "thanks.yaml").write_text("type: [")
    assert run(shop, hasura, "apply") == 1
    assert entry(hasura, "orders", "shop")["event_triggers"]


def test_the_files_say_the_same(shop: Shop, hasura: HasuraServer, tmp_path: Path) -> None:
    folder = tmp_path / "metadata"
    tables = folder / "databases/default/tables"
    tables.mkdir(parents=True)
    (tables / "tables.yaml").write_text('- "!include public_users.yaml"\n')
    kept = {"role": "user", "permission": {"columns": ["id"], "filter": {}}}
    users = {"table": {"schema": "public", "name": "users"}, "select_permissions": [kept]}
    (tables / "public_users.yaml").write_text(yaml.safe_dump(users))
    assert run(shop, hasura, "metadata", "--out", str(folder)) == 0
    first = {path.name: path.read_text() for path in tables.iterdir()}
    assert run(shop, hasura, "metadata", "--out", str(folder)) == 0
    assert {path.name: path.read_text() for path in tables.iterdir()} == first
    index = yaml.safe_load(first["tables.yaml"])
    assert "!include skene_inbox.yaml" in index
    assert "!include shop_orders.yaml" in index
    assert len(index) == len(set(index)) == len(first) - 1
    run(shop, hasura, "apply")
    for line in index:
        written = yaml.safe_load(first[line.removeprefix("!include ")])
        jsonschema.validate(written, TABLE)
        there = entry(hasura, written["table"]["name"], written["table"]["schema"])
        for key in ("event_triggers", "object_relationships", "array_relationships", "update_permissions"):
            assert written.get(key, []) == there.get(key, []), (line, key)
    assert yaml.safe_load(first["public_users.yaml"])["select_permissions"] == [kept]
    shop.sql("DROP VIEW skene.people_v")
    shop.sql((folder / "skene_people.sql").read_text())
    assert shop.sql("SELECT count(*) AS n FROM skene.people_v") == [{"n": 0}]


def test_rows_that_change_are_posted_with_the_secret(shop: Shop, hasura: HasuraServer) -> None:
    """The double's own event triggers: at least once, until the webhook takes them."""
    got: list[tuple[dict[str, str], dict[str, Any]]] = []
    run(shop, hasura, "apply")
    hasura.environment["SKENE_WEBHOOK_SECRET"] = "shared"

    class Webhook(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            got.append((dict(request.headers), json.loads(request.read())))
            return httpx.Response(503 if len(got) == 1 else 200)

    shop.dormant(1)
    shop.sql("UPDATE users SET name = name")
    shop.sql("UPDATE users SET name = 'Other'")
    original = httpx.Client
    try:
        httpx.Client = lambda **more: original(transport=Webhook(), **more)  # type: ignore[assignment,misc]
        hasura.events.deliver(times=2)
        assert hasura.events.deliver() == []
    finally:
        httpx.Client = original  # type: ignore[misc]
    assert [body["event"]["op"] for _, body in got] == ["INSERT", "INSERT", "UPDATE", "UPDATE"]
    assert {headers["x-skene-secret"] for headers, _ in got} == {"shared"}
    assert got[0][1]["id"] == got[1][1]["id"]
    assert [body["delivery_info"]["max_retries"] for _, body in got] == [360] * 4
    assert got[2][1]["event"]["data"]["old"]["name"] == "User 1"


def test_the_client_tells_faults_apart(pg: str) -> None:
    with HasuraServer(pg, "right") as server:
        with Hasura(Endpoint(f"{server.url}/v1/graphql", "wrong")) as hasura:
            good, words = hasura.test()
            assert not good
            assert words.startswith("Hasura refuses the admin secret")
            with pytest.raises(HasuraError) as refused:
                hasura.metadata("export_metadata", {})
            assert refused.value.code == "access-denied"
        psycopg.connect(pg, autocommit=True).execute("CREATE TABLE t (id int)").connection.close()
        server.track("t")
        with Hasura(Endpoint(server.url, "right")) as hasura:
            assert hasura.test()[0]
            with pytest.raises(HasuraError, match="no such table"):
                hasura.metadata("pg_track_table", {"table": {"schema": "public", "name": "none"}})
            with pytest.raises(HasuraError, match="already tracked"):
                hasura.metadata("pg_track_table", {"table": {"schema": "public", "name": "t"}})
    with Hasura(Endpoint(server.url)) as hasura, pytest.raises(HasuraUnreachable):
        hasura.export()
