from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from skene_airflow.errors import AccountError, ConfError, LedgerError, SettingsError, SkeneError
from skene_airflow.operators.base import plain_errors, run_facts

DAY = datetime(2026, 11, 24, 9, tzinfo=UTC)


def context(**run: Any) -> Any:
    facts = {"run_id": "r1", "run_type": "manual", "logical_date": None, "run_after": DAY, "conf": None}
    return {"dag_run": SimpleNamespace(**facts | run)}


def test_a_run_without_a_logical_date_counts_from_run_after() -> None:
    facts = run_facts(context())
    assert (facts.run_id, facts.run_type, facts.as_of, dict(facts.conf)) == ("r1", "manual", DAY, {})


def test_the_logical_date_is_the_moment_of_the_run() -> None:
    earlier = datetime(2026, 11, 20, tzinfo=UTC)
    assert run_facts(context(logical_date=earlier, conf={"mode": "live"})).as_of == earlier


def raising(error: Exception) -> Callable[[], None]:
    def execute(self: object, context: Any) -> None:
        raise error

    return lambda: plain_errors(execute)(object(), {})


@pytest.mark.parametrize("error", [AccountError("a"), ConfError("c"), SettingsError("s")])
def test_what_only_a_person_can_mend_is_not_tried_again(error: SkeneError) -> None:
    with pytest.raises(AirflowFailException, match=str(error)):
        raising(error)()


def test_other_errors_go_through_for_another_try() -> None:
    with pytest.raises(LedgerError):
        raising(LedgerError())()


def test_a_database_error_says_its_sqlstate_and_nothing_of_the_data(connect: Callable[[], Any]) -> None:
    def execute(self: object, context: Any) -> None:
        with connect() as session:
            session.execute("CREATE TEMP TABLE p (email text PRIMARY KEY)")
            session.execute("INSERT INTO p VALUES ('ada@example.com'), ('ada@example.com')")

    with pytest.raises(AirflowException) as caught:
        plain_errors(execute)(object(), {})
    said = "".join(traceback.format_exception(caught.value))
    assert "SQLSTATE 23505 (UniqueViolation)" in said
    assert "ada@example.com" not in said
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.__context__ is None


def test_the_words_for_a_lost_connection() -> None:
    with pytest.raises(AirflowException, match="SQLSTATE none"):
        raising(psycopg.OperationalError("server closed the connection"))()


def test_an_error_that_nobody_foresaw_names_its_kind_and_place_and_nothing_of_the_data() -> None:
    def execute(self: object, context: Any) -> None:
        address_of("Ada <ada@example.com")  # any mistake of ours with a row in its words

    with pytest.raises(AirflowException, match=r"Unexpected ValueError") as caught:
        plain_errors(execute)(object(), {})
    said = "".join(traceback.format_exception(caught.value))
    assert "report this line" in said
    assert "ada@example.com" not in str(caught.value)
    assert caught.value.__context__ is None
    assert not isinstance(caught.value, AirflowFailException)


def address_of(row: str) -> str:
    raise ValueError(f"cannot read {row}")


def test_airflows_own_ways_to_end_a_task_go_through() -> None:
    with pytest.raises(AirflowSkipException, match="nobody"):
        raising(AirflowSkipException("nobody"))()
