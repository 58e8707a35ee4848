"""A loop on disk with one template, and the mail it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skene_airflow.errors import LoopError
from skene_airflow.loop.load import load_loop
from skene_airflow.message.blueprint import Blueprint
from skene_airflow.message.links import Signer
from skene_airflow.message.render import Renderer, Row, Site
from skene_airflow.message.template import check_templates, compile_blueprint
from skene_airflow.nouns import Fault, Message

YAML = """\
type: retention
opinion: People who left come back when somebody writes to them
{extra}steps:
  - trigger: {{type: schedule, cron: "0 9 * * *"}}
    condition: SELECT * FROM users
    action:
      type: email
      template: {template}
{action}{personalization}"""
SITE = Site(
    "https://mail.acme.example/skene/", "Acme, 1 Main Road", Signer(("a long secret",)), "Acme <hi@acme.example>"
)


@dataclass
class Desk:
    """Writes templates and renders them."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / "loops" / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def loop(
        self,
        personalization: Mapping[str, str] | None = None,
        template: str = "mail",
        extra: str = "",
        action: str = "",
    ) -> Any:
        lines = "".join(f"        {key}: {value}\n" for key, value in (personalization or {}).items())
        text = YAML.format(
            template=template,
            extra=extra,
            action=action,
            personalization=f"      personalization:\n{lines}" * bool(lines),
        )
        path = self.folder / "loops" / "hello.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        loop = load_loop(path)
        if isinstance(loop, LoopError):
            raise loop
        return loop

    def compile(self, body: str, *, subject: str = "Hello", name: str = "mail.html", **rest: Any) -> Blueprint:
        self.write(name, f"---\nsubject: {subject}\n---\n{body}")
        loop = self.loop(**rest)
        return compile_blueprint(loop, loop.steps[0])

    def faults(self, body: str, *, subject: str = "Hello", name: str = "mail.html", **rest: Any) -> list[Fault]:
        self.write(name, f"---\nsubject: {subject}\n---\n{body}")
        return check_templates(self.loop(**rest))

    def codes(self, body: str, **rest: Any) -> list[str]:
        return [fault.code for fault in self.faults(body, **rest)]

    def render(self, body: str, user: Mapping[str, Any] | None = None, *, site: Site = SITE, **rest: Any) -> Message:
        row = {key: rest.pop(key) for key in ("timezone", "locale", "as_of", "address", "variant") if key in rest}
        return Renderer(self.compile(body, **rest), site).render(person(user or {}, **row))


def person(user: Mapping[str, Any], **rest: Any) -> Row:
    """Return one delivery to somebody."""
    values: dict[str, Any] = {
        "delivery_id": 7, "loop_id": "hello", "step_id": "main", "user_key": "42", "entry_key": "", "user": user,
        "address": "ada@example.com", **rest,
    }  # fmt: skip
    return Row(**values)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


Render = Callable[..., Message]
