"""The language: the reference loop as it stands, and every key of the whole example."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import BaseModel, ValidationError

from skene_airflow.loop.actions import EmailAction, SegmentAction, Variant
from skene_airflow.loop.conditions import Bands, QueryCondition
from skene_airflow.loop.defaults import spread_action
from skene_airflow.loop.fields import RateValue
from skene_airflow.loop.rules import Entry, Recovery, UserColumns
from skene_airflow.loop.schema import LoopFile
from skene_airflow.loop.source import parse
from skene_airflow.loop.triggers import AfterTrigger, DatabaseTrigger, ScheduleTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.loop.conftest import LoopRoom

WHOLE = Path(__file__).with_name("whole.yaml").read_text(encoding="utf-8")


def read(text: str) -> LoopFile:
    parsed = parse(text.encode(), "loops/x.yaml")
    assert parsed.root is not None
    return LoopFile.model_validate(spread_action(parsed.root).plain())


def test_the_reference_loop_runs_exactly_as_it_stands(room: LoopRoom, reference: str) -> None:
    loop = room.good(reference)
    (step,) = loop.steps
    assert (loop.id, loop.type, loop.file) == ("re_engagement", "retention", "loops/re_engagement.yaml")
    assert (loop.topic, loop.class_, loop.mode, loop.backfill) == ("marketing", "marketing", "live", "shadow")
    assert loop.user == UserColumns(table="users", key="id", email="email", timezone="timezone", locale="locale")
    assert loop.connections.source == "skene_source"
    assert loop.email_connection(step) == "resend_default"
    assert loop.entry == Entry()
    assert loop.expires_after == timedelta(hours=24)
    assert loop.recovery == Recovery(
        retries=3, backoff="exponential", retry_delay=timedelta(seconds=30), max_retry_delay=timedelta(minutes=10)
    )
    assert step.id == "main"
    assert step.trigger == ScheduleTrigger(type="schedule", cron="0 9 * * *", timezone=None)
    assert isinstance(step.condition, QueryCondition)
    assert step.condition.timeout == timedelta(minutes=10)
    assert step.condition.query.startswith("SELECT * FROM users WHERE last_activity_at < NOW()")
    assert isinstance(step.action, EmailAction)
    assert step.action.personalization == {"name": "{{user.name}}", "lastActivity": "{{user.last_activity_at}}"}


def test_the_whole_example_parses() -> None:
    loop = read(WHOLE)
    discover, advanced = loop.steps
    assert isinstance(discover.action, EmailAction)
    assert discover.action.from_ == "Ada at Acme <ada@acme.example>"
    assert discover.action.variants is not None
    assert discover.action.variants["long"] == Variant(template="discover_long", weight=2)
    assert isinstance(discover.segments, tuple)
    assert discover.segments[0].action == SegmentAction(template="discover_admin")
    assert discover.ready is not None
    assert discover.ready.timeout == timedelta(minutes=30)
    assert discover.on_sent == "UPDATE users u SET discovery_sent = true FROM sent WHERE u.id = sent.id"
    assert isinstance(advanced.trigger, AfterTrigger)
    assert (advanced.trigger.wait, advanced.trigger.until) == (timedelta(days=7), timedelta(days=60))
    assert isinstance(advanced.action, EmailAction)
    assert advanced.action.reply_to == "hi@acme.example"
    assert loop.entry == Entry(per=("last_activity_at",), every=timedelta(days=60), existing="skip")
    assert (loop.sample, loop.holdout) == (1.0, 0.05)
    assert loop.frequency_cap == RateValue(count=2, window=timedelta(days=7))
    assert loop.quiet_hours is not None
    assert (loop.quiet_hours.from_, loop.quiet_hours.to) == (time(21), time(8))
    assert loop.guard is not None
    assert (loop.guard.max, loop.guard.max_share, loop.guard.max_growth) == (20000, 0.1, 5.0)
    assert loop.exit == "SELECT id FROM users WHERE deleted_at IS NOT NULL"
    assert loop.airflow is not None
    assert loop.airflow.dagrun_timeout == timedelta(hours=2)
    assert loop.alerts[0].email == "growth@acme.example"


def test_nothing_of_the_whole_example_is_refused(room: LoopRoom) -> None:
    assert [step.id for step in room.good(WHOLE, "feature_discovery.yaml").steps] == ["discover", "advanced"]


def test_a_string_is_short_for_a_query_and_one_event_for_a_list() -> None:
    text = "type: a\nopinion: b\nsteps:\n- trigger: {type: database, table: users, event: insert}\n"
    loop = read(text + "  condition: SELECT 1\n  action: {type: email, template: t}\n")
    assert loop.steps[0].condition == QueryCondition(type="query", query="SELECT 1")
    assert loop.steps[0].trigger == DatabaseTrigger(type="database", table="users", event=("insert",))


def test_each_run_and_bands() -> None:
    text = "type: a\nopinion: b\nentry: each_run\nsteps:\n- trigger: {type: manual}\n  condition: SELECT 1\n"
    loop = read(
        text + "  action: {type: email, template: t}\n  segments: {by: seen_at, bands: {active: 1d, lapsed: rest}}\n"
    )
    assert loop.entry.each_run
    assert loop.steps[0].segments == Bands(by="seen_at", bands={"active": timedelta(days=1), "lapsed": "rest"})


def test_a_loop_does_not_change(room: LoopRoom, reference: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        room.good(reference).type = "other"  # type: ignore[misc]  # the point of the test


def test_what_the_loop_gives_to_every_action_is_checked_once(
    room: LoopRoom, changed: Callable[[str, str], str]
) -> None:
    error = room.bad(changed("steps:\n", "action: {provder: smtp, reply_to: me}\nsteps:\n"))
    assert [(fault.path, fault.code) for fault in error.faults] == [
        ("action.provder", "SK012"),
        ("action.reply_to", "SK112"),
    ]


def models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for inner in get_args(annotation):
        yield from models(inner)


@pytest.mark.parametrize("model", sorted(set(models(LoopFile)), key=repr))
def test_every_map_is_closed_frozen_strict_and_described(model: type[BaseModel]) -> None:
    config = model.model_config
    assert (config.get("extra"), config.get("frozen"), config.get("strict")) == ("forbid", True, True)
    assert model.__doc__
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert undescribed == [] or model is RateValue


def test_a_json_schema_can_be_made() -> None:
    schema = LoopFile.model_json_schema(by_alias=True)
    assert schema["additionalProperties"] is False
    assert {"class", "steps", "expires_after"} <= set(schema["properties"])
