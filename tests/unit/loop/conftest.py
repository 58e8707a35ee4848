"""Loop files on disk: the reference loop, verbatim, and a way to write any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from skene_airflow.errors import LoopError
from skene_airflow.loop.load import load_loop
from skene_airflow.loop.schema import Loop

REFERENCE = """\
# loops/re_engagement.yaml
type: retention
opinion: Detect dormant users and trigger personalized re-engagement campaigns
steps:
  - trigger:
      type: schedule
      cron: "0 9 * * *"        # Daily at 9 AM
    condition:
      type: query
      query: SELECT * FROM users WHERE last_activity_at < NOW() - INTERVAL '7 days' AND re_engagement_sent = false
      timeout: 10m
    action:
      type: email
      provider: resend
      template: re_engagement
      personalization:
        name: "{{user.name}}"
        lastActivity: "{{user.last_activity_at}}"
recovery:
  retries: 3
  backoff: exponential
"""


class LoopRoom:
    """A loops folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, content: str | bytes, name: str = "re_engagement.yaml") -> Loop | LoopError:
        return load_loop(self.write(name, content), root=self.root)

    def good(self, content: str | bytes, name: str = "re_engagement.yaml") -> Loop:
        result = self.load(content, name)
        assert isinstance(result, Loop), str(result)
        return result

    def bad(self, content: str | bytes, name: str = "re_engagement.yaml") -> LoopError:
        result = self.load(content, name)
        assert isinstance(result, LoopError)
        return result


@pytest.fixture
def room(tmp_path: Path) -> LoopRoom:
    return LoopRoom(tmp_path / "loops")


@pytest.fixture
def reference() -> str:
    return REFERENCE


@pytest.fixture
def changed() -> Callable[[str, str], str]:
    """The reference loop with one piece of it replaced."""

    def change(old: str, new: str) -> str:
        assert REFERENCE.count(old) == 1, old
        return REFERENCE.replace(old, new)

    return change
