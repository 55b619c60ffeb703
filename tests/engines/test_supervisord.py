"""`engine: supervisord` on a real supervisord: each operation as a command without a daemon does it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuepool.config.load import load
from queuepool.control import alone, inprocess
from queuepool.control.inprocess import InProcess
from queuepool.control.messages import Continue, Pause, Restart, Scale, Signal, Start, Stop, Update
from queuepool.engines import supervisord_link
from queuepool.errors import DaemonUnreachable, QueuepoolError
from queuepool.formats.supervisor_sight import BY_HAND
from queuepool.system.procstat import birth
from tests.support.ports import free_port
from tests.support.started import Started
from tests.support.supervised import Supervised
from tests.support.supervisord import bin_of
from tests.support.wait import LIMIT, eventually

WITHOUT_ROOTS_RIGHTS = () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override")
"""Runs a command that may not write where it may not, also when it is root's."""
pytestmark = pytest.mark.skipif(bin_of("debian") is None, reason="Supervisor is not installed")


def program(name: str = "w", numprocs: int = 2, *, keys: str = "") -> str:
    command = '["sleep", "1000"]'
    return f"  {name}: {{command: {command}, numprocs: {numprocs}, startsecs: 0, stdout_logfile: {name}.log{keys}}}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    with Supervised(tmp_path_factory.mktemp("site"), "programs:\n" + program()) as site:
        site.ask(Update())
        yield site


@pytest.fixture
def pool(site: Supervised) -> Supervised:
    """The site with two processes of w."""
    for path in site.conf.glob("theirs*"):
        path.unlink()
        site.sv.ctl("update")
    site.write("programs:\n" + program())
    site.ask(Update())
    site.ask(Scale("w", reset=True))
    site.ask(Start(("all",)))
    site.running("w", 2)
    return site


def test_scaling_leaves_every_other_process_alone(pool: Supervised) -> None:
    other = pool.pids("other")
    before = pool.running("w", 2)
    reply = pool.ask(Scale("w", 4))
    assert sorted(reply["started"]) == ["w:w_02", "w:w_03"]
    more = pool.running("w", 4)
    assert before.items() < more.items()
    reply = pool.ask(Scale("w", 2))
    assert sorted(reply["stopped"]) == ["w:w_02", "w:w_03"]
    assert pool.states().keys() == {"other", "w_00", "w_01"}, "what is not wanted any more is not there any more"
    assert pool.running("w", 2) == before
    assert pool.pids("other") == other
    assert "w_02" not in pool.file.read_text()


def test_one_that_is_stopped_stays_so_and_one_that_is_started_runs(pool: Supervised) -> None:
    before = pool.running("w", 2)
    assert [r["result"] for r in pool.ask(Stop(("w:1",)))["results"]] == ["stopped"]
    assert pool.states()["w_01"] == ("STOPPED", 0)
    assert "[program:w_01]" in pool.file.read_text()
    assert "autostart=false" in pool.file.read_text()
    assert pool.ask(Scale("w", 2))["wanted"] == 2, "another command leaves it stopped"
    assert pool.states()["w_01"] == ("STOPPED", 0)
    assert [r["result"] for r in pool.ask(Start(("w:1",)))["results"]] == ["started"]
    assert pool.running("w", 2)["w_00"] == before["w_00"]
    assert "autostart=false" not in pool.file.read_text()


def test_a_restart_replaces_one_after_the_other_in_its_place(pool: Supervised) -> None:
    before = pool.running("w", 2)
    assert {r["result"] for r in pool.ask(Restart(("w",)))["results"]} == {"restarted"}
    after = pool.running("w", 2)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_an_update_replaces_what_changed_and_takes_out_what_is_gone(pool: Supervised) -> None:
    before = pool.running("w", 2)
    pool.write("programs:\n" + program() + program("more", 1))
    assert pool.ask(Update())["added"] == ["more"]
    pool.running("more", 1)
    pool.ask(Stop(("more",)))
    pool.write("programs:\n" + program())
    pool.ask(Update(("more",)))
    pool.write("programs:\n" + program() + program("more", 1))
    pool.ask(Update(("more",)))
    pool.running("more", 1)
    pool.write("programs:\n" + program(keys=", stopwaitsecs: 33"))
    reply = pool.ask(Update())
    assert (reply["removed"], [(c["name"], c["restarts"]) for c in reply["changed"]]) == (["more"], [("w", True)])
    assert pool.states().keys() == {"other", "w_00", "w_01"}
    assert not set(pool.running("w", 2).values()) & set(before.values())
    assert pool.file.read_text().count("stopwaitsecs=33\n") == 2


