"""The daemon's own life: killed, upgraded, told to end, started twice. Nothing that its workers do may be lost."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from queuepool.errors import ExitCode
from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.wait import eventually
from tests.support.worker import Report, control_fifo, order, worker_argv


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "report")


def chatty(report: Report, log: Path, numprocs: int) -> str:
    """Workers that print numbered lines without end, 800 bytes each, into one file; told to end they leave with 7."""
    argv = worker_argv(report=report, name="chat", lines=1_000_000, width=800, every=0.008, stop_code=7, life=280)
    return f"""
programs:
  w:
    type: command
    command: {shlex.join(argv)!r}
    numprocs: {numprocs}
    startsecs: 0
    stdout_logfile: {log}
    stdout_logfile_maxbytes: 400KB
    stdout_logfile_backups: 1000
"""


def size(log: Path) -> int:
    """Of the newest file; 0 in the moment in which there is none, between two of them."""
    with contextlib.suppress(FileNotFoundError):
        return log.stat().st_size
    return 0


def whole_log(log: Path) -> bytes:
    files = sorted(log.parent.glob(log.name + ".*"), key=lambda path: -int(path.suffix[1:]))
    return b"".join(path.read_bytes() for path in [*files, log])


def check_lines(log: Path, report: Report) -> int:
    """Every worker's numbers are there in order, from 1 to the last that it wrote, none missing, doubled or torn; how
    many in all. Of one that did not leave by itself only the beginning is known."""
    last = dict.fromkeys((said.pid for said in report.said("ready")), 0)
    for line in whole_log(log).split(b"\n")[:-1]:
        pid, number, rest = line.split(b" ", 2)
        assert len(line) == 799, f"torn: {line!r}"
        assert set(rest) <= set(b"x"), f"torn: {line!r}"
        assert int(number) == last[int(pid)] + 1, f"{pid!r}: {number!r} after {last[int(pid)]}"
        last[int(pid)] = int(number)
    wrote = {said.pid: int(said.text) for said in report.said("said")}
    left = {said.pid: wrote.get(said.pid, 0) for said in report.said("leaving")}
    assert {pid: last[pid] for pid in left} == left, "the last lines are there too"
    return sum(last.values())


def is_full(pid: int) -> bool:
    """Whether the pipe that a process prints to takes no more."""
    fd = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [fd], [], 0)[1]
    finally:
        os.close(fd)


@pytest.mark.parametrize(("how", "rounds", "count"), [("kill", 20, 20), ("upgrade", 10, 10)])
def test_a_daemon_replaced_again_and_again_loses_no_process_no_line_and_no_exit_code(
    tmp_path: Path, report: Report, how: str, rounds: int, count: int
) -> None:
    """Killed by SIGKILL and started anew, once so late that the workers' pipes are full, or upgraded in place."""
    log = tmp_path / "logs" / "w.log"
    with Queuepool(tmp_path, chatty(report, log, count)) as qp:
        pid = qp.up()
        before = qp.running("w", count)
        report.wait("ready", count=count)
        for round_ in range(rounds):
            seen = size(log)
            if how == "kill":
                qp.kill()
                if round_ == 0:
                    eventually(lambda: all(map(is_full, before.values())), what="all the pipes are full")
                pid = qp.up()
            else:
                started = qp.started_at()
                qp("upgrade")
                eventually(lambda started=started: qp.started_at() not in (None, started), what="the new daemon")
            assert qp.status()["daemon"]["pid"] == pid == qp.run.pid()
            assert qp.running("w", count) == before, f"round {round_}"
            adopted = {p["adopted"] for p in qp.processes("w")}
            assert adopted == {how == "kill"}, "after an upgrade they are its children still"
            assert len(report.said("ready")) == count, "nobody was started twice"
            eventually(lambda seen=seen: size(log) not in (0, seen), what="lines arrive again")
        os.kill(before["w:1"], signal.SIGTERM)
        os.kill(before["w:3"], signal.SIGSEGV)
        report.wait("ready", count=count + 2)
        if how == "upgrade" or strangers_exits_are_told():
            ended = {e["process"]: e["fields"]["code"] for e in qp.events() if e["event"] == "exited"}
            assert ended == {"w:1": 7, "w:3": -signal.SIGSEGV}
        qp("stop", "w")
        assert len(report.said("leaving", text="7")) == count + 1, "all but the one that died"
        assert check_lines(log, report) > 1000
        assert not report.said("broken"), "nobody met a broken pipe"


