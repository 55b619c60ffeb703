"""Both ends of the control socket together: the blocking client against the real server on a real unix socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from queuepool.control import client as client_module
from queuepool.control import messages
from queuepool.control.client import Client
from queuepool.control.messages import Restart, Scale, Signal, Start, Stop
from queuepool.errors import ConfigError, DaemonUnreachable, ExitCode, Locked, NotAsWanted, QueuepoolError, UsageError

from .fake import FakeDaemon, process, serving, snapshot

RESULT = {"name": "laravel-worker:0", "display": "laravel-worker:laravel-worker_00", "result": "started", "message": ""}


def test_the_status_is_the_snapshot_as_json(daemon: FakeDaemon, client: Client) -> None:
    daemon.shown = snapshot(process(0), process(1, "FATAL", reason="exit code 1", last_lines=("boom",)))
    shown = client.status()
    assert [item["state"] for item in shown["processes"]] == ["RUNNING", "FATAL"]
    assert shown["processes"][1]["last_lines"] == ["boom"]
    assert shown["daemon"]["pid"] == 41


def test_the_status_is_of_the_named_processes_alone(daemon: FakeDaemon, client: Client) -> None:
    daemon.shown = snapshot(process(0), process(1), process(0, program="mail"))
    assert [item["name"] for item in client.status(["laravel-worker:1", "mail"])["processes"]] == [
        "laravel-worker:1",
        "mail:0",
    ]


@pytest.mark.parametrize("name", ["lärm & co?#%", "a/../b", "\udcff", " ", "a=b;c"])
def test_a_strange_name_arrives_as_it_is_and_is_unknown(client: Client, daemon: FakeDaemon, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        client.status([name])
    assert name.encode("utf-8", "replace").decode() in caught.value.message.encode("utf-8", "replace").decode() or (
        name == "\udcff"
    )
    assert not daemon.defects


def test_an_unknown_name_is_answered_with_the_nearest(client: Client) -> None:
    with pytest.raises(UsageError) as caught:
        client.status(["laravel-wroker"])
    assert caught.value.exit_code == ExitCode.USAGE
    assert "did you mean `laravel-worker`?" in caught.value.hint


def test_text_that_is_not_utf8_survives_the_way(daemon: FakeDaemon, client: Client) -> None:
    daemon.shown = snapshot(process(0, "FATAL", last_lines=("caf\udce9 \x1b[31m",)))
    assert client.status()["processes"][0]["last_lines"] == ["caf\udce9 \x1b[31m"]


def test_a_request_reaches_its_operation_and_the_reply_comes_back(daemon: FakeDaemon, client: Client) -> None:
    daemon.replies["start"] = {"results": [RESULT]}
    assert client.ask(Start(("all",), wait=False)) == {"results": [RESULT]}
    assert daemon.asked == [Start(("all",), wait=False)]


def test_every_request_there_is_arrives_as_it_was_sent(daemon: FakeDaemon, client: Client) -> None:
    requests = [
        Start(("a:*", "b")), Stop(("all",), kill=True), Restart(("x",), stale=True), Signal(("x",), "USR2"),
        messages.Pause(("x",)), messages.Continue(("x",)), Scale("x", 4), Scale("x", reset=True), messages.Reread(),
        messages.Update(("x",), wait=False), messages.Queues(("q",)), messages.Redis(),
        messages.Await(seconds=3), messages.Shutdown(hurry=True),
        messages.Upgrade(), messages.Reopen(),
        messages.PlanDeploy(("x",), force=True), messages.DeployStatus(), messages.DeployHistory(),
        messages.Deploy(("x",), timeout=5, batch="25%"), messages.FollowDeploy(), messages.AbortDeploy(),
        messages.Notify(test=True, targets=("ops",)),
    ]  # fmt: skip
    for request in requests:
        client.ask(request)
    assert daemon.asked == requests
    assert {type(request) for request in requests} == set(messages.Request.__args__)


def test_progress_is_told_before_the_reply(daemon: FakeDaemon, client: Client) -> None:
    daemon.progress = [{"display": f"a:a_{n}", "state": "started", "message": ""} for n in range(3)]
    daemon.replies["start"] = {"results": []}
    told: list[dict[str, Any]] = []
    client.ask(Start(("all",)), told.append)
    assert told == daemon.progress


def test_a_client_that_waits_is_called_while_nothing_comes(
    daemon: FakeDaemon, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "IDLE_SECONDS", 0.01)
    daemon.replies["start"] = "wait"
    looks = []

    def idle() -> None:
        looks.append(client.status()["daemon"]["state"])
        if len(looks) == 3:
            daemon.go_on.set()

    client.ask(Start(("all",)), on_idle=idle)
    assert looks[:3] == ["RUNNING"] * 3


@pytest.mark.parametrize(
    "error",
    [
        QueuepoolError("it failed", "do this"),
        UsageError("no such signal", "use TERM"),
        NotAsWanted("not in time"),
        Locked("already runs"),
        ConfigError("cannot use it", ("a.yml:3: x: wrong", "a.yml:4: y: wrong"), "mend it"),
    ],
)
def test_an_error_of_an_operation_is_the_same_error_here(
    daemon: FakeDaemon, client: Client, error: QueuepoolError
) -> None:
    daemon.replies["stop"] = error
    with pytest.raises(QueuepoolError) as caught:
        client.ask(Stop(("all",)))
    assert type(caught.value) is type(error)
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == (
        error.message,
        error.hint,
        error.exit_code,
    )
    if isinstance(error, ConfigError):
        assert isinstance(caught.value, ConfigError)
        assert caught.value.problems == error.problems
    assert not daemon.defects


def test_a_defect_is_told_to_the_daemon_and_only_its_type_to_the_client(daemon: FakeDaemon, client: Client) -> None:
    daemon.replies["stop"] = KeyError("secret-of-the-environment")
    with pytest.raises(QueuepoolError) as caught:
        client.ask(Stop(("all",)))
    assert "KeyError" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint
    assert [type(defect) for defect in daemon.defects] == [KeyError]


def test_an_operation_goes_on_when_its_client_goes_away(daemon: FakeDaemon, socket_path: str) -> None:
    daemon.replies["restart"] = "wait"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path)
        body = b'{"names":["all"]}'
        connection.sendall(b"POST /api/v1/restart HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert connection.recv(15).startswith(b"HTTP/1.1 200")  # it is under way
    daemon.go_on.set()
    assert daemon.finished.wait(20)


def test_past_events_are_read_and_end(daemon: FakeDaemon, client: Client) -> None:
    for number in range(3):
        daemon.happens(f"event=running n={number}")
    assert [event["seq"] for event in client.events()] == [1, 2, 3]
    assert [event["line"] for event in client.events(since=2)] == ["event=running n=2"]


def test_followed_events_come_as_they_happen(daemon: FakeDaemon, client: Client) -> None:
    daemon.happens("first")
    stream = client.events(follow=True)
    assert next(stream)["line"] == "first"
    daemon.happens("second")
    assert next(stream)["line"] == "second"
    stream.close()


def test_followed_events_end_when_the_server_stops_and_do_not_hold_it_up(socket_path: str) -> None:
    with serving(socket_path, FakeDaemon()) as daemon:
        daemon.happens("first")
        stream = Client(socket_path).events(follow=True)
        assert next(stream)["line"] == "first"
        daemon.stop(3600.0)
        assert list(stream) == []


def test_no_socket_means_no_daemon_and_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable) as caught:
        Client(str(tmp_path / "none")).status()
    assert caught.value.exit_code == ExitCode.NO_DAEMON
    assert "queuepool up" in caught.value.hint
    assert str(tmp_path / "none") in caught.value.message


def test_a_stale_socket_means_no_daemon(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    with pytest.raises(DaemonUnreachable, match="cannot reach the daemon"):
        Client(socket_path).status()


def test_a_socket_path_that_is_too_long_is_said_to_be_so() -> None:
    with pytest.raises(DaemonUnreachable, match="too long"):
        Client("/tmp/" + "x" * 200).status()


def test_a_daemon_that_hangs_does_not_hang_the_status(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(8)
        with pytest.raises(DaemonUnreachable, match="did not answer"):
            Client(socket_path, timeout=0.05).status()


@contextmanager
def answering(socket_path: str, *answers: bytes) -> Iterator[None]:
    """A daemon that ends each connection, one after the other, with one of these answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(8)

        def answer_all() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b'HTTP/1.1 200 OK\r\n\r\n{"progress":{}}\n',
        b'HTTP/1.1 200 OK\r\n\r\n{"reply',
        b"\x00\xff rubbish",
    ],
)
def test_a_daemon_that_dies_in_the_middle_of_an_answer_is_an_error_that_says_so(
    socket_path: str, answer: bytes
) -> None:
    with answering(socket_path, answer), pytest.raises(DaemonUnreachable, match="ended before it answered"):
        Client(socket_path).ask(Start(("all",)))


