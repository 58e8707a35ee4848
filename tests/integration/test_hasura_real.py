"""The same calls against a real Hasura v2: what our double answers, it answers. Run by who has `docker/compose.yaml`.

SKENE_HASURA is its URL; SKENE_HASURA_SECRET and SKENE_HASURA_DATABASE default to those of the compose file. A schema
`skene` is made in that database, and metadata of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from skene_airflow.audience.hasura import fetch
from skene_airflow.cli import main
from skene_airflow.hasura.client import Endpoint, Hasura, HasuraError
from skene_airflow.ledger import Ledger
from tests.integration.shop import USERS, Shop

pytestmark = pytest.mark.hasura

LOOP = """\
type: onboarding
opinion: People are found
steps:
  - trigger: {type: database, table: skene_people, event: insert}
    condition: SELECT u.* FROM skene_people u JOIN event e ON u.id = e.id
    action: {type: in_app, title: "Hello {{ user.name }}"}
user: {table: skene_people}
"""


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shop, Hasura]]:
    uri = os.environ.get("SKENE_HASURA_DATABASE", "postgresql://postgres:postgres@127.0.0.1:5433/shop")
    secret = os.environ.get("SKENE_HASURA_SECRET", "development-only")
    monkeypatch.setenv("HASURA_GRAPHQL_ADMIN_SECRET", secret)
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops" / "welcome.yaml").write_text(LOOP)
    with closing(Ledger(lambda: psycopg.connect(uri))) as ledger:
        shop = Shop(uri, tmp_path / "loops", ledger)
        shop.sql("DROP TABLE IF EXISTS skene_people CASCADE")
        shop.sql(USERS.replace("TABLE users", "TABLE skene_people"))
        with Hasura(Endpoint(os.environ["SKENE_HASURA"], secret)) as hasura:
            yield shop, hasura


def test_apply_twice_and_read_through_it(real: tuple[Shop, Hasura]) -> None:
    shop, hasura = real
    where = ["--endpoint", hasura.endpoint.url, "--ledger", shop.uri, "--loops", str(shop.folder)]
    where += ["--webhook", "http://127.0.0.1:9/skene/hasura/events"]
    assert main(["hasura", "apply", *where]) == 0
    assert main(["hasura", "check", *where]) == 0
    _, version = hasura.export()
    assert main(["hasura", "apply", *where]) == 0
    assert hasura.export()[1] == version
    shop.sql("INSERT INTO skene_people SELECT i, 'p' || i, 'P ' || i, now() FROM generate_series(1, 2500) i")
    loop = shop.loop(
        "type: a\nopinion: b\nsteps:\n  - trigger: {type: manual}\n    condition: {type: graphql, query: "
        '"{ skene_people { id name last_activity_at } }"}\n    action: {type: in_app, title: "{{ user.name }}"}\n',
        "found",
    )
    condition = loop.steps[0].condition
    assert condition is not None
    people = fetch(hasura, condition, datetime.now(UTC), "id")  # type: ignore[arg-type]
    assert people.rows == 2500
    assert people.columns == {"id": "bigint", "name": "text", "last_activity_at": "timestamptz"}
    assert hasura.graphql("{ skene_people(limit: 1, order_by: {id: asc}) { skene { user_key } } }") == {
        "skene_people": [{"skene": {"user_key": "1"}}]
    }


def test_refusals_are_worded_as_the_double_words_them(real: tuple[Shop, Hasura]) -> None:
    _, hasura = real
    with Hasura(Endpoint(hasura.endpoint.url, "wrong")) as stranger:
        assert not stranger.test()[0]
        with pytest.raises(HasuraError) as refused:
            stranger.export()
    assert refused.value.code == "access-denied"
    with pytest.raises(HasuraError) as missing:
        hasura.metadata("pg_track_table", {"source": "default", "table": {"schema": "public", "name": "no_such"}})
    assert missing.value.code == "not-exists"
    with pytest.raises(HasuraError) as stale:
        hasura.metadata("bulk", [], resource_version=1)
    assert stale.value.code == "conflict"