def strangers_exits_are_told() -> bool:
    """Whether the kernel tells how a process ended that was not our child."""
    return tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)


def test_an_upgrade_with_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    text = f"programs:\n  w: {{type: command, command: {shlex.join(worker_argv())!r}, numprocs: 2}}\n"
    with Queuepool(tmp_path, text) as qp:
        pid = qp.up()
        workers = qp.running("w", 2)
        qp.write(text + "progams: {}\n")
        refused = qp.try_("upgrade")
        assert refused.returncode == ExitCode.USAGE
        assert "progams" in refused.stderr
        assert qp.run.pid() == pid
        assert qp.running("w", 2) == workers
        qp.write(text)
        qp("upgrade")
        assert qp.running("w", 2) == workers


def test_what_had_ended_before_an_upgrade_is_no_hindrance_after_it(tmp_path: Path) -> None:
    text = f"""
programs:
  once: {{type: command, command: {shlex.join(worker_argv(exit=0))!r}, startsecs: 0, autorestart: false}}
  fails: {{type: command, command: {shlex.join(worker_argv(exit=1))!r}, startretries: 0}}
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.state("once:0", "EXITED")
        qp.state("fails:0", "FATAL")
        started = qp.started_at()
        qp("upgrade")
        eventually(lambda: qp.started_at() not in (None, started), what="the new daemon")
        qp.state("once:0", "EXITED")
        qp.state("fails:0", "FATAL")
        qp("down")
        assert qp.process is not None
        assert qp.process.wait(60) == 0


@pytest.mark.parametrize("systemd", [True, False])
def test_a_worker_that_died_while_no_daemon_was_there_is_replaced(
    tmp_path: Path, report: Report, systemd: bool
) -> None:
    """What it had printed is there too, where systemd held its pipe meanwhile: the kernel empties a pipe that nobody
    holds."""
    control, log = control_fifo(tmp_path / "control"), tmp_path / "w.log"
    argv = worker_argv(report=report, name="w", control=control, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0, stdout_logfile: {log}}}\n"
    with FakeSystemd() as store, Queuepool(tmp_path, text, **({"NOTIFY_SOCKET": store.path} if systemd else {})) as qp:
        qp.up()
        [pid] = qp.running("w", 1).values()
        report.wait("ready", count=1)
        store.take()
        qp.kill()
        order(control, "say 50", "exit 3")
        report.wait("leaving", text="3")
        eventually(lambda: procstat.birth(pid) is None, what="it is gone")
        qp.up()
        [new] = qp.running("w", 1).values()
        assert new != pid
        assert any(e["event"] == "stopped" and e["process"] == "w:0" for e in qp.events())
        assert len(log.read_bytes().splitlines() if log.exists() else []) == (50 if systemd else 0)
        qp("stop", "w")
        store.take()
        assert not [name for name in store.held if name.startswith("w.0.1.")], "nothing is held of what is gone"


WAITS_FOR_THE_TEST = """
import os
if "QUEUEPOOL_UPGRADE" in os.environ:
    open({hold!r}).read()
