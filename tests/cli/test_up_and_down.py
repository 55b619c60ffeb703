"""`up` and `down` with the real daemon and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.control.client import Client
from queuepool.errors import ExitCode
from queuepool.system.rundir import RunDirectory

from .calling import Place, Terminal, call

TALKER = "sh -c 'echo hello from $$; exec sleep 1000'"
STUBBORN = "sh -c 'trap \"\" TERM; echo stubborn; while :; do sleep 0.05; done'"


def programs(place: Place, **commands: str) -> None:
    place.config.write_text(
        "programs:\n"
        + "".join(
            f"  {name}: {{type: command, startsecs: 0, stopwaitsecs: 60, command: {json.dumps(command)}}}\n"
            for name, command in commands.items()
        )
    )


@pytest.fixture
def site(place: Place) -> Iterator[Place]:
    """A place whose daemon, if a test leaves one, is ended with everything it runs."""
    programs(place, talk=TALKER)
    yield place
    if RunDirectory(str(place.config)).pid() is not None:
        assert call("down", "--kill").returncode == 0


def test_words_about_supervisord_in_a_file_do_not_make_it_the_engine(site: Place) -> None:
    site.config.write_text("# once in supervisord.conf, beside the search engine\n" + site.config.read_text())
    up = subprocess.Popen([sys.executable, "-m", "queuepool", "up"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert up.stdout is not None
    assert any(b"talk is running" in line or b"hello from" in line for line in up.stdout)
    assert call("down").returncode == 0
    assert up.wait(30) == 0
    up.stdout.close()
    assert "queuepool up" in call("down").stderr


def daemon_pid(site: Place) -> int | None:
    return RunDirectory(str(site.config)).pid()


def test_a_detached_daemon_answers_as_soon_as_up_returns_and_is_its_own_session(site: Place) -> None:
    done = call("up", "-d")
    pid = daemon_pid(site)
    assert (done.returncode, done.stdout) == (0, f"up: the daemon has pid {pid}\n"), done.stderr
    assert pid is not None
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert call("status").returncode == 0


def test_a_detached_daemon_keeps_nothing_open_of_its_caller(site: Place, tmp_path: Path) -> None:
    lock = tmp_path / "deploy.lock"
    command = f"exec 9>{lock}; flock 9; {sys.executable} -m queuepool up -d; exec 9>&-; flock -n {lock} echo free"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("free\n")  # and the pipe of this very test was closed, or `run` would not return


def test_up_waits_until_everything_runs(site: Place) -> None:
    done = call("up", "--wait")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "everything runs")


def test_how_long_up_waits_may_have_a_unit_and_what_is_no_time_says_so(site: Place) -> None:
    assert call("up", "--wait", "1m").stdout.splitlines()[-1] == "everything runs"
    done = call("up", "--wait", "soon")
    assert (done.returncode, "'soon' is not a duration such as" in done.stderr) == (ExitCode.USAGE, True)


def test_up_that_waits_names_what_does_not_run_and_why(site: Place) -> None:
    programs(site, talk=TALKER)
    bad = "sh -c 'echo no such database; exit 3'"
    with site.config.open("a") as file:  # with startsecs 0 it would be RUNNING until it has exited
        file.write(f"  bad: {{type: command, startsecs: 60, command: {json.dumps(bad)}}}\n")
    done = call("up", "--wait", "3")
    assert done.returncode == ExitCode.NOT_AS_WANTED
    assert "bad" in done.stderr
    assert "exit 3" in done.stdout
    assert "no such database" in done.stdout
    assert "`queuepool status bad`" in done.stderr


@pytest.mark.parametrize("args", [["up"], ["up", "-d"], ["up", "--wait"]])
def test_a_broken_file_prints_every_problem_and_starts_nothing(site: Place, args: list[str]) -> None:
    site.config.write_text("programs:\n  a: {numproc: 2}\n  b: {type: what}\n")
    done = call(*args)
    assert done.returncode == ExitCode.USAGE
    assert "queuepool.yml:2" in done.stderr
    assert "queuepool.yml:3" in done.stderr
    assert "Traceback" not in done.stderr
    assert daemon_pid(site) is None


def test_up_beside_a_running_daemon_applies_the_file_and_touches_nothing_else(site: Place) -> None:
    call("up", "--wait")
    before = call("pid", "talk").stdout
    programs(site, talk=TALKER, more=TALKER)
    done = call("up")
    assert done.returncode == 0, done.stderr
    assert "already up" in done.stdout
    assert "more: added" in done.stdout
    assert call("pid", "talk").stdout == before
    assert call("status", "more").returncode == 0


def test_systemd_is_told_that_another_daemon_runs(site: Place) -> None:
    call("up", "-d")
    assert call("up", NOTIFY_SOCKET="/none").returncode == ExitCode.LOCKED


def test_in_the_foreground_the_lines_of_the_workers_are_shown_and_ctrl_c_drains(site: Place) -> None:
    terminal = Terminal("up")
    terminal.until(lambda seen: b"hello from" in seen)
    assert b"| hello from" in terminal.shown.replace(b"\x1b[0m", b"")
    assert b"talk:0 started, pid " in terminal.shown
    terminal.type(b"\x03")
    assert terminal.end() == 0
    assert b"Traceback" not in terminal.shown
    assert daemon_pid(site) is None


def test_in_the_foreground_a_line_longer_than_a_pipe_is_one_line(site: Place, tmp_path: Path) -> None:
    script = "import sys, time; sys.stdout.write('x' * 100_000 + ' end\\n'); sys.stdout.flush(); time.sleep(600)"
    (tmp_path / "long.py").write_text(script)
    programs(site, long=f"{sys.executable} {tmp_path}/long.py")
    terminal = Terminal("up")
    terminal.until(lambda seen: b"x end" in seen)
    assert terminal.shown.replace(b"\x1b[0m", b"").count(b"| xxx") == 1
    terminal.type(b"\x03")
    assert terminal.end() == 0


def test_a_second_ctrl_c_does_not_wait_for_jobs(site: Place) -> None:
    programs(site, stubborn=STUBBORN)
    terminal = Terminal("up")
    terminal.until(lambda seen: b"| stubborn" in seen.replace(b"\x1b[0m", b""))
    terminal.type(b"\x03")
    terminal.until(lambda seen: b"Ctrl-C again ends them" in seen)
    terminal.type(b"\x03")
    assert terminal.end() == 0


def test_down_prints_what_stopped_and_returns_when_the_daemon_is_gone(site: Place) -> None:
    call("up", "--wait")
    pid = daemon_pid(site)
    done = call("down")
    assert (done.returncode, done.stdout) == (0, "talk: stopped\ndown\n"), done.stderr
    assert not os.path.exists(f"/proc/{pid}/exe") or daemon_pid(site) is None
    assert call("down").returncode == ExitCode.NO_DAEMON


def test_ctrl_c_of_down_leaves_the_daemon_draining_and_kill_ends_it(site: Place) -> None:
    programs(site, stubborn=STUBBORN)
    call("up", "--wait")
    terminal = Terminal("down")
    terminal.until(lambda seen: b"waiting for stubborn (STOPPING" in seen)
    terminal.type(b"\x03")
    assert terminal.end() == ExitCode.INTERRUPTED
    assert b"goes on by itself" in terminal.shown
    assert "is stopping" in call("status").stdout
    assert call("down", "--kill").returncode == 0
    assert daemon_pid(site) is None


def test_a_daemon_that_hangs_is_named_with_its_pid(site: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    call("up", "-d")
    pid = daemon_pid(site)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPATIENT], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == ExitCode.NO_DAEMON
        assert "did not answer" in done.stderr
        assert call("pid").stdout == f"{pid}\n"
    finally:
        os.kill(pid, signal.SIGCONT)


_IMPATIENT = """
import sys
from queuepool.control import client
client.Client.__init__.__defaults__ = (0.2,)
from queuepool.cli import context, main
context.Context.client.__defaults__ = (0.2,)
sys.exit(main.run(["status"]))
"""


def test_upgrade_keeps_the_pid_the_workers_and_the_detachment(site: Place) -> None:
    call("up", "--wait")
    before = (daemon_pid(site), call("pid", "talk").stdout)
    asked = Client(RunDirectory(str(site.config)).socket)
    started = asked.status()["daemon"]["started_at"]
    done = call("upgrade")
    assert done.returncode == 0, done
    assert asked.status()["daemon"]["started_at"] > started, "whoever comes next meets the new one"
    assert call("status", "talk").returncode == 0
    assert (daemon_pid(site), call("pid", "talk").stdout) == before
    log = Path(RunDirectory(str(site.config)).log).read_text()
    assert "hello from" not in log  # the workers' lines are in their own files
