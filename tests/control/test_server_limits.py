"""What a client may cost: sizes, times, numbers, rubbish. And that an idle server sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.control import api, server
from queuepool.control.client import Client
from queuepool.control.messages import Scale, Start
from queuepool.errors import QueuepoolError, UsageError

from .fake import FakeDaemon, serving


def exchange(path: str, data: bytes, *, half_close: bool = False) -> bytes:
    """What the server answers to these bytes, until it closes or we have seen enough."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                received += piece
        return received


def post(operation: str, body: bytes) -> bytes:
    return b"POST /api/v1/%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (operation.encode(), len(body), body)


def error_in(answer: bytes) -> str:
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["exit_code"] in (1, 2)
    return f"{error['message']} | {error['hint']}"


@pytest.mark.parametrize(
    ("operation", "body", "says"),
    [
        ("start", b"{", "not JSON"),
        ("start", b"[]", "must be a JSON object"),
        ("start", b"\xff\xfe", "not JSON"),
        ("start", b"[" * 100_000, "not JSON"),
        ("start", b"{}", "names"),
        ("start", b'{"names": "all"}', "names"),
        ("start", b'{"names": [1]}', "names.0"),
        ("start", b'{"names": ["all"], "wait": "yes"}', "wait"),
        ("start", b'{"names": ["all"], "waait": true}', "unknown field 'waait' | its fields are: names, wait"),
        ("scale", b'{"name": "x", "count": "4"}', "count"),
        ("scale", b'{"name": "x", "count": 1.5}', "count"),
        ("await", b'{"seconds": NaN}', "not JSON"),
        ("await", b'{"seconds": 1e999}', "seconds"),
        ("reopen", b'{"x": 1}', "its fields are: none"),
        ("explode", b"{}", "no such operation: explode"),
    ],
)
def test_a_request_that_is_wrong_is_refused_and_says_what_is_wrong(
    daemon: FakeDaemon, socket_path: str, operation: str, body: bytes, says: str
) -> None:
    assert says in error_in(exchange(socket_path, post(operation, body)))
    assert not daemon.asked
    assert not daemon.defects


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.0\r\n\r\n", b"DELETE /api/v1/status HTTP/1.0\r\n\r\n"])
def test_a_path_or_method_that_is_not_there_is_an_error_in_json(
    daemon: FakeDaemon, socket_path: str, request_: bytes
) -> None:
    assert "nothing answers to" in error_in(exchange(socket_path, request_))


@pytest.mark.parametrize("since", [b"x", b"-1", b"1" * 5000, "²".encode()])
def test_a_since_that_is_no_number_is_refused(daemon: FakeDaemon, socket_path: str, since: bytes) -> None:
    query = b"".join(b"%%%02x" % byte for byte in since)
    assert "since must be" in error_in(exchange(socket_path, b"GET /api/v1/events?since=%s HTTP/1.0\r\n\r\n" % query))


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(daemon: FakeDaemon, client: Client) -> None:
    with pytest.raises(UsageError, match="larger than"):
        client.ask(Start(("x" * (api.MAX_BODY + 1),)))
    assert not daemon.asked


def test_a_body_of_the_largest_size_is_taken(daemon: FakeDaemon, client: Client) -> None:
    client.ask(Start(("x" * (api.MAX_BODY - 100),)))
    assert len(daemon.asked) == 1


def test_headers_that_are_too_large_are_refused(daemon: FakeDaemon, client: Client, socket_path: str) -> None:
    answer = exchange(socket_path, b"GET /api/v1/status HTTP/1.1\r\nX: " + b"x" * (server.MAX_HEADER + 70_000))
    assert not answer or b" 400 " in answer.partition(b"\r\n")[0]
    assert client.status()["daemon"]["pid"] == 41