"""


def test_a_worker_that_ends_in_the_middle_of_an_upgrade_loses_no_line(tmp_path: Path, report: Report) -> None:
    """The daemon is the same process before and after, so it can hold the pipes for as long as that takes."""
    control, log, hold = control_fifo(tmp_path / "control"), tmp_path / "w.log", tmp_path / "hold"
    os.mkfifo(hold)
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(WAITS_FOR_THE_TEST.format(hold=str(hold)))
    argv = worker_argv(report=report, name="w", control=control, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0, stdout_logfile: {log}}}\n"
    with Queuepool(tmp_path, text, PYTHONPATH=str(tmp_path / "first")) as qp:
        qp.up()
        [pid] = qp.running("w", 1).values()
        report.wait("ready", count=1)
        with subprocess.Popen(qp.command("upgrade"), env=qp.environment, cwd=qp.directory) as upgrade:
            held = eventually(lambda: opened(hold), what="the new code begins")
            order(control, "say 50", "exit 3")
            report.wait("leaving", text="3")
            eventually(lambda: procstat.birth(pid) is None, what="it is gone")
            os.close(held)
            assert upgrade.wait(60) == 0
        qp.running("w", 1)
        assert len(log.read_bytes().splitlines()) == 50
        open_now = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{qp.run.pid()}/fd")]
        assert len([path for path in open_now if path.startswith(qp.run.pipes)]) == 1, "none is held for ever"


def test_a_daemon_that_is_told_to_end_in_the_middle_of_an_upgrade_ends(tmp_path: Path, report: Report) -> None:
    """Else `systemctl stop` waits as long as a job may take, and cuts all jobs off then."""
    hold = tmp_path / "hold"
    os.mkfifo(hold)
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(WAITS_FOR_THE_TEST.format(hold=str(hold)))
    argv = worker_argv(report=report, name="w", life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0}}\n"
    with Queuepool(tmp_path, text, PYTHONPATH=str(tmp_path / "first")) as qp:
        pid = qp.up()
        qp.running("w", 1)
        report.wait("ready", count=1)
        with subprocess.Popen(qp.command("upgrade"), env=qp.environment, cwd=qp.directory) as upgrade:
            held = eventually(lambda: opened(hold), what="the new code begins")
            os.kill(pid, signal.SIGTERM)
            os.close(held)
            assert qp.process is not None
            assert qp.process.wait(60) == 0
            upgrade.wait(60)
        report.wait("leaving", text="0")


def opened(fifo: Path) -> int | None:
    """The writing end, once somebody reads there."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_what_systemd_passed_on_is_not_closed_again_by_an_upgrade(tmp_path: Path) -> None:
    """By then other files have those numbers, such as the lock and the socket."""
    script = 'exec 3<&0 4<&0 5<&0 6<&0 7<&0 8<&0 9<&0; exec env LISTEN_PID=$$ LISTEN_FDS=7 "$@"'
    with Queuepool(tmp_path, "programs:\n  w: {type: command, command: sleep 100, startsecs: 0}\n") as qp:
        pid = qp.up(under=("sh", "-c", script, "sh"))
        before = qp.running("w", 1)
        qp("upgrade")
        assert qp.run.pid() == pid, "it has its lock"
        assert qp.running("w", 1) == before
        qp("restart", "w")


