"""`http:` of a real daemon: the clients of Supervisor, the command of another machine, and what may go wrong with the
listener without the workers noticing. Who is kept out is tests/control/test_web.py's matter."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from queuepool.domain.access import ONLY_READS
from tests.control.test_web import certificate
from tests.support.daemon import Queuepool
from tests.support.ports import free_port
from tests.support.supervisord import VERSIONS, bin_of, ctl_command, environment
from tests.support.wait import eventually
from tests.support.worker import worker_argv

TOKEN = "0123456789abcdef" * 3


def text(http: str, workers: int = 2) -> str:
    command = json.dumps([*worker_argv()[:1], "text=hello", "lines=3", "life=600"])
    return f"""\
http: {http}
programs:
  w: {{command: {command}, numprocs: {workers}, startsecs: 0, stdout_logfile: w.log}}
"""


def section(port: int, more: str = "") -> str:
    return (
        f'{{listen: "127.0.0.1:{port}", username: ann, password: "${{SECRET}}", users: {{bob: {{password: looks}}}}, '
        f"tokens: {{ci: {{token: {TOKEN}, role: operator}}}}{more}}}"
    )


class Remote:
    """The command `queuepool` of another machine, which has no file."""

    def __init__(self, url: str, token: str = TOKEN, **more: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUEPOOL_")}
        self.environment = {**kept, "QUEUEPOOL_HOST": url, "QUEUEPOOL_TOKEN": token, **more}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "queuepool", *words],
            env=self.environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip


@pytest.fixture(scope="module")
def qp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queuepool]:
    """One daemon, whose `port` the tests ask for and whose workers none of them may disturb for long."""
    port = free_port()
    with Queuepool(tmp_path_factory.mktemp("http"), text(section(port)), SECRET="right-password") as made:
        made.up()
        made.running("w", 2)
        eventually(lambda: "event=listening" in made.journal(), 60, "it listens")
        made.port = port  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def url(qp: Queuepool) -> str:
    return f"http://127.0.0.1:{qp.port}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", VERSIONS)
def test_supervisorctl_of_both_versions_works_with_a_name_and_a_password(qp: Queuepool, url: str, version: str) -> None:
    if bin_of(version) is None:
        pytest.skip(f"Supervisor {version} is not installed")

    def ctl(*words: str, who: tuple[str, str] = ("ann", "right-password")) -> str:
        command = ctl_command(version, url, "-u", who[0], "-p", who[1], *words)
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    assert [line.split()[:2] for line in ctl("status").splitlines()] == [["w:w_00", "RUNNING"], ["w:w_01", "RUNNING"]]
    before = qp.pids()
    assert "may only look" in ctl("stop", "w:w_00", who=("bob", "looks"))
    assert "RUNNING" in ctl("status", "w:w_00", who=("bob", "looks"))
    assert "refused" in ctl("stop", "w:w_00", who=("ann", "wrong")) or qp.pids() == before
    with xmlrpc.client.ServerProxy(url.replace("//", "//bob:looks@")) as bob:
        stop = {"methodName": "supervisor.stopProcess", "params": ["w:w_00"]}
        stopped, told = bob.system.multicall([stop, {"methodName": "supervisor.getState", "params": []}])
        assert "may only look" in stopped["faultString"]
        assert told["statename"] == "RUNNING"
    assert qp.pids() == before
    assert ctl("stop", "w:w_00") == "w:w_00: stopped\n"
    assert ctl("start", "w:w_00") == "w:w_00: started\n"
    assert "hello" in ctl("tail", "w:w_00")
    assert "event=operation asked=stop names=w:0 who=ann from=127.0.0.1 by=basic" in qp.journal()
    assert "event=refused" in qp.journal()


def test_the_command_of_another_machine_asks_and_acts(qp: Queuepool, url: str) -> None:
    remote = Remote(url)
    there, here = json.loads(remote("status", "--json").stdout), qp.status()
    assert [p["name"] for p in there["processes"]] == [p["name"] for p in here["processes"]]
    assert remote("scale", "w", "3").stdout.startswith("w:w_02: started\n")
    qp.running("w", 3)
    assert remote("scale", "w", "--reset").returncode == 0
    qp.running("w", 2)
    assert remote("deploy").returncode == 0
    assert "ci (127.0.0.1, token) asked for scale 3 of w" in remote("events").stdout
    assert remote("restart", "w:0").stdout == "w:w_00: restarted\n"
    assert "hello" in remote("logs", "w", "-n", "5").stdout
    assert "hello" in remote("tail", "w:0").stdout
    assert remote("pid").stdout == f"{qp.run.pid()}\n"
    assert remote("queues").returncode == 0
    follower = subprocess.Popen(
        [sys.executable, "-m", "queuepool", "logs", "-f", "w"], env=remote.environment, cwd="/", stdout=subprocess.PIPE
    )
    try:
        assert follower.stdout is not None
        assert b"hello" in follower.stdout.readline()
    finally:
        follower.kill()
        follower.wait()
        assert follower.stdout is not None
        follower.stdout.close()


def test_the_command_of_another_machine_says_what_it_cannot(qp: Queuepool, url: str) -> None:
    before = qp.pids()
    for words in (["up"], ["doctor"], ["config", "check"], ["startup"]):
        done = Remote(url)(*words)
        assert (done.returncode, "files of the machine it runs on" in done.stderr) == (2, True), words
    for words in (["init"], ["import", "x"]):
        assert Remote("")("--host", url, *words).returncode == 2
    refused = Remote(url, "x" * 40)("scale", "w", "5")
    assert (refused.returncode, "wrong name, password or token" in refused.stderr) == (1, True)
    viewer = Remote(url.replace("//", "//bob:looks@"), "")("scale", "w", "5")
    assert (viewer.returncode, "bob may only look" in viewer.stderr) == (1, True)
    assert "looks" not in viewer.stdout + viewer.stderr
    gone = Remote(f"http://127.0.0.1:{free_port()}")("status")
    assert (gone.returncode, "connection refused" in gone.stderr) == (5, True)
    alone = qp.try_("--token", "x", "status")
    assert (alone.returncode, "--token goes with --host" in alone.stderr) == (2, True)
    assert qp.pids() == before


def test_what_only_reads_answers_as_the_openapi_document_says(qp: Queuepool) -> None:
    from tests.control.test_openapi import DOCUMENT

    def ask(method: str, path: str, body: object = None) -> tuple[int, object]:
        connection = HTTPConnection("127.0.0.1", qp.port, timeout=60)  # type: ignore[attr-defined]
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        with closing(connection):
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def check(path: str, method: str, status: int, body: object) -> None:
        described = DOCUMENT["paths"][path][method]["responses"][str(status)]
        if "$ref" in described:
            described = DOCUMENT["components"]["responses"][str(status)]
        schema = described["content"]["application/json"]["schema"]
        Draft202012Validator({"components": DOCUMENT["components"], **schema}).validate(body)

    assert ask("GET", "/openapi.json")[1] == DOCUMENT
    for path in ("/status", "/queues", "/deploy"):
        check(path, "get", *ask("GET", path))
    bodies = {
        "pause": {"names": ["w"]},
        "scale": {"name": "w", "count": 2},
        "signal": {"names": ["w:0"], "signal": "0"},
    }
    for name in sorted(ONLY_READS | {"pause", "scale", "reopen", "signal", "update"}):
        check(f"/{name}", "post", *ask("POST", f"/{name}", bodies.get(name, {})))


def test_nothing_secret_is_shown_by_the_daemon(qp: Queuepool) -> None:
    shown = qp("config", "show") + qp("config", "show", "--json") + qp("status", "--json") + qp.journal()
    shown += qp.output.read_text()
    assert "right-password" not in shown
    assert "looks" not in shown.replace("may only look", "")
    assert TOKEN not in shown


def test_the_listener_follows_the_file_and_outlives_an_upgrade_and_the_workers_never_notice(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    port, other = free_port(), free_port()
    with Queuepool(tmp_path / "app", text(section(port)), SECRET="right-password") as qp, socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        qp.up()  # the port is taken: that is no reason not to run
        pids = qp.running("w", 2)
        problem = f"cannot listen on 127.0.0.1:{port}: Address already in use"
        eventually(lambda: problem in qp.status()["daemon"]["problems"], 60, "it says so")
        assert problem in qp.try_("status").stdout
        done = qp.try_("update")
        assert (done.returncode, problem in done.stdout) == (3, True)
        holder.close()
        qp("update")
        here = Remote(f"http://127.0.0.1:{port}")
        eventually(lambda: here("status").returncode == 0, 60, "it listens")
        assert qp.status()["daemon"]["problems"] == []

        qp.write(text(section(other, f", tls_cert: {cert}, tls_key: {tmp_path}/none")))
        os.kill(qp.run.pid() or 0, signal.SIGHUP)
        eventually(lambda: any("cannot read" in p for p in qp.status()["daemon"]["problems"]), 60, "it says so")
        assert here("status").returncode == 3, "it goes on as before, and the problem is shown"

        qp.write(text(section(other, f", tls_cert: {cert}, tls_key: {key}")))
        assert qp("reread").splitlines() == ["http: changed"], "and changes nothing"
        assert "http: updated" in qp("update").splitlines()
        assert qp("reread") == "No config updates to processes\n"
        there = Remote(f"https://localhost:{other}", SSL_CERT_FILE=cert)
        eventually(lambda: there("status").returncode == 0, 60, "it listens with TLS")
        assert here("status").returncode == 5
        strange = Remote(f"https://127.0.0.1:{other}", SSL_CERT_FILE=cert)("status")
        assert (strange.returncode, "certificate is not accepted" in strange.stderr) == (5, True)
        assert "certificate is not accepted" in Remote(f"https://localhost:{other}")("status").stderr

        assert there("upgrade").returncode == 0
        eventually(lambda: qp.journal().count("event=listening") == 3, 60, "it listens again")
        assert there("status").returncode == 0
        qp.write(text("false"))
        assert there("update").returncode == 0, "answered by what it ends"
        eventually(lambda: there("status").returncode == 5, 60, "it listens no more")
        assert qp.pids() == pids
