"""What people are told of a failed task, by e-mail: received by a small server here, as an SMTP relay would."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from dags.ips_tasks import StageFailed, guarded
from dags.notices import FailureNotice, failure_notices, told
from ips_pipeline.errors import RetryableError

VALUE = "9990000018"


class Relay(socketserver.StreamRequestHandler):
    """As much of SMTP as a relay without a login speaks."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            match line[:4].strip().upper():
                case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP":
                    self.wfile.write(b"250 ok\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    content = b""
                    while (line := self.rfile.readline()) != b".\r\n":
                        content += line
                    self.server.received.append(email.message_from_bytes(content))  # type: ignore[attr-defined]
                    self.wfile.write(b"250 ok\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"502 no\r\n")


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Message]]:
    """What arrives at the relay that the connection ``alerts`` names."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.received = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "ips@example.org"}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.server_address[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", json.dumps(connection))
        monkeypatch.setenv("IPS_NOTIFY_TO", "data-quality@example.org, on-call@example.org")
        monkeypatch.setenv("IPS_NOTIFY_CONNECTION", "alerts")
        yield server.received  # type: ignore[attr-defined]
        server.shutdown()


def context(error: BaseException | None) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="ips_provider_month", task_id="provider_month.validate", run_id="by-hand")
    task = SimpleNamespace(op_kwargs={"provider": "RXA", "period": "2026-08"})
    return {"ti": ti, "task": task, "params": {}, "exception": error, "dag": None}


def raised(body: Callable[[], None]) -> BaseException:
    with pytest.raises(Exception) as caught:
        guarded(body)()
    return caught.value


def rejected() -> None:
    from ips_pipeline.errors import SubmissionRejected

    raise SubmissionRejected("RXA 2026-08 would be rejected as a file (MHSREJ014); see findings.csv <here>")


def broken() -> None:
    raise ValueError(f"cannot convert {VALUE}")


def test_one_message_says_which_task_whose_month_what_and_what_next(received: list[Message]) -> None:
    (notice,) = failure_notices()
    notice(context(raised(rejected)))
    (message,) = received
    assert message["Subject"] == "Failed: ips_provider_month provider_month.validate RXA 2026-08"
    assert (message["From"], message["To"]) == ("ips@example.org", "data-quality@example.org, on-call@example.org")
    (part,) = [part for part in message.walk() if part.get_content_type() == "text/html"]
    body = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "Submission rejected: RXA 2026-08 would be rejected as a file (MHSREJ014); see findings.csv &lt;here&gt;" in body
    assert "Exit class: 13" in body
    assert "Next step: Have the provider correct its return" in body


def test_no_text_of_an_exception_that_is_not_ours_is_sent() -> None:
    for error in (ValueError(VALUE), raised(broken)):
        subject, lines = told(context(error))
        assert VALUE not in subject + "".join(lines)
        assert any("ValueError" in line for line in lines)


def test_what_each_class_of_failure_asks_for() -> None:
    assert "Next step: Every retry met" in "\n".join(told(context(RetryableError("The disk is full")))[1])
    assert "Next step: Correct the setting" in "\n".join(told(context(StageFailed("Usage error: no site", 2)))[1])
    # The DAG processor tells of a task whose worker was killed; nothing was raised then.
    assert "Failure: the worker was lost" in told(context(None))[1]


def test_nobody_is_written_to_unless_the_site_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IPS_NOTIFY_TO", raising=False)
    assert failure_notices() == []
    monkeypatch.setenv("IPS_NOTIFY_TO", "a@example.org")
    (notice,) = failure_notices()
    assert isinstance(notice, FailureNotice)
    assert notice.to == ["a@example.org"]
