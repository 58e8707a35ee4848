"""Our path, stage by stage as Airflow's tasks call it, and its ceiling: the same mails without a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.rows import dict_row

from bench.world import QUERY, SETTINGS
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.links import Signer
from skene_airflow.message.render import Renderer, Row, Site
from skene_airflow.message.template import compile_blueprint
from skene_airflow.stages.evaluate import evaluate
from skene_airflow.stages.segment import segment
from skene_airflow.stages.send import Sender

if TYPE_CHECKING:
    from bench.world import Place


def decide(place: Place) -> int:
    """`evaluate` and `segment`; returns how many people were claimed."""
    job = place.job()
    with place.channel() as channel:
        evaluate(job)
        judged = segment(job, channel)
    job.ledger.close()
    return int(judged.verdicts["send"])


def stage(place: Place) -> int:
    """`evaluate` alone; returns how many rows were staged."""
    job = place.job()
    staged = evaluate(job)
    job.ledger.close()
    return staged.rows


def judge(place: Place) -> int:
    """`segment` alone; returns over how many tasks `send` is mapped."""
    job = place.job()
    with place.channel() as channel:
        judged = segment(job, channel)
    job.ledger.close()
    return len(judged.shards)


def send_shard(place: Place, shard: int) -> int:
    """`send` for one shard; returns how many were sent."""
    job = place.job()
    with place.channel() as channel:
        done = Sender(job, shard, channel).run()
    job.ledger.close()
    return done.sent


def ceiling(place: Place) -> int:
    """Render with our renderer, POST with our client, remember nothing; returns how many."""
    job = place.job()
    loop, step = job.loop, job.step
    blueprint = Blueprint.from_json(compile_blueprint(loop, step).to_json())
    site = Site(SETTINGS.base_url, SETTINGS.postal_address, Signer(SETTINGS.secret_keys), SETTINGS.from_email)
    renderer = Renderer(blueprint, site)
    sent = 0
    with place.channel() as channel, place.connect() as conn, conn.cursor(row_factory=dict_row) as cur:
        cur.execute(QUERY)
        while people := cur.fetchmany(100):
            messages = [
                renderer.render(
                    Row(
                        delivery_id=person["id"], loop_id=loop.id, step_id=step.id, user_key=str(person["id"]),
                        entry_key="", address=person["email"], user=person, timezone=person["timezone"],
                        locale=person["locale"], as_of=job.run.as_of,
                    )
                )
                for person in people
            ]  # fmt: skip
            result = channel.send(channel.freeze(messages), f"bench/{place.run_id}/{sent}")
            sent += len(result.message_ids)
    return sent
