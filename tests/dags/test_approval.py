"""`guard.approve_above` through `airflow dags test`, where nobody can answer."""

from __future__ import annotations

import pytest

from tests.dags.deployment import DORMANT, Deployment

pytestmark = pytest.mark.timeout(240)


def test_it_is_held_says_what_would_let_it_pass_and_that_lets_it_pass(deployment: Deployment) -> None:
    loop = deployment.loops / "re_engagement.yaml"
    loop.write_text(loop.read_text() + "\nguard: {approve_above: 3}\n")
    held = deployment.run("re_engagement", {"mode": "live"})
    assert held.returncode == 1
    assert 'conf {"mode": "live", "release": ["approve_above"]}' in held.stdout
    assert deployment.recipients() == []
    states = deployment.states("re_engagement")
    assert (states["run"], states["segment"], states["approve"]) == ("failed", "failed", "upstream_failed")
    released = deployment.run("re_engagement", {"mode": "live", "release": ["approve_above"]})
    assert released.returncode == 0, released.stdout
    assert deployment.recipients() == sorted(address for _, address, _ in DORMANT)
    states = deployment.states("re_engagement")
    assert (states["run"], states["approve"], states["send[0]"]) == ("success", "success", "success")
