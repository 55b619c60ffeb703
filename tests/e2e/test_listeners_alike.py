"""The same event listener and programs under a real supervisord and under queuepool, into which its file was imported:
both tell of the same events, with the same bodies, in the same order for each process."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import pytest

from queuepool.cli.convert import read_files
from queuepool.formats.supervisor_import import draft
from queuepool.formats.supervisor_yaml import render
from tests.support.daemon import Queuepool
from tests.support.supervisord import VERSIONS, Supervisord, bin_of, ctl, proxy
from tests.support.wait import eventually

LISTENER = Path(__file__).parents[1] / "support" / "listener.py"
MARKS = "<!--XSUPERVISOR:BEGIN-->a\\nb<!--XSUPERVISOR:END-->"


def sections(root: Path, *, later: bool = False) -> str:
    """The programs. later: after the change of the file, one of them is gone and another is new."""
    shell = {
        "steady": ("echo out; echo err >&2; exec sleep 600",
                   "stdout_events_enabled=true\nstderr_events_enabled=true\n"),
        "once": ("sleep 1.3; exit 0", ""),
        "again": ("sleep 1.3; exit 3", ""),
        "bad": ("sleep 1.3; exit 3", "autorestart=false\n"),
        "dies": ("exit 2", "startretries=1\n"),
        "quiet": ("exec sleep 600", "autostart=false\n"),
        "extra" if later else "talks": (
            f'printf "log {MARKS} more of the log after it\\n"; exec sleep 600', "stdout_capture_maxbytes=1KB\n"
        ),
    }  # fmt: skip
    text = f"""[eventlistener:ear]
command={sys.executable} {LISTENER} {root}/heard
events=EVENT
buffer_size=1000
[program:missing]
command={root}/not-there
startretries=1
[program:many]
command=sleep 600
process_name=%(program_name)s_%(process_num)02d
numprocs=2
[group:both]
programs=quiet,many
"""
    for name, (command, more) in shell.items():
        command = command.replace("%", "%%")
        text += f"[program:{name}]\ncommand=sh -c '{command}'\ndirectory={root}\n{more}"
    return text


class Side:
    """One of the two daemons, and what its listener wrote down."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.info: dict[str, Any] = {}
        self.settings: dict[str, dict[str, Any]] = {}

    def heard(self) -> list[tuple[str, str]]:
        """(event, body) of all but the ticks; pids are left out."""
        file = self.root / "heard"
        lines = [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []
        return [
            (
                header["eventname"],
                re.sub(r"\bpid:\d+", lambda found: "pid:N" if found[0] != "pid:0" else found[0], body),
            )
            for header, body in lines
            if not header["eventname"].startswith("TICK")
        ]

    def wait(self, event: str, subject: str, count: int = 1) -> None:
        """Wait until its listener has heard of that."""
        what = f"{event} of {subject} is heard {count} times by {self.root.name}"
        eventually(
            lambda: sum(name == event and subject in body for name, body in self.heard()) >= count, 60, what,
            show=lambda: "\n".join(map(str, self.heard())),
        )  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS)
