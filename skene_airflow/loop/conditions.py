"""Who: the condition of a step, what it waits for, and its segments."""

from datetime import timedelta
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from skene_airflow.loop.actions import SegmentAction
from skene_airflow.loop.fields import SOME, Column, Duration, Name, Sql, duration
from skene_airflow.loop.model import TAG, Model, by_type


def _query(value: Any) -> Any:
    return {"type": "query", "query": value} if isinstance(value, str) else value


class QueryCondition(Model):
    """The people of a SQL query."""

    type: Literal["query"] = Field(description="Asks the source database.")
    query: Sql = Field(
        description="One SELECT. Its rows are the candidates. The one parameter is :as_of, the time the run is for.",
        examples=["SELECT * FROM users WHERE last_activity_at < :as_of - interval '7 days'"],
    )
    timeout: Duration = Field(default=timedelta(minutes=10), description="The longest the query may run.")


class GraphqlCondition(Model):
    """The people of a GraphQL query to a Hasura endpoint."""

    type: Literal["graphql"] = Field(description="Asks a Hasura endpoint.")
    query: Sql = Field(description="The GraphQL document.")
    path: str | None = Field(default=None, description="Where in the answer the list of people is.")
    variables: dict[str, Any] = Field(default_factory=dict, description="The variables of the document.")
    timeout: Duration = Field(default=timedelta(minutes=10), description="The longest the query may run.")


Condition: TypeAlias = Annotated[
    Annotated[QueryCondition, Tag(f"{TAG}query")] | Annotated[GraphqlCondition, Tag(f"{TAG}graphql")],
    Discriminator(by_type()),
    BeforeValidator(_query, json_schema_input_type=Sql | QueryCondition | GraphqlCondition),
]


class Ready(Model):
    """Waits until a query answers true."""

    query: Sql = Field(description="One SELECT of one boolean.")
    timeout: Duration = Field(default=timedelta(minutes=30), description="The longest to wait.")


class Segment(Model):
    """One named rule over the candidates."""

    name: Name = Field(description="The segment's name.")
    when: Sql | None = Field(default=None, description="A SQL boolean over the query's columns; absent: the rest.")
    action: SegmentAction | None = Field(default=None, description="What this segment gets instead.")


def _band(value: Any) -> Any:
    return value if value == "rest" else duration(value)


Band: TypeAlias = Annotated[
    timedelta | Literal["rest"], PlainValidator(_band), WithJsonSchema({"type": "string", "examples": ["7d", "rest"]})
]


class Bands(Model):
    """Segments by the age of a timestamp."""

    by: Column = Field(description="A timestamp column of the query.")
    bands: Annotated[dict[Name, Band], SOME] = Field(description="The greatest age of each segment; rest: all others.")


def _shape(value: Any) -> str:
    return f"{TAG}bands" if isinstance(value, dict | Bands) else f"{TAG}rules"


Segments: TypeAlias = Annotated[
    Annotated[Annotated[tuple[Segment, ...], SOME], Tag(f"{TAG}rules")] | Annotated[Bands, Tag(f"{TAG}bands")],
    Discriminator(_shape),
]
