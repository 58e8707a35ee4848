"""The server for development, judged by the official SDK, its webhook check, and a client that means harm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import resend

from skene_airflow.testing import FAULTS, Webhook
from skene_airflow.testing.esp import Esp
from skene_airflow.testing.resend_events import fate, new_secret

HEADERS = {"Authorization": "Bearer re_x", "User-Agent": "test"}
HOSTILE = "</iframe><script>fetch('/')</script><img src=x onerror=alert(1)>\""


def mail(to: str = "user1@example.com", **changes: Any) -> dict[str, Any]:
    usual = {"from": "Ada <ada@acme.example>", "to": [to], "subject": "Hi", "html": "<p>Hi</p>", "text": "Hi"}
    return usual | {"tags": [{"name": "sk_delivery", "value": "7"}], "headers": {"X-One": "1"}} | changes


def post(esp: Esp, body: object, key: str | None = None, path: str = "/emails") -> httpx.Response:
    return httpx.post(esp.url + path, json=body, headers=HEADERS | ({"Idempotency-Key": key} if key else {}))


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; the first ``failures`` of them get 500."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.failures, self.calls = failures, list[tuple[dict[str, str], str]]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Take(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(500 if len(self.server.calls) <= self.server.failures else 204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def esp() -> Iterator[Esp]:
    with Esp(rate=None) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(failures=2) as running:
        yield running
        running.shutdown()


def test_the_sdk_sends_and_finds_a_mail(esp: Esp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "api_url", esp.url)
    monkeypatch.setattr(resend, "api_key", "re_x")
    sent: Any = resend.Emails.send({name: value for name, value in mail().items() if name != "html"})  # type: ignore[arg-type]
    found: Any = resend.Emails.get(sent["id"])
    assert (found["to"], found["last_event"], found["bcc"], found["text"]) == (
        ["user1@example.com"],
        "delivered",
        [],
        "Hi",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["created_at"])


@pytest.mark.parametrize(
    ("to", "ends"),
    [
        ("delivered@resend.dev", "delivered"),
        ("Bo <bounced+label@resend.dev>", "bounced"),
        ("complained@RESEND.dev", "complained"),
        ("suppressed@resend.dev", "suppressed"),
        ("suppressed+label@resend.dev", "delivered"),
        ("bounced@example.com", "delivered"),
        ("nobody@resend.dev", "delivered"),
    ],
)
def test_the_address_says_what_becomes_of_a_mail(to: str, ends: str) -> None:
    assert fate(to)[-1] == ends


def test_the_sdk_verifies_every_webhook_and_retries_keep_their_id(receiver: Receiver) -> None:
    hook = Webhook(receiver.url, new_secret())
    with Esp(rate=None, webhook=hook) as esp:
        # The first two calls fail; they come again, in whatever order.
        post(esp, [mail("bounced+1@resend.dev"), mail("suppressed@resend.dev")], path="/emails/batch")
        until(lambda: len(receiver.calls) == 5)
        ids = [row.id for row in esp.server.accepted]
    payloads = []
    for headers, body in receiver.calls:
        names = {name: headers[f"svix-{name}"] for name in ("id", "timestamp", "signature")}
        check: Any = {"payload": body, "headers": names, "webhook_secret": hook.secret}
        payloads.append(resend.Webhooks.verify(check))
        with pytest.raises(ValueError, match="signature"):
            resend.Webhooks.verify(check | {"payload": body + " "})
    assert all(count in {1, 2} for count in Counter(headers["svix-id"] for headers, _ in receiver.calls).values())
    assert len({headers["svix-id"] for headers, _ in receiver.calls}) == 3
    told: dict[str, Any] = {payload["type"]: payload["data"] for payload in payloads}
    assert set(told) == {"email.sent", "email.bounced", "email.suppressed"}
    assert told["email.bounced"]["email_id"] == ids[0]
    assert told["email.bounced"]["bounce"]["type"] == "Permanent"
    assert told["email.bounced"]["tags"] == {"sk_delivery": "7"}
    assert told["email.suppressed"]["email_id"] == ids[1]


@pytest.mark.parametrize("hook", [("ftp://x", new_secret()), ("http://", new_secret()), ("http://x", "whsec_!")])
def test_a_webhook_that_cannot_be(hook: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="webhook"):
        Webhook(*hook)


def test_mails_and_keys_survive_a_restart_and_a_torn_line(tmp_path: Path) -> None:
    with Esp(rate=None, data=tmp_path / "esp") as esp:
        first = post(esp, mail(), "k").json()
    with (tmp_path / "esp" / "calls.jsonl").open("a") as file:
        file.write('{"at": 1, "mails": [["x", {')
    with Esp(rate=None, data=tmp_path / "esp") as esp:
        assert post(esp, mail(), "k").json() == first
        assert post(esp, mail(subject="Other"), "k").status_code == 409
        post(esp, mail("two@example.com"))
    with Esp(rate=None, data=tmp_path / "esp") as esp:
        assert [row.to for row in esp.server.accepted] == ["user1@example.com", "two@example.com"]
        assert first["id"] in httpx.get(esp.url).text


def test_the_rate_is_resends(esp: Esp) -> None:
    with Esp() as limited:
        answers = [post(limited, mail()) for _ in range(25)]
    assert answers[0].headers["ratelimit-limit"] == "10"
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.headers["retry-after"] for answer in refused)
    assert "ratelimit-limit" not in post(esp, mail()).headers


def test_faults_on_demand(esp: Esp) -> None:
    def plan(**body: object) -> httpx.Response:
        return httpx.post(esp.url + "/_faults", json=body)

    assert plan(fault="rate_limit", times=2).json() == {"planned": ["rate_limit"] * 2, "shares": {}}
    assert [post(esp, mail()).status_code for _ in range(3)] == [429, 429, 200]
    plan(fault="error_after")
    assert post(esp, mail(), "k").status_code == 500
    assert post(esp, mail(), "k").status_code == 200
    assert len(esp.server.accepted) == 2
    plan(fault="quota", times=5)
    assert httpx.delete(esp.url + "/_faults").json()["planned"] == []
    for bad in ({}, {"fault": "gone"}, {"fault": "quota", "times": -1}, {"fault": ["quota"]}):
        assert plan(**bad).status_code == 400
    assert httpx.post(esp.url + "/_faults", content=b"{").status_code == 400


def test_faults_for_a_share_of_the_calls() -> None:
    with Esp(rate=None, faults={"quota": 0.5, "unavailable": 0.5}) as esp:
        assert {post(esp, mail()).status_code for _ in range(60)} == {429, 503}


def test_the_page_shows_mails_and_finds_them(esp: Esp) -> None:
    assert "No mail yet" in httpx.get(esp.url).text
    one = post(esp, mail("ada@example.com", subject="Engines"), "key-1").json()["id"]
    post(esp, mail("grace@example.com", subject="Compilers"))
    listed = httpx.get(esp.url).text
    assert "2 taken" in listed
    assert listed.index("Compilers") < listed.index("Engines"), "the newest first"
    found = httpx.get(esp.url, params={"q": "ADA@"}).text
    assert "Engines" in found
    assert "Compilers" not in found
    shown = httpx.get(f"{esp.url}/mails/{one}").text
    for text in ("Engines", "Ada &lt;ada@acme.example&gt;", "sk_delivery=7", "key-1", "delivered"):
        assert text in shown
    assert "<pre>Hi</pre>" in httpx.get(f"{esp.url}/mails/{one}/text").text
    assert "X-One: 1" in httpx.get(f"{esp.url}/mails/{one}/headers").text
    assert "&#34;subject&#34;: &#34;Engines&#34;" in httpx.get(f"{esp.url}/mails/{one}/source").text
    assert httpx.get(f"{esp.url}/mails/{'0' * 36}").status_code == 404
    assert httpx.post(f"{esp.url}/mails/{one}").status_code == 405
    assert httpx.get(f"{esp.url}/mails/../../etc/passwd", headers=HEADERS).status_code == 404


def test_hostile_mail_is_text_on_the_page_and_caged_in_its_frame(esp: Esp) -> None:
    hostile = mail("x@example.com", subject=HOSTILE, html=HOSTILE, text=HOSTILE, headers={"X": HOSTILE})
    one = post(esp, hostile).json()["id"]
    for path in ("/", f"/mails/{one}", *(f"/mails/{one}/{view}" for view in ("html", "text", "headers", "source"))):
        answer = httpx.get(esp.url + path, params={"q": "</script>"} if path != "/" else None)
        assert not re.search(r"<script|onerror=alert\(1\)>|<img", answer.text.replace("&lt;", "‹")), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
    assert "<iframe sandbox title" in httpx.get(f"{esp.url}/mails/{one}/html").text
    body = httpx.get(f"{esp.url}/mails/{one}/body")
    assert body.text == HOSTILE
    directives = body.headers["content-security-policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'"} <= set(directives)
    assert body.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Host": "127.0.0.1.evil.example:80"}]
)
def test_other_websites_read_and_plan_nothing(esp: Esp, headers: dict[str, str]) -> None:
    post(esp, mail(subject="Secret"))
    for method, path in (("GET", "/"), ("POST", "/_faults"), ("GET", f"/mails/{esp.server.accepted[0].id}/body")):
        answer = httpx.request(method, esp.url + path, headers=headers, content=b'{"fault": "quota"}')
        assert answer.status_code == 403
        assert "Secret" not in answer.text


def test_every_name_reads_as_local(esp: Esp) -> None:
    port = esp.url.rpartition(":")[2]
    assert httpx.get(esp.url, headers={"Host": f"localhost:{port}"}).status_code == 200


def start(*words: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from skene_airflow.cli import main; raise SystemExit(main())", "esp", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while not lines[-1].startswith("export "):
        assert lines[-1], lines
        lines.append(process.stdout.readline())
    return process, "".join(lines)


def test_the_verb_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    process, said = start("--port", "0", "--data", str(tmp_path), "--webhook", "http://127.0.0.1:9/h")
    try:
        connection = json.loads(re.search(r"RESEND_DEFAULT='(.*)'", said)[1])  # type: ignore[index]
        assert connection["extra"]["webhook_secret"].startswith("whsec_")
        url = connection["host"]
        assert url in said
        assert httpx.post(url + "/emails", json=mail(), headers=HEADERS).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "calls.jsonl").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--port", "70000"],
        ["--fault", "gone"],
        ["--fault", "quota=2"],
        ["--webhook", "ftp://x"],
        ["--webhook", "http://x", "--webhook-secret", "secret!"],
    ],
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from skene_airflow.cli import main

    try:
        code = main(["esp", "--port", "0", *words])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2
    assert capsys.readouterr().err


def test_a_taken_port_is_2(esp: Esp, capsys: pytest.CaptureFixture[str]) -> None:
    from skene_airflow.cli import main

    assert main(["esp", "--port", esp.url.rpartition(":")[2]]) == 2
    assert "--port" in capsys.readouterr().err


def test_every_fault_has_a_name_for_the_command() -> None:
    from skene_airflow.cli.esp import _fault

    assert [_fault(name) for name in FAULTS] == [(name, 1.0) for name in FAULTS]
