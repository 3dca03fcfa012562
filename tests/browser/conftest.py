"""A headless Chromium on the end of two pipes: no driver, no port, no network. Tests are skipped where there is none."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_LAUNCH = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"


@dataclass
class View:
    """A page as Chromium laid it out: what it asked for, what it complained about, what a script read off it, and its picture."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    facts: Any = None
    picture: bytes = b""


class Chromium:
    """Speaks the DevTools protocol over file descriptors 3 and 4 of the browser."""

    def __init__(self, program: str, profile: Path) -> None:
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        # Above the two numbers that the browser expects, so that neither is overwritten before it is used.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (command_read, answer_write)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *map(str, theirs), program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=theirs,
        )
        for end in (*theirs, command_read, answer_write):
            os.close(end)
        self._commands = os.fdopen(command_write, "wb", buffering=0)
        self._answers = os.fdopen(answer_read, "rb", buffering=0)
        self._rest = b""
        self._number = 0

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._commands.close()
        self._answers.close()

    def look(self, page: Path, width: int, *, script: str = "null", picture: bool = False) -> View:
        """Open a page at a width in CSS pixels, run a script on it for its value, and close it."""
        view = View()
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._ask(f"{domain}.enable", {}, session)
        self._ask("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, session)
        self._number += 1
        self._send(self._number, "Page.navigate", {"url": page.resolve().as_uri()}, session)
        while (message := self._next()).get("method") != "Page.loadEventFired":
            _note(view, message)
        expression = {"expression": f"({script})", "returnByValue": True, "awaitPromise": True}
        view.facts = self._ask("Runtime.evaluate", expression, session, view)["result"].get("value")
        if picture:
            tall = self._ask("Page.getLayoutMetrics", {}, session, view)["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": width, "height": tall["height"], "scale": 1}
            shot = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}, session, view)
            view.picture = b64decode(shot["data"])
        self._ask("Target.closeTarget", {"targetId": target})
        return view

    def printed(self, page: Path) -> int:
        """How many sheets of paper a page takes, in the size that it asks for."""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._ask("Page.enable", {}, session)
        self._number += 1
        self._send(self._number, "Page.navigate", {"url": page.resolve().as_uri()}, session)
        while self._next().get("method") != "Page.loadEventFired":
            pass
        paper = b64decode(self._ask("Page.printToPDF", {"preferCSSPageSize": True}, session)["data"])
        self._ask("Target.closeTarget", {"targetId": target})
        return len(re.findall(rb"/Type\s*/Page\b", paper))

    def _ask(self, method: str, parameters: dict[str, Any], session: str | None = None, view: View | None = None) -> dict[str, Any]:
        self._number += 1
        number = self._number
        self._send(number, method, parameters, session)
        while (message := self._next()).get("id") != number:
            if view is not None:
                _note(view, message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def _send(self, number: int, method: str, parameters: dict[str, Any], session: str | None) -> None:
        command = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        self._commands.write(json.dumps(command).encode() + b"\0")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (more := self._answers.read(1 << 20)):
                raise RuntimeError("Chromium ended before it answered")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


def _note(view: View, message: dict[str, Any]) -> None:
    """Keep what the page asked for and what it complained about."""
    parameters = message.get("params", {})
    match message.get("method"):
        case "Network.requestWillBeSent":
            view.requests.append(parameters["request"]["url"])
        case "Log.entryAdded":
            view.complaints.append(parameters["entry"]["text"])
        case "Runtime.consoleAPICalled":
            view.complaints.append(parameters["type"])
        case "Runtime.exceptionThrown":
            view.complaints.append(parameters["exceptionDetails"]["text"])


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser for the whole run."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on the PATH; install the package chromium to look at the pages in a browser")
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
