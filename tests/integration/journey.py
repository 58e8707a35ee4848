"""A loop of several steps whose mails can be made to lie back in time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from skene_airflow.channels import Channel
from skene_airflow.loop.schema import Loop
from skene_airflow.stages.job import Job
from skene_airflow.stages.report import RunReport
from skene_airflow.testing import ResendServer
from tests.integration.shop import Shop

LOOP = """\
type: adoption
opinion: One thing after another
{keys}
action: {{type: email}}
steps:
  - id: first
    trigger: {{type: manual}}
    condition: SELECT * FROM users ORDER BY id
    action: {{template: re_engagement, personalization: {{name: first, lastActivity: y}}}}
  - id: second
    trigger: {{type: after, {after}}}
    {condition}
    action: {{template: re_engagement, personalization: {{name: second, lastActivity: y}}}}
"""


class Journey:
    """The loop of two steps, and what becomes of people as the days go by."""

    def __init__(self, shop: Shop, channel: Channel, server: ResendServer) -> None:
        self.shop, self.channel, self.server = shop, channel, server
        self.write()

    def write(self, keys: str = "", after: str = "wait: 7d", condition: str = "", text: str = LOOP) -> Loop:
        said = f"condition: {condition}" if condition else ""
        self.loop = self.shop.loop(text.format(keys=keys, after=after, condition=said), "journey")
        return self.loop

    def job(self, step: int, **facts: Any) -> Job:
        return replace(self.shop.job(loop=self.loop, **facts), step=self.loop.steps[step])

    def first(self, **facts: Any) -> RunReport:
        return self.shop.run(self.channel, self.job(0, **facts))

    def second(self, **facts: Any) -> RunReport:
        return self.shop.run(self.channel, self.job(1, **facts))

    def days_pass(self, days: float) -> None:
        """Everything that was sent so far was sent so many days before."""
        self.shop.sql(
            "UPDATE skene.deliveries SET queued_at = queued_at - %s * interval '1 day',"
            " sent_at = sent_at - %s * interval '1 day'",
            days,
            days,
        )

    def seconds(self) -> Counter[str]:
        """Who got the second mail, how often."""
        return Counter(mail.to for mail in self.server.accepted if "/second/" in mail.idem_key)


@pytest.fixture
def journey(shop: Shop, resend: Channel, server: ResendServer) -> Journey:
    return Journey(shop, resend, server)


def skips(outcome: RunReport) -> dict[str, int]:
    return dict(outcome.verdicts["skip"])
