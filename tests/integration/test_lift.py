"""A known lift is found again, and what spoils one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skene_airflow.cli import main
from tests.integration.goal import GOAL, Skene, funnel, write
from tests.integration.shop import Shop


@pytest.fixture
def skene(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Skene:
    def run(*words: str, source: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        folder = ["--loops", str(shop.folder), "--ledger", shop.uri, "--source", source or shop.uri]
        code = main(["lift", *words, *folder])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def populate(shop: Shop, people: int, held_out: int, rates: tuple[float, float], *, share: float, days: int) -> None:
    """A run of so long ago in the ledger, as if it had been; of the first people of each arm so many ordered."""
    shop.ledger.migrate()
    shop.sql(
        "WITH run AS (INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at,"
        "  loop_version, holdout, claimed, staged_at, decided_at) SELECT 'goals', 'main', gen_random_uuid()::text,"
        "  'scheduled', 'live', now(), now(), 'v', %s::float8, true, now(), now() RETURNING run_no),"
        " people AS (SELECT i, i <= %s AS out FROM generate_series(1, %s::bigint) i),"
        " base AS (SELECT coalesce(max(user_key::bigint), 0) AS most FROM skene.deliveries),"
        " decided AS (INSERT INTO skene.decisions (run_no, n, user_key, entry_key, verdict, segment)"
        "  SELECT run_no, i, (most + i)::text, '', CASE WHEN out THEN 'hold_out' ELSE 'send' END, 'all'"
        "  FROM run, people, base),"
        " delivered AS (INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment,"
        "   status, batch_id, pos, address_hmac, queued_at, sent_at)"
        "  SELECT 'goals', 'main', (most + i)::text, '', run_no, 'live', 'all',"
        "    CASE WHEN out THEN 'held_out' WHEN i %% 10 = 0 THEN 'failed' ELSE 'sent' END,"
        "   CASE WHEN NOT out THEN 1 END, i, '', now() - make_interval(days => %s),"
        "   CASE WHEN NOT out AND i %% 10 <> 0 THEN now() - make_interval(days => %s) END FROM run, people, base)"
        " INSERT INTO orders SELECT most + i, now() - make_interval(days => %s) + interval '1 hour' FROM people, base"
        " WHERE CASE WHEN out THEN i <= round(%s * %s) ELSE i - %s <= round(%s * (%s - %s)) END",
        *(share, held_out, people, days, days, days, rates[1], held_out, held_out, rates[0], people, held_out),
    )
    shop.sql("ANALYZE")


def told(skene: Skene, *words: str) -> dict[str, Any]:
    code, out, _ = skene("goals", "--format", "json", *words)
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_a_known_lift_is_found_by_intention_to_treat(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 20_000, 2_000, (0.12, 0.08), share=0.1, days=20)
    found = told(skene)
    assert found["treated"] == {"people": 18_000, "converted": 2_160, "conversion": 0.12}, "failed mail is counted too"
    assert found["held_out"] == {"people": 2_000, "converted": 160, "conversion": 0.08}
    assert found["difference"] == pytest.approx(0.04)
    assert found["relative_lift"] == pytest.approx(0.5)
    low, high = found["interval"]
    assert 0.02 < low < 0.04 < high < 0.06
    assert (found["windows"], found["warnings"]) == ({"counted": "closed", "closed": 20_000, "open": 0}, [])
    assert found["split"]["off"] is False
    assert funnel(orders, "converted", "held_out_converted") == [(2_160 - 216, 160)]
    _, out, _ = skene("goals")
    assert "difference     +4.00 points (95%: +2." in out
    assert "relative lift  +50.0%" in out
    assert "More people reached the goal" in out


def test_a_split_that_is_off_is_told_at_the_right_size(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 50%")
    populate(orders, 1_000, 480, (0.2, 0.2), share=0.5, days=20)
    assert told(skene)["warnings"] == []
    populate(orders, 9_000, 4_320, (0.2, 0.2), share=0.5, days=20)
    found = told(skene)
    assert (found["split"]["held_out"], found["split"]["expected_held_out"], found["split"]["off"]) == (
        4800,
        5000,
        True,
    )
    assert found["warnings"][0].startswith("the split is off: 4,800 people were held out, and 5,000 were to be")


def test_a_share_that_was_changed_on_the_way_is_no_fault(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 50%")
    populate(orders, 10_000, 500, (0.2, 0.2), share=0.05, days=30)
    populate(orders, 10_000, 5_000, (0.2, 0.2), share=0.5, days=20)
    assert told(skene)["split"] == {"expected_held_out": 5500.0, "held_out": 5500, "p_value": 1.0, "off": False}


def test_only_windows_that_are_over_count_once_there_are_some(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 1_000, 100, (0.5, 0.2), share=0.1, days=2)
    early = told(skene)
    assert early["windows"] == {"counted": "open", "closed": 0, "open": 1_000}
    assert early["treated"]["converted"] == 450
    assert early["warnings"] == [
        "no window is over yet: 1,000 people are counted as of now, and more of them may convert"
    ]
    populate(orders, 2_000, 200, (0.2, 0.2), share=0.1, days=15)
    late = told(skene)
    assert late["windows"] == {"counted": "closed", "closed": 2_000, "open": 1_000}
    assert (late["treated"]["people"], late["held_out"]["people"]) == (1_800, 200)
    assert late["warnings"] == ["1,000 people are not counted: their window is still open"]


def test_each_person_counts_once_by_what_was_decided_first(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%\nentry: each_run")
    populate(orders, 1_000, 100, (0.1, 0.1), share=0.1, days=40)
    orders.sql("UPDATE skene.deliveries SET entry_key = 'first'")
    orders.sql("UPDATE skene.decisions SET entry_key = 'first'")
    orders.sql(
        "WITH run AS (INSERT INTO skene.runs (loop_id, step_id, run_id, run_type, mode, as_of, expires_at,"
        "  loop_version, holdout) SELECT 'goals', 'main', 'second', 'scheduled', 'live', now(), now(), 'v', 0.9"
        "  RETURNING run_no), d AS ("
        " INSERT INTO skene.decisions (run_no, n, user_key, entry_key, verdict, segment)"
        " SELECT run_no, i, i::text, 'second', 'hold_out', 'all' FROM run, generate_series(1, 1000) i)"
        " INSERT INTO skene.deliveries (loop_id, step_id, user_key, entry_key, run_no, mode, segment, status, pos,"
        " address_hmac) SELECT 'goals', 'main', i::text, 'second', run_no, 'live', 'all', 'held_out', i, ''"
        " FROM run, generate_series(1, 1000) i"
    )
    found = told(skene)
    assert (found["treated"]["people"], found["held_out"]["people"]) == (900, 100)
    assert found["split"]["off"] is False


def test_too_few_and_none_held_out(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 100, 10, (0.1, 0.1), share=0.1, days=20)
    assert told(skene)["warnings"][0].startswith("the sample is too small")
    orders.sql("DELETE FROM skene.decisions WHERE verdict = 'hold_out'")
    orders.sql("UPDATE skene.runs SET holdout = 0")
    found = told(skene)
    assert (found["difference"], found["interval"], found["relative_lift"], found["split"]) == (None, None, None, None)
    assert found["warnings"] == ["nobody was held out, so there is nothing to compare with: write `holdout: 10%`"]


def test_without_the_source_what_is_known_counts(orders: Shop, skene: Skene) -> None:
    write(orders, f"{GOAL}\nholdout: 10%")
    populate(orders, 1_000, 100, (0.5, 0.5), share=0.1, days=20)
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    code, _, err = skene("goals", source=nowhere)
    assert code == 2
    assert "nobody has looked for the goals of 'goals' yet" in err
    told(skene)
    code, out, err = skene("goals", source=nowhere)
    assert code == 0
    assert "warning: goals are as they were last looked for: the database cannot be reached" in err
    assert "450" in out


def test_a_loop_without_a_goal_and_a_step_that_is_none(orders: Shop, skene: Skene) -> None:
    write(orders, "")
    code, _, err = skene("goals")
    assert (code, "has no goal: write `goal:" in err) == (2, True)
    write(orders)
    code, _, err = skene("goals", "--step", "other")
    assert (code, "has no step 'other'; it has: main" in err) == (2, True)
