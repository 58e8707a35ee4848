from __future__ import annotations

import json
from collections.abc import Callable

from skene_airflow.loop.json_schema import loop_schema, partial_schema
from skene_airflow.loop.reference import reference

Said = Callable[..., tuple[int, str, str]]


def test_it_prints_the_schemas_and_the_page(said: Said) -> None:
    code, out, _ = said("schema")
    assert (code, json.loads(out)) == (0, loop_schema())
    assert json.loads(said("schema", "--partial")[1]) == partial_schema()
    assert said("schema", "--format", "text")[1] == reference()
