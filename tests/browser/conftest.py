"""A real headless Chromium, spoken to over its own protocol, and the preview served to it from a process of its own."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import connect

NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
RUN = "import sys; from skene_airflow.cli import main; sys.exit(main())"
PATIENCE = 60.0
"""Seconds that anything may take before a test gives up waiting for it."""


def until(what: Callable[[], Any], said: str) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE:.0f} seconds for {said}")


class Page:
    """One tab: goes to addresses, runs JavaScript, and takes pictures."""

    def __init__(self, address: str) -> None:
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(connect(address, max_size=None))
        self._numbers = itertools.count(1)
        for domain in ("Page", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer: dict[str, Any] = json.loads(self._socket.recv(timeout=PATIENCE))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def run(self, script: str) -> Any:
        """The value of an expression in the page; None while the page is changing."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value") if "exceptionDetails" not in answer else None

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def go(self, url: str) -> None:
        """Open an address and wait until it and its frames are there."""
        self.call("Page.navigate", url=url)
        until(lambda: self.run(f"location.href === {json.dumps(url)} && document.readyState === 'complete'"), url)
        frames = "[...document.querySelectorAll('iframe')].every(f => f.contentDocument?.readyState === 'complete')"
        until(lambda: self.run(frames), "the frames")

    def picture(self, path: Path) -> bytes:
        taken = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(taken)
        return taken

    def close(self) -> None:
        self._stack.close()


class Browser:
    """A Chromium with a profile of its own, gone afterwards."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="skene_chromium")
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-port=0",
            f"--user-data-dir={self._profile}", "about:blank",
        ]  # fmt: skip
        # Debian's program is a script that starts the browser: both end as one group.
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        told = Path(self._profile) / "DevToolsActivePort"
        lines = until(
            lambda: told.is_file() and told.read_text().split("\n")[1:] and told.read_text().split("\n"), "it"
        )
        self._port = int(lines[0])

    def page(self) -> Page:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return Page(json.load(answer)["webSocketDebuggerUrl"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(PATIENCE)
        shutil.rmtree(self._profile, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, if this machine has one; continuous integration must have one."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None and os.environ.get("CI"):
        pytest.fail("there is no Chromium: `make browser` installs one where it may")
    if program is None:
        pytest.skip("there is no Chromium on this machine: install Debian's chromium-headless-shell, or Chrome")
    with Browser(program) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.page()
    yield opened
    opened.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts the preview (or another verb that serves) as a person would, and returns its address."""
    started: list[subprocess.Popen[str]] = []
    names = ("PATH", "HOME", "LANG", "SSL_CERT_FILE")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__SKENE__BASE_URL": "https://acme.example/skene",
        "AIRFLOW__SKENE__SECRET_KEY": "a long random text",
        "AIRFLOW__SKENE__POSTAL_ADDRESS": "Acme Inc., 1 Example Street",
        "AIRFLOW__SKENE__FROM_EMAIL": "Acme <hello@acme.example>",
    }

    def start(loops: Path, *more: str, verb: str = "preview") -> str:
        command = [sys.executable, "-c", RUN, verb, "--loops", str(loops), "--port", "0", *more]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
        )
        started.append(process)
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        return found.group()

    yield start
    for process in started:
        process.terminate()
        process.wait(PATIENCE)
        if process.stdout:
            process.stdout.close()


ROOT = Path(__file__).resolve().parents[2]