def test_one_that_was_stopped_in_supervisor_is_said_and_left_until_it_is_started(pool: Supervised) -> None:
    pool.sv.ctl("stop", "w_01")
    seen = {p["name"]: (p["state"], p["reason"], p["wanted"]) for p in pool.status()["processes"]}
    assert seen["w:1"] == ("STOPPED", BY_HAND, True)
    pool.ask(Scale("w", 3))
    assert pool.states()["w_01"][0] == "STOPPED"
    pool.ask(Start(("w:1",)))
    pool.running("w", 3)


def test_what_was_stopped_in_supervisor_keeps_nobody_waiting(pool: Supervised) -> None:
    before = pool.running("w", 2)
    pool.sv.ctl("stop", "w_01")
    assert [r["result"] for r in pool.ask(Restart(("w:0",)))["results"]] == ["restarted"]
    assert pool.running("w", 1)["w_00"] != before["w_00"]
    assert pool.states()["w_01"][0] == "STOPPED"


def test_one_that_is_fatal_keeps_the_others_in_their_place_which_is_said(pool: Supervised) -> None:
    """No more than one may be missing at a time."""
    flag = pool.root / "flag"
    text = "  f: {command: [sh, -c, 'test $QUEUEPOOL_SLOT = 0 || test -e %s || exit 3; exec sleep 1000'], numprocs: 2, "
    pool.write("programs:\n" + text % flag + "startsecs: 1, startretries: 0, stdout_logfile: f.log}\n")
    pool.ask(Update())
    before = pool.running("f", 1)
    eventually(lambda: pool.states()["f_01"][0] == "FATAL", what="it is given up")
    for request in (Restart(("f:0",)), Restart(("f:0",), wait=False)):
        [result] = pool.ask(request)["results"]
        why = "it keeps its place while f:1 is FATAL: `queuepool start f:1` first"
        assert (result["result"], result["message"]) == ("failed", why)
    assert pool.running("f", 1) == before
    flag.touch()
    pool.ask(Start(("f:1",)))
    pool.running("f", 2)
    pool.ask(Update())  # nothing is stale any more: what was left is done
    assert pool.running("f", 2)["f_00"] != before["f_00"]


def test_a_restart_that_nobody_waits_for_is_done_all_the_same(pool: Supervised) -> None:
    """Without a daemon nobody would go on with it."""
    before = pool.running("w", 2)
    pool.ask(Restart(("w",), wait=False))
    assert not set(pool.running("w", 2).values()) & set(before.values())


def test_an_interrupted_command_says_what_becomes_of_it(pool: Supervised) -> None:
    gate = pool.root / "end"
    os.mkfifo(gate)
    code = f"import signal, sys; signal.signal(15, lambda *_: (open('{gate}').read(), sys.exit())); signal.pause()"
    command = json.dumps([sys.executable, "-c", code])
    pool.write(f"programs:\n  s: {{command: {command}, startsecs: 0, stdout_logfile: s.log}}\n")
    pool.ask(Update())
    pool.running("s", 1)
    with Started(pool.qp, "restart", "s") as command:
        eventually(lambda: pool.states()["s"][0] == "STOPPING", 30, what="it was told to stop")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == 130
    assert command.text() == f"{inprocess.LEFT}\n\ninterrupted\n"
    gate.write_text("")  # it has been stopping all the while
    gate.unlink()
    gate.touch()
    pool.ask(Update())
    pool.running("s", 1)


