"""The XML-RPC face of a real daemon: what its calls do, what it keeps a client from, and what calls mean in a row."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import socket
import tempfile
import threading
import xmlrpc.client as xmlrpc_client
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.control import api, server, xmlrpc, xmlrpc_table
from queuepool.control.client import Client
from tests.bench.peer import UnixConnection
from tests.support.daemon import Queuepool
from tests.support.supervisord import proxy
from tests.support.wait import eventually
from tests.support.worker import Report, worker_argv

from .fake import FakeDaemon, serving
from .test_server_limits import exchange

QUICK = settings(max_examples=100, deadline=None)


def text_of(programs: dict[str, dict[str, Any]], **more: Any) -> str:
    defaults = {"type": "command", "startsecs": 0, "command": shlex.join(worker_argv(text="hello"))}
    return json.dumps({"programs": {name: defaults | own for name, own in programs.items()}, **more})


def post(body: bytes) -> bytes:
    return b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def value_of(answer: bytes) -> Any:
    return xmlrpc_client.loads(answer.partition(b"\r\n\r\n")[2])[0][0]


def asked(qp: Queuepool) -> list[str]:
    """What operations the daemon was asked for, as its log has them: of the user of this test."""
    lines = [line.partition("event=operation ")[2] for line in qp.journal().splitlines() if "event=operation" in line]
    who = f" who={pwd.getpwuid(os.getuid()).pw_name} by=socket"
    assert all(line.endswith(who) for line in lines)
    return [line.removesuffix(who) for line in lines]


# --- one daemon that nothing may harm ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queuepool]:
    directory = tmp_path_factory.mktemp("steady")
    with Queuepool(
        directory, text_of({"w": {"numprocs": 2, "stdout_logfile": "w.log"}, "off": {"autostart": False}})
    ) as qp:
        qp.up()
        qp.running("w", 2)
        yield qp


@pytest.fixture
def unharmed(steady: Queuepool) -> Iterator[Queuepool]:
    """The daemon, which is to be after the test as it was before."""
    before = steady.pids(), [(p["name"], p["state"]) for p in steady.processes()], asked(steady)
    yield steady
    assert (steady.pids(), [(p["name"], p["state"]) for p in steady.processes()], asked(steady)) == before
    assert "defect" not in steady.journal()


@QUICK
@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda text: b"<methodCall><methodName>" + text))
def test_arbitrary_bytes_are_refused(unharmed: Queuepool, body: bytes) -> None:
    assert status_of(exchange(unharmed.run.socket, post(body))) == 400


NUMBERS = st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False)
WORDS = st.text("abx:*/.\x7f", max_size=8) | st.binary(max_size=8) | st.datetimes() | st.none()
PARAMS = st.recursive(
    NUMBERS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["methodName", "params"]), inner, max_size=2)
    ),
    max_leaves=6,
)
xmlrpc._import_face()
FOR_ALL = {
    name for name in xmlrpc_table.METHODS if "All" in name or name in ("supervisor.shutdown", "supervisor.restart")
}
CODES = {1, 2, 3, 4, 10, 11, 20, 30, 70}


@QUICK
@given(st.sampled_from(sorted(xmlrpc_table.METHODS.keys() - FOR_ALL)), st.lists(PARAMS, min_size=1, max_size=4))
def test_arbitrary_parameters_are_answered_with_a_value_or_a_fault(
    unharmed: Queuepool, name: str, params: list[Any]
) -> None:
    body = xmlrpc_client.dumps(tuple(params), name, allow_none=True).encode()
    answer = exchange(unharmed.run.socket, post(body))
    assert status_of(answer) in (200, 400)
    told = re.search(rb"<name>faultCode</name>\s*<value><int>(\d+)", answer)
    assert told is None or int(told[1]) in CODES
    assert b"Traceback" not in answer


def call(name: str, *params: Any) -> bytes:
    return xmlrpc_client.dumps(params, name).encode()


def memory_of(qp: Queuepool) -> int:
    """Megabytes that the daemon has had at most."""
    status = Path(f"/proc/{qp.run.pid()}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_what_is_made_to_fill_the_memory_does_not(unharmed: Queuepool) -> None:
    log = unharmed.directory / "w.log"
    exchange(unharmed.run.socket, post(call("supervisor.getState")))
    before, kept = memory_of(unharmed), log.read_bytes()
    entities = b"".join(b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
    bodies = [
        b"<!DOCTYPE x [<!ENTITY l0 'ha'>" + entities + b"]><methodCall><methodName>&l11;</methodName></methodCall>",
        b"<a>" * 300_000,
        b"<methodCall><methodName>x</methodName><params>" + b"<param><value/></param>" * 40_000,
        call("system.multicall", [{"methodName": "supervisor.getState", "params": []}] * 1001),
    ]
    for body in bodies:
        exchange(unharmed.run.socket, post(body))
    assert status_of(exchange(unharmed.run.socket, post(b" " * (api.MAX_BODY + 1)))) == 413
    with open(log, "ab") as file:
        file.write(b"y" * 30_000_000)
    many = call("system.multicall", [{"methodName": "supervisor.readProcessLog", "params": ["w:w_00", 0, 0]}] * 20)
    answer = value_of(exchange(unharmed.run.socket, post(many)))
    assert len(answer[0]) == 8 * 1024 * 1024
    assert answer[-1]["faultString"] == "FAILED: the answers of this multicall are too large together"
    log.write_bytes(kept)
    assert memory_of(unharmed) - before < 200


def test_the_methods_that_concern_all_refuse_what_is_not_theirs(unharmed: Queuepool) -> None:
    for name in ("shutdown", "restart", "clearLog", "clearAllProcessLogs"):
        with pytest.raises(xmlrpc_client.Fault, match="INCORRECT_PARAMETERS"):
            value_of(exchange(unharmed.run.socket, post(call(f"supervisor.{name}", "x"))))
    for name in ("stopAllProcesses", "startAllProcesses", "signalAllProcesses"):
        with pytest.raises(xmlrpc_client.Fault, match="INCORRECT_PARAMETERS"):
            value_of(exchange(unharmed.run.socket, post(call(f"supervisor.{name}", "x", "y", "z"))))


def test_only_a_post_is_a_call(unharmed: Queuepool) -> None:
    for method in (b"GET", b"PUT", b"DELETE"):
        answer = exchange(unharmed.run.socket, method + b" /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status_of(answer) in (404, 405)


def test_a_connection_serves_many_calls_and_a_client_may_go_away_in_one(unharmed: Queuepool) -> None:
    with proxy(f"unix://{unharmed.run.socket}") as client:
        for _ in range(20):
            assert client.supervisor.getState() == {"statecode": 1, "statename": "RUNNING"}
    for _ in range(20):
        with closing(socket.socket(socket.AF_UNIX)) as gone:
            gone.connect(unharmed.run.socket)
            gone.sendall(post(call("supervisor.getAllProcessInfo")))
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


# --- limits, without a daemon -----------------------------------------------------------------------------------------


class Busy:
    """A face whose calls take until they are let go."""

    stopping = False

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0

    def calm(self, _: object) -> None:
        """Nothing is put off."""

    async def call(self, *_: object) -> int:
        import asyncio

        self.begun += 1
        await asyncio.to_thread(self.go_on.wait, 20)
        return 7


def busy(made: Busy) -> FakeDaemon:
    daemon = FakeDaemon()
    face = xmlrpc.XmlRpc(None, "/nowhere", daemon.defects.append)  # type: ignore[arg-type]
    face._made = made  # type: ignore[assignment]
    daemon.others = [face]
    return daemon


def test_too_many_calls_in_progress_are_refused(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmlrpc, "MAX_CALLS", 2)
    made = Busy()
    with serving(socket_path, busy(made)):
        answers: list[bytes] = []
        waiting = [
            threading.Thread(target=lambda: answers.append(exchange(socket_path, post(call("x"))))) for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        eventually(lambda: made.begun == 2)
        assert status_of(exchange(socket_path, post(call("x")))) == 503
        made.go_on.set()
        for thread in waiting:
            thread.join(20)
        assert [value_of(answer) for answer in answers] == [7, 7]


def test_a_client_of_supervisor_may_be_idle_until_connections_run_out(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 1.0)  # a request is made in less
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    made = Busy()
    made.go_on.set()
    keep = post(call("x")).replace(b"Connection: close\r\n", b"")

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(keep)
        received = b""
        while b"</methodResponse>" not in received and (piece := connection.recv(4096)):
            received += piece
        return received

    with serving(socket_path, busy(made)), closing(socket.socket(socket.AF_UNIX)) as idle:
        idle.settimeout(20)
        idle.connect(socket_path)
        assert value_of(ask(idle)) == 7
        assert exchange(socket_path, b"") == b"", "one that says nothing is cut off, and so the time is over"
        assert value_of(ask(idle)) == 7
        with closing(socket.socket(socket.AF_UNIX)) as other, closing(socket.socket(socket.AF_UNIX)) as third:
            other.connect(socket_path)
            third.connect(socket_path)
            assert idle.recv(1) == b"", "it had to make room"
            assert value_of(ask(third)) == 7


# --- what calls do ----------------------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Queuepool]]:
    made: list[Queuepool] = []

    def make(programs: dict[str, dict[str, Any]], **more: Any) -> Queuepool:
        qp = Queuepool(tmp_path, text_of(programs, **more))
        made.append(qp)
        qp.up()
        return qp

    yield make
    for qp in made:
        qp.close()


def test_calls_that_change_something_are_written_down_as_the_commands_are(running: Callable[..., Queuepool]) -> None:
    slow = shlex.join(worker_argv(stop=1))
    qp = running({"w": {"numprocs": 2, "stdout_logfile": "w.log"}, "m": {"autostart": False, "command": slow}})
    qp.running("w", 2)
    with proxy(f"unix://{qp.run.socket}") as client:
        supervisor = client.supervisor
        supervisor.stopProcess("w:w_01")
        supervisor.startProcessGroup("w")
        supervisor.signalProcess("w:w_00", "USR1")
        supervisor.startProcess("m", False)
        supervisor.clearProcessLogs("w:w_00")
        supervisor.stopAllProcesses()
        supervisor.reloadConfig()
        supervisor.removeProcessGroup("m")
        supervisor.addProcessGroup("m")
        supervisor.getAllProcessInfo()
        assert asked(qp) == [
            "asked=stop names=w:1",
            "asked=start names=w:1",
            'asked="signal SIGUSR1" names=w:0',
            "asked=start names=m:*",
            'asked="clear the log" names=w:0',
            'asked=stop names="m:* w:*"',
            "asked=remove names=m",
            "asked=update names=m",
        ]
        supervisor.startProcess("m")
        supervisor.shutdown()
        with pytest.raises(xmlrpc_client.Fault, match="SHUTDOWN_STATE"):
            supervisor.getState()
    assert qp.process is not None
    assert qp.process.wait(60) == 0


def asks(qp: Queuepool, *calls: tuple[str, Any]) -> None:
    """Make calls as supervisorctl does: each over a connection of its own, all by one process."""
    for name, *params in calls:
        with proxy(f"unix://{qp.run.socket}") as client:
            getattr(client.supervisor, name)(*params)


VERSION = ("getVersion",)


def test_a_restart_is_rolling(running: Callable[..., Queuepool], tmp_path: Path) -> None:
    report = Report(tmp_path / "report")
    qp = running({"w": {"numprocs": 3, "command": shlex.join(worker_argv(report=report, stop=0.3))}})
    before = qp.running("w", 3)
    report.wait("ready", count=3)
    asks(qp, VERSION, VERSION, ("stopProcessGroup", "w"), VERSION, ("startProcessGroup", "w"))
    assert not set(qp.running("w", 3).values()) & set(before.values())
    assert asked(qp) == ["asked=restart names=w:*"]
    up, least = 3, 3
    for line in qp.journal().partition("asked=restart")[2].splitlines():
        up += ("event=running" in line) - ("event=stopping" in line)
        least = min(least, up)
    assert least == 2


@pytest.mark.parametrize("after", [[], [("getPID",)]], ids=["nothing", "something else"])
def test_a_restart_that_is_broken_off_is_a_stop(running: Callable[..., Queuepool], after: list[Any]) -> None:
    qp = running({"w": {"numprocs": 2}})
    qp.running("w", 2)
    asks(qp, VERSION, VERSION, ("stopProcess", "w:w_01"), *after)
    qp.state("w:1", "STOPPED")
    assert qp.pids().keys() == {"w:0"}
    assert asked(qp) == ["asked=stop names=w:1"]


def test_the_same_calls_over_one_connection_are_taken_as_they_are(running: Callable[..., Queuepool]) -> None:
    qp = running({"w": {}})
    qp.running("w", 1)
    with proxy(f"unix://{qp.run.socket}") as client:
        client.supervisor.getVersion()
        client.supervisor.getVersion()
        client.supervisor.stopProcess("w")
        assert client.supervisor.getProcessInfo("w")["statename"] == "STOPPED"  # type: ignore[index]


def test_an_update_leaves_what_no_change_concerns(running: Callable[..., Queuepool]) -> None:
    programs: dict[str, dict[str, Any]] = {"w": {"numprocs": 2}, "a": {}, "b": {}, "gone": {}}
    qp = running(programs, groups={"g": ["a", "b"]})
    before = qp.running("w", 2) | qp.running("a", 1) | qp.running("b", 1)
    qp("stop", "w:1")
    programs["w"] = {"numprocs": 3}
    del programs["gone"]
    qp.write(text_of(programs, groups={"g": ["a"], "h": ["b"]}))
    with proxy(f"unix://{qp.run.socket}") as client:
        supervisor = client.supervisor
        assert supervisor.reloadConfig() == [[["h"], ["g", "w"], ["gone"]]]
        assert [item["status"] for item in supervisor.stopProcessGroup("gone")] == [80]  # type: ignore[union-attr, index]
        assert supervisor.removeProcessGroup("gone") is True
        for name in ("g", "w"):
            supervisor.stopProcessGroup(name)
            assert supervisor.removeProcessGroup(name) is True
            assert supervisor.addProcessGroup(name) is True
        assert supervisor.addProcessGroup("h") is True
        assert supervisor.reloadConfig() == [[[], [], []]]
        names = {info["group"] + ":" + info["name"] for info in supervisor.getAllProcessInfo()}  # type: ignore[union-attr, index]
    assert names == {"w:w_00", "w:w_01", "w:w_02", "g:a", "h:b"}
    assert qp.pids() == {name: pid for name, pid in before.items() if name != "w:1"} | {"w:2": qp.pids()["w:2"]}


def test_what_was_reread_is_forgotten_when_a_newer_file_comes_into_force(running: Callable[..., Queuepool]) -> None:
    qp = running({"w": {}})
    qp.running("w", 1)
    with proxy(f"unix://{qp.run.socket}") as client:
        qp.write(text_of({"w": {"numprocs": 2}}))
        assert client.supervisor.reloadConfig() == [[[], ["w"], []]]
        assert len(client.supervisor.getAllConfigInfo()) == 2  # type: ignore[arg-type]
        qp.write(text_of({"w": {"numprocs": 3}}))
        qp("update")
        assert len(client.supervisor.getAllConfigInfo()) == 3  # type: ignore[arg-type]


def test_an_update_that_is_broken_off_ends_as_it_would_with_supervisor(running: Callable[..., Queuepool]) -> None:
    qp = running({"w": {}, "v": {}})
    qp.running("w", 1)
    qp.write(text_of({"w": {"numprocs": 2}, "v": {"numprocs": 2}}))
    for name, calls in (("w", ["stopProcessGroup"]), ("v", ["stopProcessGroup", "removeProcessGroup"])):
        with proxy(f"unix://{qp.run.socket}") as client:
            client.supervisor.reloadConfig()
            for each in calls:
                getattr(client.supervisor, each)(name)
    qp.state("w:0", "STOPPED")
    eventually(lambda: qp.processes("v") == [], what="it is removed")


def test_a_followed_log_goes_on_across_a_rotation(running: Callable[..., Queuepool]) -> None:
    qp = running({"w": {"stdout_logfile": "w.log"}})
    qp.running("w", 1)
    log = qp.directory / "w.log"
    eventually(lambda: log.exists() and log.read_bytes() == b"hello\n")
    with closing(UnixConnection(qp.run.socket)) as connection:
        connection.request("GET", "/logtail/w")
        answer = connection.getresponse()
        assert answer.readline() == b"hello\n"
        log.rename(qp.directory / "w.log.1")
        log.write_bytes(b"new\n")
        assert answer.readline() == b"new\n"
    assert Client(qp.run.socket).status()["daemon"]["state"] == "RUNNING"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_log_of_a_workers_user_shows_or_empties_what_that_user_may_not_read(
    running: Callable[..., Queuepool], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("for root alone\n")
    secret.chmod(0o600)
    logs = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(logs, 65534, 65534)
    (logs / "w.log").symlink_to(secret)
    try:
        qp = running({"w": {"user": "nobody", "directory": "/", "stdout_logfile": str(logs / "w.log")}})
        qp.running("w", 1)
        with proxy(f"unix://{qp.run.socket}") as client:
            for name, *params in (("readProcessLog", 0, 0), ("tailProcessLog", 0, 100), ("clearProcessLogs",)):
                with pytest.raises(xmlrpc_client.Fault, match="FAILED"):
                    getattr(client.supervisor, name)("w", *params)
        answer = exchange(qp.run.socket, b"GET /logtail/w HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status_of(answer) == 404
        assert secret.read_text() == "for root alone\n"
    finally:
        shutil.rmtree(logs)