class FakeSystemd:
    """The notify socket and the descriptor store of systemd."""

    def __init__(self) -> None:
        self.path = tempfile.mktemp(prefix="qp-notify-", dir="/tmp")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.held: dict[str, int] = {}
        self.said: list[str] = []

    def take(self) -> None:
        """Read what was sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
                values = dict(line.split("=", 1) for line in text.decode().splitlines())
                self.said.append(text.decode())
                if "FDSTORE" in values:
                    self.held[values["FDNAME"]] = fds[0]
                elif "FDSTOREREMOVE" in values and values["FDNAME"] in self.held:
                    os.close(self.held.pop(values["FDNAME"]))

    def __enter__(self) -> FakeSystemd:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.unlink(self.path)
        for fd in self.held.values():
            os.close(fd)


def test_an_adopted_worker_behaves_as_any_other(tmp_path: Path, report: Report) -> None:
    argv = worker_argv(report=report, name="w", stop=0.2, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, numprocs: 3, startsecs: 0}}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        before = qp.running("w", 3)
        report.wait("ready", count=3)
        qp.kill()
        qp.up()
        qp.running("w", 3)
        os.kill(before["w:0"], signal.SIGKILL)
        report.wait("ready", count=4)
        after = qp.running("w", 3)
        assert after["w:0"] != before["w:0"]
        assert (after["w:1"], after["w:2"]) == (before["w:1"], before["w:2"])
        exits = [e for e in qp.events() if e["event"] == "exited"]
        if strangers_exits_are_told():
            assert exits[0]["fields"]["code"] == -9, "the kernel tells how a stranger ended"
        qp("stop", "w:1")
        qp("restart", "w:2")
        qp("down")
        assert procstat.birth(after["w:2"]) is None


def test_a_pid_that_was_reused_is_never_touched(tmp_path: Path, report: Report) -> None:
    text = "programs:\n  w: {type: command, command: sleep 100, startsecs: 0}\n"
    with Queuepool(tmp_path, text) as qp, subprocess.Popen(["sleep", "100"], start_new_session=True) as innocent:
        try:
            qp.up()
            [pid] = qp.running("w", 1).values()
            qp.kill()
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: procstat.birth(pid) is None, what="the worker is gone")
            record = Path(qp.run.record)
            record.write_text(record.read_text().replace(f'"pid":{pid}', f'"pid":{innocent.pid}'))
            qp.up()
            [new] = qp.running("w", 1).values()
            assert new != innocent.pid
            qp("down")
            assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.parametrize("damage", ["lost", "garbage", "truncated"])
def test_a_damaged_record_still_finds_the_workers(tmp_path: Path, report: Report, damage: str) -> None:
    argv = worker_argv(report=report, name="w", life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, numprocs: 3, startsecs: 0}}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.running("w", 3)
        report.wait("ready", count=3)
        qp.kill()
        record = Path(qp.run.record)
        if damage == "lost":
            record.unlink()
        elif damage == "garbage":
            record.write_bytes(b"\xff\x00 not json\n" * 3)
        else:
            record.write_bytes(record.read_bytes()[:-20])
        qp.up()
        qp.running("w", 3)
        ready = report.said("ready")
        alive = [said for said in ready if procstat.birth(said.pid)]
        assert len(alive) == 3, "nobody is doubled"
        kinds = {event["event"] for event in qp.events()}
        assert ("state_trouble" in kinds) == (damage == "garbage")
        assert "config_refused" not in kinds, "the file is all right"


def test_trouble_with_a_file_of_the_daemons_own_is_over_when_it_is_saved_again(tmp_path: Path) -> None:
    text = "programs:\n  w: {type: command, command: sleep 100, startsecs: 0}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.running("w", 1)
        in_the_way = Path(qp.run.overrides)
        in_the_way.mkdir(exist_ok=True)
        qp("stop", "w")
        said = qp.try_("status")
        assert said.returncode == 3
        assert f"! cannot save {in_the_way}: Is a directory; a restart of the daemon would forget this\n" in said.stdout
        in_the_way.rmdir()
        qp("start", "w")
        assert qp.try_("status").returncode == 0
        assert f"{in_the_way} is saved again\n" in qp("events")


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    text = "programs:\n  w: {type: command, command: sleep 100, startsecs: 0}\n"
    with Queuepool(tmp_path, text) as qp:
        pid = qp.up()
        running = qp.running("w", 1)
        done = qp.try_("up")
        assert done.returncode == 0, "`up` of what is up applies the file"
        assert str(pid) in done.stdout
        assert qp.pids("w") == running
        born = [procstat.birth(worker) for worker in (pid, *running.values())]
        os.unlink(qp.run.socket)
        done = qp.try_("up")
        assert done.returncode == 4
        assert str(pid) in done.stderr
        assert [procstat.birth(worker) for worker in (pid, *running.values())] == born, "daemon and worker are the same"
        assert None not in born


def test_a_stale_socket_and_lock_are_no_obstacle(tmp_path: Path) -> None:
    text = "programs:\n  w: {type: command, command: sleep 100, startsecs: 0}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.run.make()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(qp.run.socket)
        Path(qp.run.lock).write_text("1\n")
        qp.up()
        qp.running("w", 1)


def test_up_d_wait_and_down(tmp_path: Path, report: Report) -> None:
    argv = worker_argv(report=report, name="w", stop=0.3, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, numprocs: 2}}\n"
    with Queuepool(tmp_path, text) as qp:
        qp("up", "-d", "--wait")
        assert len(qp.pids("w")) == 2, "it returned when they ran"
        report.wait("ready", count=2)
        out = qp("down")
        assert "stopped" in out
        assert len(report.said("leaving", text="0")) == 2
        assert qp.run.pid() is None
        assert qp.try_("down").returncode == 5


def test_up_wait_says_what_does_not_run(tmp_path: Path) -> None:
    text = "programs:\n  good: {type: command, command: sleep 100}\n  bad: {type: command, command: /no/such/thing}\n"
    with Queuepool(tmp_path, text) as qp:
        done = qp.try_("up", "-d", "--wait", "2")
        assert done.returncode == 3
        assert "bad" in done.stdout + done.stderr
        assert "/no/such/thing" in done.stdout + done.stderr
        qp.running("good", 1)


def test_hup_applies_the_file_and_usr2_reopens_the_logs(tmp_path: Path) -> None:
    control, log = control_fifo(tmp_path / "control"), tmp_path / "w.log"
    argv = worker_argv(control=control, life=200)
    one = f"  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0, stdout_logfile: {log}}}\n"
    two = "  x: {type: command, command: sleep 100, startsecs: 0}\n"
    with Queuepool(tmp_path, "programs:\n" + one) as qp:
        pid = qp.up()
        qp.running("w", 1)
        qp.write("programs:\n" + one + two)
        os.kill(pid, signal.SIGHUP)
        qp.running("x", 1)
        order(control, "say 10")
        eventually(lambda: log.exists() and len(log.read_bytes().splitlines()) == 10, what="ten lines")
        log.rename(tmp_path / "moved.log")
        os.kill(pid, signal.SIGUSR2)
        eventually(log.exists, what="a new file")
        order(control, "say 5")
        eventually(lambda: len(log.read_bytes().splitlines()) == 5, what="five lines in it")
        qp.write("programs: [")
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: any(e["event"] == "config_refused" for e in qp.events()), what="a refusal")
        qp.running("x", 1)


def test_term_drains_and_a_second_term_hurries(tmp_path: Path, report: Report) -> None:
    argv = worker_argv(report=report, name="w", stop=100, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0, stopwaitsecs: 90}}\n"
    with Queuepool(tmp_path, text) as qp:
        pid = qp.up()
        qp.running("w", 1)
        report.wait("ready", count=1)
        os.kill(pid, signal.SIGTERM)
        report.wait("signal", text="TERM")
        assert qp.process is not None
        assert qp.process.poll() is None, "it waits for the job"
        os.kill(pid, signal.SIGTERM)
        assert qp.process.wait(60) == 0


def test_systemd_is_told_and_its_watchdog_fed(tmp_path: Path) -> None:
    text = "programs:\n  w: {type: command, command: 'sh -c \"env; sleep 100\"', startsecs: 0}\n"
    with FakeSystemd() as systemd, Queuepool(
        tmp_path, text, NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="200000"
    ) as qp:  # fmt: skip
        pid = qp.up()

        def fed() -> bool:
            systemd.take()
            return systemd.said.count("WATCHDOG=1") >= 3

        eventually(fed, what="the watchdog is fed")
        assert any(said.startswith(f"READY=1\nMAINPID={pid}") for said in systemd.said)
        file = tmp_path / "logs" / "w.log"
        log = str(eventually(lambda: file.exists() and file.read_text(), what="its environment"))
        assert "NOTIFY_SOCKET" not in log
        assert "WATCHDOG" not in log
        qp("down")
        systemd.take()
        assert any("STOPPING=1" in said for said in systemd.said)


@pytest.mark.root
def test_as_pid_1_it_reaps_obeys_and_drains(tmp_path: Path, report: Report) -> None:
    """As in a container: the signals that pid 1 does not handle would be ignored, and orphans are its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("no pid namespaces here")
    argv = worker_argv(report=report, name="w", stop=0.2, life=200)
    script = f"setsid sleep 0.3 & exec {shlex.join(argv)}"
    text = f"programs:\n  w: {{type: command, command: {['sh', '-c', script]!r}, startsecs: 0}}\n"
    with Queuepool(tmp_path, text) as qp, open(qp.output, "ab") as out:
        inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *qp.command("up")]
        outer = subprocess.Popen(inside, env=qp.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            eventually(qp.answers, what="it answers", show=qp.story)
            qp.running("w", 1)
            report.wait("ready")
            pid = int(_children(outer.pid)[0])
            eventually(lambda: len(_children(pid)) == 1, what="the orphan is reaped")
            os.kill(pid, signal.SIGTERM)
            assert outer.wait(60) == 0
            assert report.said("leaving", text="0"), "the worker was drained"
        finally:
            outer.kill()
            outer.wait()


def test_orphans_are_reaped(tmp_path: Path) -> None:
    """A worker's grandchild that outlives it comes to the daemon, as it would to pid 1 in a container."""
    script = "setsid sh -c 'sleep 0.2' & sleep 0.1; exit 0"
    text = f"programs:\n  w: {{type: command, command: {['sh', '-c', script]!r}, startsecs: 0, autorestart: false}}\n"
    with Queuepool(tmp_path, text) as qp:
        pid = qp.up()
        qp.state("w:0", "EXITED")

        def zombies() -> list[int]:
            found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
            return [p for p in found if procstat.parent(p) == pid and procstat.birth(p) is None]

        eventually(lambda: not zombies() and not _children(pid), 20, "no child and no zombie is left")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_without_pidfd_everything_works_by_sigchld(tmp_path: Path, report: Report) -> None:
    """The way of macOS: os.pidfd_open is taken away before the daemon looks for it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os\ndel os.pidfd_open\n")
    argv = worker_argv(report=report, name="w", stop=0.1, life=200)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, numprocs: 3, startsecs: 0}}\n"
    with Queuepool(tmp_path, text, PYTHONPATH=str(site)) as qp:
        qp.up()
        before = qp.running("w", 3)
        report.wait("ready", count=3)
        os.kill(before["w:0"], signal.SIGKILL)
        report.wait("ready", count=4)
        adopted = qp.running("w", 3)
        qp.kill()
        qp.up()
        assert qp.running("w", 3) == adopted
        os.kill(adopted["w:1"], signal.SIGKILL)
        report.wait("ready", count=5)
        qp.running("w", 3)
        qp("down")
        assert len(report.said("leaving", text="0")) == 3


def test_the_tests_run_on_the_python_that_they_test() -> None:
    assert sys.version_info >= (3, 11)


def test_without_a_daemon_people_are_told_what_goes_on_without_it(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n  w: {type: command, command: sleep 100, startsecs: 0, numprocs: 2}\n") as qp:
        assert "hint: start it with `queuepool up`\n" in qp.try_("status").stderr
        qp.up()
        qp.running("w", 2)
        qp.kill()
        again = "hint: start it with `queuepool up`: it takes up the 2 processes that went on without it\n"
        for command in ("status", "down", "pid"):
            assert qp.try_(command).stderr.endswith(again), command
        assert "error: no daemon runs for" in qp.try_("down").stderr
        assert qp.try_("events").stderr.endswith(f"; what former ones did stands in {qp.run.log}\n")
        qp.up()
        assert qp("down").endswith("down\n")