def test_a_pause_is_known_to_the_next_command_and_ends_with_its_process(pool: Supervised) -> None:
    (pool.root / "artisan").touch()
    php = pool.root / "php"
    php.write_text("#!/bin/sh\n[ \"$2\" = queue:work ] || exit 1\ntrap '' USR2\nexec sleep 1000\n")
    php.chmod(0o755)
    keys = "{connection: redis, queue: a, numprocs: 2, startsecs: 0, stdout_logfile: p.log}"
    pool.write(f"app: .\nphp: {php}\nprograms:\n  p: {keys}\n")
    pool.ask(Update())
    before = pool.running("p", 2)

    def paused() -> dict[str, bool]:
        return {p["display"]: p["paused"] for p in pool.status()["processes"]}

    pool.ask(Pause(("p:0", "p:1")))
    assert paused() == {"p:p_00": True, "p:p_01": True}
    pool.ask(Scale("p", 3))
    assert paused() == {"p:p_00": True, "p:p_01": True, "p:p_02": False}, "a command between changes nothing of it"
    os.kill(before["p_01"], signal.SIGKILL)
    eventually(lambda: pool.running("p", 3)["p_01"] != before["p_01"], what="Supervisor starts it anew")
    assert paused() == {"p:p_00": True, "p:p_01": False, "p:p_02": False}, "who was told is gone"
    pool.ask(Continue(("p:0",)))
    assert paused() == {"p:p_00": False, "p:p_01": False, "p:p_02": False}
    assert pool.running("p", 3)["p_00"] == before["p_00"]


def test_a_supervisord_that_starts_anew_runs_what_is_to_run(pool: Supervised) -> None:
    pool.ask(Stop(("w:1",)))
    pool.restart(kill=False)
    pool.running("w", 1)
    assert pool.states()["w_01"][0] == "STOPPED"
    pool.ask(Start(("w:1",)))
    pool.running("w", 2)


def test_workers_of_a_supervisord_that_was_killed_are_told_to_finish(pool: Supervised) -> None:
    before = pool.running("w", 2)
    pool.restart(kill=True)
    pool.running("w", 2)
    notes: list[str] = []
    problems = pool.status()["daemon"]["problems"]
    assert len(problems) == 2, problems
    assert all("still runs from a supervisord that was killed; `queuepool update` tells" in text for text in problems)
    assert all(birth(pid) for pid in before.values()), "who only looks ends nothing"
    pool.ask(Scale("w", 2), notes)
    for pid in before.values():
        eventually(lambda pid=pid: birth(pid) is None, what="it has ended")  # type: ignore[misc]
    assert sorted(note.partition(" ")[0] for note in notes) == ["w_00", "w_01"], notes
    pool.running("w", 2)


def test_a_file_of_ours_that_is_gone_is_said_and_written_again(pool: Supervised) -> None:
    before, text = pool.running("w", 2), pool.file.read_text()
    file = pool.file
    file.unlink()
    gone = f"{file} is gone, without which supervisord would not start these processes anew; "
    assert pool.status()["daemon"]["problems"] == [gone + "`queuepool update` writes it again"]
    notes: list[str] = []
    pool.ask(Update(), notes)
    assert notes == [gone + "it is written again"]
    assert (pool.file.read_text(), pool.running("w", 2)) == (text, before), "and no process is touched"
    file.unlink()
    pool.ask(Scale("w", 3))
    assert before.items() < pool.running("w", 3).items()
    assert pool.file.read_text().count("[program:") == 3


@pytest.mark.parametrize(
    ("instead", "why", "remedy"),
    [
        ("nothing", "No such file or directory", "make its directory: `mkdir -p {conf}`; supervisord need not be"),
        ("a file", "Not a directory", "look at what is in the place of its directory: `ls -ld {conf}`"),
        ("unwritable", "Permission denied", "run this as a user who may: `sudo queuepool ...`"),
    ],
)
def test_a_place_where_our_file_cannot_be_is_said_before_anything_is_done(
    pool: Supervised, instead: str, why: str, remedy: str
) -> None:
    before, file = pool.running("w", 2), pool.file
    away = pool.conf.with_name("away")
    if instead == "unwritable":
        pool.conf.chmod(0o555)
    else:
        pool.conf.rename(away)
        if instead == "a file":
            pool.conf.touch()
    try:
        done = pool.qp.try_("scale", "w", "3", under=WITHOUT_ROOTS_RIGHTS)
        found = pool.qp.try_("doctor").stdout if instead == "nothing" else "(supervisord.file)"
    finally:
        if away.exists():
            pool.conf.unlink(missing_ok=True)
            away.rename(pool.conf)
        pool.conf.chmod(0o755)
    hint = remedy.format(conf=pool.conf)
    assert (done.returncode, done.stdout) == (1, "")
    verb = "read" if instead == "a file" else "write"
    assert done.stderr.startswith(f"error: cannot {verb} {file}: {why}\nhint: {hint}"), done.stderr
    assert pool.running("w", 2) == before
    assert pool.status()["programs"][0]["wanted"] == 2, "nothing is left for the next command"
    assert "(supervisord.file)" in found