def heard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Both sides when all was done: their daemons have ended."""
    version = request.param
    if bin_of(version) is None:
        pytest.skip(f"Supervisor ({version}) is not installed")
    tmp = tmp_path_factory.mktemp("alike")
    theirs, ours = tmp / "theirs", tmp / "ours"
    ours.mkdir(parents=True)
    with Supervisord(theirs, version, sections(theirs)) as supervisord, Queuepool(ours, imported(ours)) as qp:
        qp.up()
        sides = Side(theirs, supervisord.url), Side(ours, f"unix://{qp.run.socket}")
        for side in sides:
            for event, subject in (
                ("FATAL", "dies"), ("FATAL", "missing"), ("EXITED", "once"), ("EXITED", "bad"), ("RUNNING", "steady"),
                ("RUNNING", "talks"), ("RUNNING", "many_00"), ("RUNNING", "many_01"),
            ):  # fmt: skip
                side.wait(f"PROCESS_STATE_{event}", f"processname:{subject} ")
            side.wait("PROCESS_STATE_RUNNING", "processname:again ", 2)
            act(side, version, supervisord if side is sides[0] else qp)
        supervisord.process.send_signal(signal.SIGTERM)
        supervisord.process.wait(60)
        qp.kill(signal.SIGTERM)
        yield sides


def imported(root: Path, *, later: bool = False) -> str:
    """queuepool.yml, made of the same file."""
    file = root / "supervisord.conf"
    file.write_text(sections(root, later=later))
    found = read_files([str(file)], os.environ)
    files = render(draft(found.config, found.around), str(root), ["supervisord.conf"], found.config.servers)
    return files["queuepool.yml"]


def act(side: Side, version: str, daemon: Supervisord | Queuepool) -> None:
    """What a person and a client do, one thing after the other."""

    def call(*words: str) -> None:
        said, code = ctl(version, side.url, *words)
        assert code == 0, said

    call("start", "both:quiet")
    call("stop", "both:quiet", "both:many_00")
    call("restart", "steady")
    with proxy(side.url) as server:
        remote(server)
        side.info = server.supervisor.getProcessInfo("ear")  # type: ignore[assignment]
        settings: Any = server.supervisor.getAllConfigInfo()
        side.settings = {one["name"]: one for one in settings}
    daemon.write(
        sections(side.root, later=True) if isinstance(daemon, Supervisord) else imported(side.root, later=True)
    )
    call("update")
    side.wait("PROCESS_STATE_RUNNING", "processname:extra ")
    call("stop", "again", "extra", "both:many_01")
    side.wait("PROCESS_STATE_STOPPED", "processname:many_01 ")


def remote(server: ServerProxy) -> None:
    assert server.supervisor.sendRemoteCommEvent("deploy", "release 7") is True
    assert server.supervisor.sendProcessStdin("ear", "") is True


def by_subject(heard: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """What was told of each process, group, and so on, in its order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, body in heard:
        subject = re.search(r"(process|group)name:(\S+)", body)
        kind = name.rsplit("_", 1)[0] if not name.startswith("PROCESS_STATE") else "PROCESS_STATE"
        found.setdefault(f"{kind} {subject[0] if subject else ''}", []).append((name, body))
    return found


def test_both_tell_of_the_same_events_in_the_same_order(heard: tuple[Side, Side]) -> None:
    theirs, ours = (by_subject(side.heard()) for side in heard)
    again = "PROCESS_STATE processname:again"  # how often it came round is a matter of time; the round is the same
    for side in (theirs, ours):
        assert {body.partition("from_state:")[2] for _, body in side[again]} >= {
            "STOPPED tries:0", "STARTING pid:N", "RUNNING expected:0 pid:N", "EXITED tries:0",
        }  # fmt: skip
        side[again] = side[again][:5]
    remote = "REMOTE "
    assert ours[remote] == [("REMOTE_COMMUNICATION", "type:deploy\nrelease 7")]
    assert theirs.pop(remote) in (ours.pop(remote), [("REMOTE_COMMUNICATION", "type:b'deploy'\nb'release 7'")])
    steady = "PROCESS_STATE processname:steady"  # it ran to the end of the daemon, when theirs may not hear of all
    before_the_end = theirs.pop(steady)
    assert ours[steady][: len(before_the_end)] == before_the_end
    assert ours.pop(steady)[-1][0] == "PROCESS_STATE_STOPPED"
    assert ours == theirs


def test_clients_see_a_listener_as_they_are_used_to(heard: tuple[Side, Side]) -> None:
    theirs, ours = (side.info for side in heard)
    assert set(ours) == set(theirs)
    same = ("name", "group", "state", "statename", "spawnerr", "exitstatus", "stop")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["stderr_logfile"] == f"{heard[1].root}/logs/ear.err.log"
    same = (
        "group", "group_prio", "process_prio", "command", "autostart", "startsecs", "startretries", "exitcodes",
        "stdout_capture_maxbytes", "stdout_events_enabled", "stderr_capture_maxbytes", "stderr_events_enabled",
    )  # fmt: skip
    for name in ("ear", "talks", "steady"):
        one, other = (side.settings[name] for side in heard)
        one["command"] = one["command"].replace(str(heard[0].root), str(heard[1].root))
        assert {key: other[key] for key in same if key != "command" or name == "ear"} == {
            key: one[key] for key in same if key != "command" or name == "ear"
        }


def test_the_header_is_supervisors(heard: tuple[Side, Side]) -> None:
    theirs, ours = ([json.loads(line) for line in (side.root / "heard").read_text().splitlines()] for side in heard)
    first: list[dict[str, Any]] = [side[0][0] for side in (theirs, ours)]
    assert list(first[1]) == list(first[0])
    assert {**first[1], "server": ""} == {**first[0], "server": ""}
    for side in (theirs, ours):
        for at, (header, body) in enumerate(side):
            assert (header["serial"], header["poolserial"], header["len"]) == (str(at), str(at), str(len(body)))


def test_what_is_for_listeners_is_not_in_the_log(heard: tuple[Side, Side]) -> None:
    log = heard[1].root / "logs" / "talks.log"
    assert log.read_text() == "log  more of the log after it\n"
