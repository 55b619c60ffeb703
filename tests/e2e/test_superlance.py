"""superlance's tools, as they come from PyPI, on queuepool: memmon, httpok, crashmail and fatalmailbatch."""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.daemon import Queuepool
from tests.support.supervisor import superlance_python
from tests.support.wait import eventually

HUNGRY = "import sys, time; food = b'x' * (90 << 20); time.sleep(600)"


class _Smtp(socketserver.StreamRequestHandler):
    """Takes a mail and keeps it in server.mails."""

    def handle(self) -> None:
        self.wfile.write(b"220 hello\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


class _Sick(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def mails() -> Iterator[tuple[str, list[str]]]:
    """An SMTP server: its address, and the mails it got."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", server.mails  # type: ignore[attr-defined]
        server.shutdown()


@pytest.fixture(scope="module")
def sick() -> Iterator[str]:
    """A page that always fails."""
    with HTTPServer(("127.0.0.1", 0), _Sick) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def qp(tmp_path_factory: pytest.TempPathFactory, mails: tuple[str, list[str]], sick: str) -> Iterator[Queuepool]:
    python = superlance_python()
    if python is None:
        pytest.skip("superlance cannot be installed")
    tmp = tmp_path_factory.mktemp("superlance")
    sendmail = tmp / "sendmail"
    sendmail.write_text(f"#!/bin/sh\ncat >> {tmp}/mail\n")
    sendmail.chmod(0o755)
    listeners = {
        "memmon": ("TICK_5", f"-g shop=80MB -m ops@example.org -s {sendmail}"),
        "httpok": ("TICK_5", f"-p web -t 1 {sick}"),
        "crashmail": ("PROCESS_STATE_EXITED", f"-p shop:crash -m ops@example.org -s {sendmail} -o here"),
        "fatalmailbatch": (
            "PROCESS_STATE_FATAL, TICK_5", f"-t ops@example.org -f me@example.org -i 0.01 -e TICK_5 -H {mails[0]}"
        ),
    }  # fmt: skip
    text = "programs:\n"
    for name, (events, options) in listeners.items():
        command = f"{python} -m superlance.{name} {options}"
        text += f"  {name}: {{type: eventlistener, command: {command!r}, events: [{events}], buffer_size: 100}}\n"
    text += f"""
  hungry: {{command: [{sys.executable}, -c, "{HUNGRY}"]}}
  modest: {{command: sleep 600}}
  web: {{command: sleep 600}}
  crash: {{command: "sh -c 'sleep 2; exit 3'", autorestart: false, autostart: false}}
  fatal: {{command: "sh -c 'exit 1'", startretries: 0, fatal_retry: never, autostart: false}}
groups:
  shop: [hungry, modest, crash]
"""
    with Queuepool(tmp, text) as qp:
        qp.up()
        for name in (*listeners, "modest"):
            qp.running(name, 1)
        yield qp


def mail(qp: Queuepool) -> str:
    file = qp.directory / "mail"
    return file.read_text() if file.exists() else ""


def starts(qp: Queuepool, name: str) -> int:
    return sum(f"event=started process={name}:0" in line for line in qp.journal().splitlines())


def test_each_of_them_does_its_work(qp: Queuepool, mails: tuple[str, list[str]]) -> None:
    qp.try_("start", "crash", "fatal")
    eventually(lambda: "Process crash in group shop exited unexpectedly" in mail(qp), 30, "crashmail", show=qp.story)
    assert "from state RUNNING" in mail(qp)
    assert "Subject: here: crash crashed at" in mail(qp)
    failed = "fatal:fatal failed to start too many times"
    eventually(lambda: any(failed in one for one in mails[1]), 30, "fatalmailbatch", show=qp.story)
    eventually(lambda: "memmon.py restarted the process named shop:hungry" in mail(qp), 30, "memmon", show=qp.story)
    log = qp.directory / "logs" / "httpok.err.log"
    eventually(lambda: log.exists() and "web restarted" in log.read_text(), 30, "httpok", show=qp.story)
    assert starts(qp, "hungry") > 1
    assert starts(qp, "web") > 1
    assert starts(qp, "modest") == 1
    for name in ("memmon", "httpok", "crashmail", "fatalmailbatch"):
        assert starts(qp, name) == 1
        assert qp.state(f"{name}:0", "RUNNING")["reason"] == ""