@pytest.mark.root
def test_a_full_disk_leaves_our_file_as_it_was_and_the_next_command_goes_on(pool: Supervised) -> None:
    before, text = pool.running("w", 2), pool.file.read_text()
    name = pool.file.name
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(pool.conf)]).returncode:
        pytest.skip("no mounts here")
    try:
        (pool.conf / name).write_text(text)
        done = pool.qp.try_("scale", "w", "3")
        assert done.returncode == 1
        assert f"cannot go on: cannot write {pool.conf / name}: No space left on device\n" in done.stderr
        assert f"hint: make room there: `df -h {pool.conf}`; then `queuepool update` goes on" in done.stderr
        assert [(path.name, path.read_text()) for path in pool.conf.iterdir()] == [(name, text)]
        assert pool.running("w", 2) == before
    finally:
        subprocess.run(["umount", str(pool.conf)], check=True)
    pool.ask(Update())
    assert before.items() < pool.running("w", 3).items()


def test_what_a_command_left_over_is_named_by_the_next_one(pool: Supervised) -> None:
    pool.ask(Scale("w", 3))
    text = pool.file.read_text()
    pool.ask(Scale("w", 2))
    pool.file.write_text(text)  # as if it had been killed when it had said what is wanted, and before it was done
    pool.sv.ctl("update")
    pool.running("w", 3)
    notes: list[str] = []
    pool.ask(Update(), notes)
    assert notes == ["a command was interrupted before this one; going on with w:w_02"]
    pool.running("w", 2)


def test_a_file_that_was_edited_by_hand_is_left_as_it_is(pool: Supervised) -> None:
    text = pool.file.read_text()
    pool.file.write_text(text + "user=root\n")
    with pytest.raises(QueuepoolError) as caught:
        pool.ask(Scale("w", 3))
    assert caught.value.message == f"cannot use {pool.file}: somebody edited it by hand, and queuepool would undo that"
    assert f"`rm {pool.file}`" in caught.value.hint
    assert pool.file.read_text() == text + "user=root\n"
    pool.file.write_text(text)


def test_a_program_of_somebody_else_with_our_name_is_never_touched(pool: Supervised) -> None:
    theirs = pool.conf / "theirs.conf"
    theirs.write_text("[program:w_02]\ncommand=sleep 1000\nstartsecs=0\n")
    pool.sv.ctl("update")
    pid = pool.running("w", 3)["w_02"]
    reply = pool.ask(Scale("w", 3))
    why = f"{theirs} has a program or group of that name, w_02; rename one of them"
    assert [f["display"] for f in reply["failed"]] == ["w:w_02"]
    assert why in reply["failed"][0]["message"]
    assert pool.status()["daemon"]["problems"] == [f"w:w_02: {why}"]
    notes: list[str] = []
    pool.ask(Scale("w", 3), notes)
    assert notes == [], "no command was interrupted"
    assert pool.states()["w_02"] == ("RUNNING", pid)
    pool.ask(Scale("w", 2))
    assert pool.states()["w_02"] == ("RUNNING", pid)
    theirs.unlink()
    pool.sv.ctl("update")


def test_names_that_another_queuepool_has_are_said_with_the_way_to_end_it(pool: Supervised, tmp_path: Path) -> None:
    before = pool.running("w", 2)
    other = tmp_path / "queuepool.yml"
    other.write_text(pool.head + "programs:\n" + program())
    has = f"{pool.file} has a w_00 as well, which queuepool wrote there from {pool.qp.file}; "
    with pool.here():
        mine = InProcess(str(other))
        [first, _] = mine.ask(Update())["results"]
        assert first["message"] == f"cannot be written for Supervisor: {has}`queuepool -c {pool.qp.file} down`"
        pool.qp.file.rename(pool.root / "moved")
        try:
            said = f"{has}`rm {pool.file}`, then `supervisorctl update` ends what it has"
            assert mine.status()["daemon"]["problems"][0] == f"w:w_00: {said}", "it was moved or taken away"
        finally:
            (pool.root / "moved").rename(pool.qp.file)
    assert pool.running("w", 2) == before