def test_a_status_that_an_upgrade_cuts_off_is_asked_for_once_more(socket_path: str) -> None:
    """The daemon takes its own place by exec: its connections end, and the next is answered."""
    with answering(socket_path, b"", b'HTTP/1.0 200 OK\r\n\r\n{"daemon": {"pid": 7}}\n'):
        assert Client(socket_path).status() == {"daemon": {"pid": 7}}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_elses_socket_is_named_with_its_owner(daemon: FakeDaemon, socket_path: str) -> None:
    os.chmod(os.path.dirname(socket_path), 0o711)
    os.chmod(socket_path, 0o600)
    code = (
        "import os, sys; from queuepool.control.client import Client; os.setgid(65534); os.setuid(65534)\n"
        "try: Client(sys.argv[1]).status()\n"
        "except Exception as error: print(error.message, '|', error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code, socket_path], capture_output=True, text=True, check=True)
    assert "permission denied" in done.stdout
    assert "(root)" in done.stdout
    assert "sudo" in done.stdout


def test_the_socket_stays_open_after_the_server_stopped_so_that_the_next_daemon_answers(socket_path: str) -> None:
    with serving(socket_path, FakeDaemon()) as first:
        first.stop(1.0)
        with socket.socket(socket.AF_UNIX) as late:
            late.connect(socket_path)  # waits in the queue of the socket, is not refused


def test_the_prefix_of_both_ends_is_the_same() -> None:
    """The client keeps its own copy, because importing the messages takes longer than a whole status call."""
    assert client_module.PREFIX == messages.PREFIX
