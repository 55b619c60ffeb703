"""XML-RPC, method by method, against a real supervisord and a real queuepool with the same programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest

from tests.bench.peer import UnixConnection
from tests.e2e.test_supervisorctl import Both, both_servers
from tests.support.supervisord import proxy

ROOT = "ROOT"
OTHERWISE = {
    "directory": "queuepool's is always known",
    "killasgroup": "on unless it is switched off",
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    yield from both_servers("4.3.0", tmp_path_factory.mktemp("alike"))


@pytest.fixture(scope="module")
def servers(both: Both) -> Iterator[tuple[ServerProxy, ServerProxy]]:
    with proxy(both.urls[0]) as theirs, proxy(both.urls[1]) as ours:
        yield theirs, ours


Servers = tuple[ServerProxy, ServerProxy]


def answers(server: ServerProxy, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
    """The value of each call, or its fault."""
    given = [{"methodName": name, "params": list(params)} for name, params in calls]
    return server.system.multicall(given)  # type: ignore[no-any-return, attr-defined]


def test_there_are_the_same_methods_with_the_same_signatures(servers: Servers) -> None:
    theirs, ours = (server.system.listMethods() for server in servers)
    assert ours == theirs
    assert len(ours) == 41  # type: ignore[arg-type]
    asked = [("system.methodSignature", (name,)) for name in ours]  # type: ignore[attr-defined]
    assert answers(servers[1], asked) == answers(servers[0], asked)
    for name in ours:  # type: ignore[attr-defined]
        assert "@return" in servers[1].system.methodHelp(name)  # type: ignore[operator]


WRONG: list[tuple[str, tuple[Any, ...]]] = [
    ("supervisor.nope", ()),
    ("nope.getState", ()),
    ("supervisor.getState.x", ()),
    ("supervisor._update", ("x",)),
    ("supervisor.getState", (1,)),
    ("supervisor.startProcess", ()),
    ("supervisor.startProcess", ("nope",)),
    ("supervisor.startProcess", ("both:cron",)),
    ("supervisor.startProcess", ("missing",)),
    ("supervisor.startProcess", ("text",)),
    ("supervisor.startProcess", ("dies",)),
    ("supervisor.startProcess", ("nope:*",)),
    ("supervisor.startProcessGroup", ("nope",)),
    ("supervisor.startProcessGroup", ("missing",)),
    ("supervisor.stopProcess", ("done",)),
    ("supervisor.stopProcessGroup", ("done",)),
    ("supervisor.stopProcessGroup", ("nope",)),
    ("supervisor.signalProcess", ("done", "HUP")),
    ("supervisor.signalProcess", ("both:cron", "NOPE")),
    ("supervisor.signalProcess", ("both:cron", 1)),
    ("supervisor.signalProcessGroup", ("laravel-worker", "NOPE")),
    ("supervisor.signalProcessGroup", ("laravel-worker", "USR1")),
    ("supervisor.signalProcess", ("laravel-worker:*", "USR1")),
    ("supervisor.getProcessInfo", ("nope",)),
    ("supervisor.getProcessInfo", ("both:*",)),
    ("supervisor.addProcessGroup", ("nope",)),
    ("supervisor.addProcessGroup", ("both",)),
    ("supervisor.removeProcessGroup", ("nope",)),
    ("supervisor.removeProcessGroup", ("both",)),
    ("supervisor.readProcessStdoutLog", ("nope", 0, 0)),
    ("supervisor.tailProcessStdoutLog", ("text", 0, 10)),
    ("supervisor.clearProcessLogs", ("nope",)),
    ("supervisor.sendProcessStdin", ("nope", "x")),
    ("supervisor.sendProcessStdin", ("done", "x")),
    ("supervisor.sendRemoteCommEvent", ("type", "data")),
    ("supervisor.getState", ()),
    ("supervisor.getAPIVersion", ()),
    ("system.methodHelp", ("nope",)),
    ("system.methodSignature", ("nope",)),
    ("system.multicall", ([],)),
]


def test_faults_and_values_are_supervisors(servers: Servers) -> None:
    theirs, ours = (answers(server, WRONG) for server in servers)
    for call, one, other in zip(WRONG, theirs, ours, strict=True):
        assert other == one, call
    for name, params in WRONG[:12]:  # and so they are by themselves
        told = []
        for server in servers:
            with pytest.raises(Fault) as caught:
                getattr(server, name)(*params)
            told.append((caught.value.faultCode, caught.value.faultString))
        assert told[1] == told[0], name


def test_logs_are_read_from_the_same_offsets(both: Both, servers: Servers) -> None:
    for root in both.roots:
        (root / "missing.log").write_bytes(b"".join(b"%03d\n" % number for number in range(15)))
    numbers = (-100, -60, -59, -7, -1, 0, 1, 7, 59, 60, 61, 100)
    calls = [
        (f"supervisor.{name}", ("missing", offset, length))
        for name in ("readProcessStdoutLog", "readProcessLog", "tailProcessStdoutLog", "tailProcessLog")
        for offset, length in product(numbers, numbers)
    ]
    theirs, ours = (answers(server, calls) for server in servers)
    for call, one, other in zip(calls, theirs, ours, strict=True):
        assert other == one, call
    with pytest.raises(Fault, match="NO_FILE"):
        servers[1].supervisor.readProcessStderrLog("missing", 0, 0)


def test_a_process_is_told_of_in_the_same_fields(both: Both, servers: Servers) -> None:
    theirs, ours = (server.supervisor.getAllProcessInfo() for server in servers)
    for one, other in zip(theirs, ours, strict=True):  # type: ignore[call-overload]
        assert set(other) == set(one)
        assert {key: type(value) for key, value in other.items()} == {key: type(value) for key, value in one.items()}
        for key in ("name", "group", "state", "statename"):
            if other["name"] != "dies":
                assert other[key] == one[key]
        for key in ("logfile", "stdout_logfile", "stderr_logfile"):
            assert other[key].replace(str(both.roots[1]), ROOT) == one[key].replace(str(both.roots[0]), ROOT)
    assert servers[1].supervisor.getProcessInfo("both:cron")["name"] == "cron"  # type: ignore[index]


def test_the_settings_are_told_of_in_the_same_fields(both: Both, servers: Servers) -> None:
    theirs, ours = (server.supervisor.getAllConfigInfo() for server in servers)
    for one, other in zip(theirs, ours, strict=True):  # type: ignore[call-overload]
        assert set(other) == set(one)
        assert len(other) == 29
        for key, value in one.items():
            mine = other[key]
            if isinstance(value, str):
                value, mine = value.replace(str(both.roots[0]), ROOT), mine.replace(str(both.roots[1]), ROOT)
            if key not in OTHERWISE:
                assert mine == value, (one["name"], key)


def test_a_multicall_waits_and_is_not_nested(servers: Servers) -> None:
    calls = [(f"supervisor.{name}", ("both:cron",)) for name in ("stopProcess", "startProcess", "getProcessInfo")]
    for server in servers:
        stopped, started, info = answers(server, calls)  # bare values, where other servers make arrays of one
        assert stopped is started is True
        assert info["statename"] == "RUNNING"
    calls = [
        ("system.multicall", ([{"methodName": "system.multicall", "params": []}],)),
        ("system.multicall", (["x"],)),
    ]
    theirs, ours = (answers(server, calls[:1]) for server in servers)
    assert ours == theirs
    assert answers(servers[1], calls[1:])[0]["faultCode"] == 2


def test_a_call_without_wait_is_answered_before_it_is_true(servers: Servers) -> None:
    calls = [("supervisor.startProcess", ("both:manual", False)), ("supervisor.getProcessInfo", ("both:manual",))]
    for server in servers:
        started, info = answers(server, calls)
        assert started is True
        assert info["statename"] == "STARTING"
        assert server.supervisor.stopProcess("both:manual", False) is True


def test_logs_are_served_over_http(both: Both) -> None:
    (both.roots[1] / "missing.log").write_bytes(b"x" * 5000 + b"the end\n")
    known = {"missing": 200, "missing/stdout": 200, "missing/nope": 404, "nope": 404, "nope%3A*": 404, "": 404}
    for where, status in known.items():
        with closing(UnixConnection(both.urls[1].removeprefix("unix://"))) as connection:
            connection.request("GET", f"/logtail/{where}")
            answer = connection.getresponse()
            assert answer.status == status, where
            if status == 200:
                assert answer.getheader("Transfer-Encoding") == "chunked"
                assert answer.read(1024) == b"x" * 1016 + b"the end\n"