def test_a_file_of_somebody_else_that_supervisord_cannot_read_is_said(pool: Supervised) -> None:
    before = pool.running("w", 2)
    theirs = pool.conf / "theirs.conf"
    theirs.write_text("[program:bad]\ncommand=sleep 1\nnumprocs=many\n")
    with pytest.raises(QueuepoolError, match=r"supervisord at .* cannot read its files: CANT_REREAD: .*theirs.conf"):
        pool.ask(Scale("w", 3))
    assert pool.running("w", 2) == before
    theirs.unlink()
    pool.ask(Scale("w", 3))
    assert before.items() < pool.running("w", 3).items(), "the next command goes on"


def test_a_supervisord_that_does_not_answer_is_said_and_recovered(
    pool: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pool.running("w", 2)
    os.kill(pool.sv.process.pid, signal.SIGSTOP)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(supervisord_link, "ANSWER_SECONDS", 0.5)
            with pytest.raises(
                DaemonUnreachable, match=r"cannot ask supervisord at .*: it did not answer within 0.5 s"
            ):
                pool.status()
    finally:
        os.kill(pool.sv.process.pid, signal.SIGCONT)
    assert pool.ask(Scale("w", 3))["started"] == ["w:w_02"]
    assert before.items() < pool.running("w", 3).items()


class Gate:
    """Stands between a command and supervisord, and counts the calls. die_at: the one before which it kills who calls,
    by the pid that the kernel says; hold_at: the one before which it calls `hold`."""

    def __init__(self, directory: Path, target: str) -> None:
        self.path = str(directory / "gate")
        self.target = target.removeprefix("unix://")
        self.calls: list[str] = []
        self.die_at: int | None = None
        self.hold: Callable[[str], None] = lambda method: None
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                threading.Thread(target=self._one, args=(caller,), daemon=True).start()

    def _one(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            while request := _message(caller):
                found = re.search(rb"<methodName>supervisor\.(\w+)<", request)
                method = found[1].decode() if found else "?"
                self.calls.append(method)
                self.hold(method)
                if self.die_at is not None and len(self.calls) > self.die_at:
                    pid = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                    os.kill(pid, signal.SIGKILL)
                    return
                with socket.socket(socket.AF_UNIX) as there:
                    there.connect(self.target)
                    there.sendall(request)
                    caller.sendall(_message(there))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def _message(sock: socket.socket) -> bytes:
    """One HTTP message with its length in its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: *(\d+)", head, re.I)
    while len(body) < int(found[1] if found else 0):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def gate(pool: Supervised) -> Iterator[Gate]:
    """The site, asked through a gate."""
    gate = Gate(Path(pool.qp.runtime), pool.sv.url)
    head, pool.head = pool.head, pool.head.replace("}", f", url: 'unix://{gate.path}'}}")
    pool.write("programs:\n" + program())
    yield gate
    pool.head = head
    gate.close()
    os.unlink(gate.path)


def test_whenever_the_command_is_killed_the_next_one_goes_on(pool: Supervised, gate: Gate) -> None:
    """At each call of a restart of one process, which stops, removes, writes, adds and starts."""
    before = pool.running("w", 2)
    kept = before["w_00"]
    at = 4  # it has only asked who is there
    while True:
        gate.calls.clear()
        gate.die_at = at
        done = pool.qp.try_("restart", "w:1")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        calls, gate.die_at = list(gate.calls), None
        problems = pool.status()["daemon"]["problems"]
        notes: list[str] = []
        pool.ask(Scale("w", 2), notes)
        pids = pool.running("w", 2)
        assert pids["w_00"] == kept, "the other one is not touched"
        assert "autostart=false" not in pool.file.read_text()
        if calls[-1] in ("addProcessGroup", "removeProcessGroup"):
            assert notes == ["a command was interrupted before this one; going on with w:w_01"]
            [problem] = problems
            assert problem.startswith("w:w_01: a command was interrupted, or somebody changed something in Supervisor;")
        at += 1
    assert {"stopProcess", "removeProcessGroup", "reloadConfig", "addProcessGroup", "startProcess"} <= set(gate.calls)
    assert at >= 11, "it was killed often enough"


def test_a_supervisord_that_is_killed_in_the_middle_is_said_and_the_next_command_goes_on(
    pool: Supervised, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "PATIENCE_SECONDS", 1.0)
    before = pool.running("w", 2)

    def hold(method: str) -> None:
        if method == "addProcessGroup":
            pool.sv.process.kill()
            pool.sv.process.wait()

    gate.hold = hold
    with pytest.raises(QueuepoolError, match="cannot go on: cannot ask supervisord") as caught:
        pool.ask(Scale("w", 4))
    assert "then `queuepool update` goes on" in caught.value.hint
    survivors = ", ".join(f"{name} (pid {pid})" for name, pid in before.items())
    assert caught.value.hint.endswith(f"; its processes that still run: {survivors}")
    with pytest.raises(DaemonUnreachable, match="cannot ask supervisord") as away:
        pool.status()
    assert away.value.hint.endswith(f"; its processes that still run: {survivors}")
    gate.hold = lambda method: None
    pool.restart()
    gate.target = pool.sv.url.removeprefix("unix://")
    pool.ask(Update())
    pool.running("w", 4)


def test_a_supervisord_that_is_slow_in_the_middle_delays_it(
    pool: Supervised, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisord_link, "ANSWER_SECONDS", 1.0)
    asked = threading.Event()

    def hold(method: str) -> None:
        if method == "addProcessGroup" and gate.calls.count(method) == 1:
            assert asked.wait(LIMIT)  # it takes until after whoever called has given up, and asks again
        elif "addProcessGroup" in gate.calls:
            asked.set()

    gate.hold = hold
    before = pool.running("w", 2)
    assert pool.ask(Scale("w", 4))["wanted"] == 4
    assert before.items() < pool.running("w", 4).items()


def test_one_that_somebody_else_starts_first_counts_as_started(pool: Supervised, gate: Gate) -> None:
    pool.sv.ctl("stop", "w_01")

    def hold(method: str) -> None:
        if gate.calls.count("getAllProcessInfo") == 2:  # it was seen stopped, and is about to be started
            gate.hold = lambda method: None
            pool.sv.ctl("start", "w_01")

    gate.hold = hold
    done = pool.qp.try_("start", "w:1", timeout=30)
    assert (done.returncode, done.stdout) == (0, "w:w_01: started\n"), done.stderr
    pool.running("w", 2)


def test_a_signal_that_supervisord_did_not_take_is_sent_once_it_answers_again(pool: Supervised, gate: Gate) -> None:
    before = pool.running("w", 2)
    refused = iter([True, True])  # xmlrpc.client tries once more by itself

    def hold(method: str) -> None:
        if method == "signalProcess" and next(refused, False):
            raise ConnectionResetError

    gate.hold = hold
    assert pool.ask(Signal(("w:1",), "KILL"))["results"][0]["result"] == "signalled"
    eventually(lambda: pool.running("w", 2)["w_01"] != before["w_01"], what="it was killed, and started anew")
    assert pool.running("w", 2)["w_00"] == before["w_00"]


def test_tcp_with_a_password_and_with_a_wrong_one(tmp_path: Path) -> None:
    port = free_port()
    server = f"[inet_http_server]\nport=127.0.0.1:{port}\nusername=u\npassword=hello world\n"
    url = f", url: 'http://127.0.0.1:{port}'"
    with Supervised(tmp_path, "programs:\n" + program(), more=server, engine=url) as site:
        site.ask(Update())
        site.running("w", 2)
        site.head = site.head.replace("}", ", username: u, password: nonsense}")
        site.write("programs:\n" + program())
        with pytest.raises(QueuepoolError, match="it wants another username and password") as caught:
            site.ask(Scale("w", 3))
        assert "give them below `engine` in queuepool.yml, `username: ...` and `password: ...`" in caught.value.hint
        assert "nonsense" not in f"{caught.value.message}{caught.value.hint}"
        assert "nonsense" not in repr(load(str(site.qp.file), os.environ).engine)
        assert "nonsense" not in site.qp("config", "show")