def test_a_client_that_sends_its_request_too_slowly_is_cut_off(
    socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    with serving(socket_path, FakeDaemon()):
        assert exchange(socket_path, b"") == b""
        assert exchange(socket_path, b"GET /api/v1/sta") == b""
        assert exchange(socket_path, b"POST /api/v1/start HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{") == b""


def test_a_slow_answer_is_not_cut_off(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 1.0)  # a request is made in less
    with serving(socket_path, FakeDaemon()) as daemon:
        daemon.replies["start"] = "wait"
        with socket.socket(socket.AF_UNIX) as idle:
            idle.connect(socket_path)
            waiting = socket.socket(socket.AF_UNIX)
            waiting.connect(socket_path)
            waiting.sendall(post("start", b'{"names":["a"]}'))
            assert idle.recv(1) == b""  # its time is over, and so would be that of the other one
            daemon.go_on.set()
            with waiting:
                received = b""
                while piece := waiting.recv(4096):
                    received += piece
        assert b'{"reply":' in received


def test_too_many_connections_are_refused_and_said_to_be_so(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    with serving(socket_path, FakeDaemon()), contextlib.ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(socket.socket(socket.AF_UNIX))
            held.connect(socket_path)
        with pytest.raises(QueuepoolError, match="too many connections"):
            Client(socket_path).status()
    # and when they are gone it answers again
    with serving(socket_path, FakeDaemon()):
        assert Client(socket_path).status()["daemon"]["pid"] == 41


def test_a_connection_can_be_used_again(daemon: FakeDaemon, socket_path: str) -> None:
    one = b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(socket_path, one + one + last).count(b"HTTP/1.1 200") == 3


def test_an_idle_server_has_nothing_to_wake_up_for(daemon: FakeDaemon, client: Client) -> None:
    client.status()
    client.ask(Scale("x", 3))
    loop = daemon.loop
    assert loop is not None

    async def timers() -> list[asyncio.TimerHandle]:
        scheduled = loop._scheduled  # type: ignore[attr-defined]
        return [handle for handle in scheduled if not handle.cancelled()]

    connections = daemon.server._server.server_state.connections
    while connections:  # the server sees the end of the last one a moment after its client
        asyncio.run_coroutine_threadsafe(timers(), loop).result(20)
    assert asyncio.run_coroutine_threadsafe(timers(), loop).result(20) == []


def test_mistakes_of_clients_are_not_logged(
    daemon: FakeDaemon, socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    exchange(socket_path, b"rubbish\r\n\r\n")
    exchange(socket_path, b"GET /api/v1/status HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n")
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("uvicorn").propagate


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[str, FakeDaemon]]:
    with tempfile.TemporaryDirectory(prefix="qp", dir="/tmp") as directory:
        path = f"{directory}/s"
        with serving(path, FakeDaemon()) as daemon:
            yield path, daemon


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"GET ", b"POST /api/v1/start HTTP/1.1\r\nHost: x\r\n"])
)
def test_arbitrary_bytes_harm_nothing(shared: tuple[str, FakeDaemon], prefix: bytes, data: bytes) -> None:
    path, daemon = shared
    exchange(path, prefix + data, half_close=True)
    assert Client(path).status()["daemon"]["pid"] == 41
    assert not daemon.asked
    assert not daemon.defects


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    operation=st.sampled_from(["start", "stop", "scale", "await", "signal", "update", "reread", "shutdown"]),
    body=st.dictionaries(st.sampled_from(["names", "wait", "count", "name", "seconds", "signal"]), JSON, max_size=3)
    | JSON,
)
def test_a_body_is_taken_or_refused_with_an_error_and_is_never_a_defect(
    shared: tuple[str, FakeDaemon], operation: str, body: object
) -> None:
    path, daemon = shared
    answer = exchange(path, post(operation, json.dumps(body).encode()))
    last = json.loads(answer.partition(b"\r\n\r\n")[2].strip().splitlines()[-1])
    assert set(last) in ({"reply"}, {"error"})
    assert not daemon.defects
    daemon.asked.clear()
