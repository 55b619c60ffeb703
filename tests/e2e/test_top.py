"""`top` at a real terminal, on a real daemon: what a person sees on the screen, what keys do, and how the terminal is
left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.errors import ExitCode
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.screen import Screen
from tests.support.wait import eventually
from tests.support.worker import Report, worker_argv

SIZES = [(80, 24), (120, 40), (60, 20)]


@pytest.fixture(scope="module")
def qp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queuepool]:
    """A daemon with three workers, one that prints what is appended to the file `feed`, and one that always fails."""
    place = tmp_path_factory.mktemp("top")
    (place / "feed").write_text("")
    worker = shlex.join(worker_argv(report=Report(place / "report"), name="w", life=600))
    text = f"""
programs:
  w: {{type: command, command: {json.dumps(worker)}, numprocs: 3, startsecs: 0}}
  talk: {{type: command, command: tail -n +1 -f {place / "feed"}, startsecs: 0, stdout_logfile: talk.log}}
  bad: {{type: command, command: sh -c 'echo no such table; exit 3', startretries: 0, fatal_retry: 3600}}
"""
    with Queuepool(place, text) as daemon:
        daemon.up()
        daemon.running("w", 3)
        daemon.state("bad:0", "FATAL")
        yield daemon


@pytest.fixture(autouse=True)
def _three_workers(request: pytest.FixtureRequest) -> None:
    """Every test begins with what the file says."""
    if "qp" in request.fixturenames:
        daemon: Queuepool = request.getfixturevalue("qp")
        daemon("scale", "w", "--reset")


def top(qp: Queuepool, *args: str, columns: int = 80, lines: int = 24) -> Screen:
    return Screen(qp.command("top", *args), columns, lines, qp.environment)


def line_of(text: str, name: str) -> str:
    """The line of a process, as it is shown."""
    return next((line for line in text.splitlines() if re.match(rf"[> ] +{name} ", line)), "")


def leave(screen: Screen) -> None:
    screen.type("q")
    assert screen.end() == 0
    assert_given_back(screen)


def assert_given_back(screen: Screen) -> None:
    """The terminal is as it was found."""
    assert screen.is_shown_as_before()
    assert screen.modes() == screen.before


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_pools_slots_troubles_and_events_are_on_one_screen(qp: Queuepool, columns: int, lines: int) -> None:
    with top(qp, columns=columns, lines=lines) as screen:
        seen = screen.sees(lambda text: "w_02" in text and "── events ──" in text)
        first, *_, last = seen.splitlines()
        assert "4 of 5 running  1 down" in first
        assert re.search(r"RUNNING .*\d+(\.\d)? [kM]B", line_of(seen, "w_01"))
        assert re.search(r"FATAL .*exit 3: no", line_of(seen, "bad"))
        assert ">w  3 of 3 running" in seen
        assert "── events ──" in seen
        assert last.startswith("? help  q quit")
        assert re.search(rb"\x1b\[3[0-7]m", screen.sent), "a terminal has colours"
        assert len(seen.splitlines()) == lines
        leave(screen)


def test_scaling_by_keys_is_asked_for_done_and_seen(qp: Queuepool) -> None:
    with top(qp) as screen:
        screen.sees("w_02")
        screen.type("++")
        assert "scale w from 3 to 5? y/n" in screen.sees("from 3 to 5")
        assert len(qp.pids("w")) == 3
        screen.type("y")
        seen = screen.sees(lambda text: "w: 3 -> 5" in text and "w  5 of 5 running" in text)
        assert "RUNNING" in line_of(seen, "w_04")
        qp.running("w", 5)
        screen.type("1")
        screen.sees("scale w to: 1")
        screen.type("\r")
        screen.sees(lambda text: "w: 5 -> 1" in text and not line_of(text, "w_01"))
        qp.running("w", 1)
        leave(screen)


def test_one_process_is_restarted_and_stopped_and_a_refusal_says_what_to_do_instead(qp: Queuepool) -> None:
    before = qp.running("w", 3)
    with top(qp) as screen:
        screen.sees("w_02")
        screen.type("jj")
        screen.sees(">  w_01")
        screen.type("r")
        screen.sees("restart w:w_01? y/n")
        screen.type("n")
        screen.sees("q quit")
        assert qp.pids("w") == before
        screen.type("ry")
        screen.sees("w:w_01: restarted")
        after = qp.running("w", 3)
        assert {name for name in after if after[name] != before[name]} == {"w:1"}
        screen.sees(lambda text: str(after["w:1"]) in line_of(text, "w_01"))
        screen.type("py")
        screen.sees("cannot pause w:1: only Laravel workers and Horizon know how to pause")
        assert "hint: stop it with `queuepool stop w:1`" in screen.text()
        screen.type("xy")
        screen.sees(lambda text: "STOPPED" in line_of(text, "w_01"))
        screen.type("ay")
        screen.sees(lambda text: "RUNNING" in line_of(text, "w_01"))
        leave(screen)


def test_the_filter_follows_what_is_typed_and_the_order_what_is_asked_for(qp: Queuepool) -> None:
    with top(qp, "--sort", "pid", "--color", "never") as screen:
        pids = [int(pid) for pid in re.findall(r"RUNNING +(\d+)", screen.sees("w:2"))]
        assert len(pids) == 4
        assert pids == sorted(pids)
        screen.type("S")
        seen = screen.sees("PROCESS (by pid, reversed)")
        assert [int(pid) for pid in re.findall(r"RUNNING +(\d+)", seen)] == pids[::-1]
        screen.type("/tab")
        seen = screen.sees(lambda text: "filter: tab" in text and "w:2" not in text)
        assert "bad:0 " in seen
        screen.type("\x1b")
        screen.sees("w:2")
        screen.type("f")
        seen = screen.sees("troubles only")
        assert "bad:0 " in seen
        assert " w:0 " not in seen
        leave(screen)
        assert not re.search(rb"\x1b\[[39]\d?m", screen.sent), "no colours"


def test_details_say_why_it_fails_and_events_tell_what_happened(qp: Queuepool) -> None:
    with top(qp, "bad") as screen:
        screen.sees("FATAL")
        screen.type("jj\r")
        seen = screen.sees("exit code 3")
        assert "| no such table" in seen
        assert re.search(r"log +/.*bad", seen)
        screen.type("e")
        screen.sees("bad:0 is FATAL")
        screen.type("/started")
        screen.sees(lambda text: "bad:0 started" in text and "bad:0 is FATAL" not in text)
        screen.type("\r\x1bqq?")
        screen.sees("restart, stop, start")
        screen.type("q")
        leave(screen)


def test_a_log_is_followed_on_the_screen(qp: Queuepool) -> None:
    with top(qp, "talk") as screen:
        screen.sees("1 of 1 running")
        screen.type("t")
        screen.sees("talk.log")
        feed = qp.directory / "feed"
        with feed.open("a") as file:
            file.write("".join(f"number {number}\n" for number in range(100)) + "发票 \x1b[2J\x1b[31mred\x1b[0m é\n")
        seen = screen.sees("\\x1b[2Jred é")
        assert "number 99" in seen
        assert "number 42" not in seen
        screen.type("/number 4\r")
        screen.sees(lambda text: "number 42" in text and "number 99" not in text)
        screen.type("\x1b")
        screen.sees("number 99")
        screen.type("q")
        screen.sees("1 of 1 running")
        leave(screen)


def test_the_window_may_change_its_size_at_any_time(qp: Queuepool) -> None:
    with top(qp) as screen:
        screen.sees(" RST JOB")
        screen.resize(60, 20)
        seen = screen.sees(lambda text: "MEMORY JOB" in text and "w_01" in text)
        assert len(seen.splitlines()) == 20
        screen.resize(120, 40)
        screen.sees(lambda text: "RELEASE" in text and "? help" in text.splitlines()[39])
        screen.resize(7, 2)
        screen.sees(lambda text: text.startswith("queuep"))
        leave(screen)


def test_a_daemon_that_is_killed_is_waited_for(qp: Queuepool) -> None:
    before = qp.running("w", 3)
    with top(qp) as screen:
        screen.sees("w_02")
        qp.kill()
        seen = screen.sees("no daemon since")
        assert "start it with `queuepool up -d`" in seen
        assert "w_02" in seen, "what was known stays"
        screen.type("xy")
        screen.sees("cannot reach the daemon")
        qp.up()
        screen.sees(lambda text: "no daemon" not in text and "w  3 of 3 running" in text)
        assert qp.running("w", 3) == before
        screen.type("+y")
        screen.sees("w  4 of 4 running")
        leave(screen)


def test_a_deploy_is_shown_while_it_goes_on_and_how_it_ended(qp: Queuepool) -> None:
    with top(qp, columns=120) as screen:
        screen.sees("w_02")
        deploy = subprocess.Popen(
            qp.command("deploy", "w", "--force", "--batch", "1", "--pause-between", "3s", "--observe", "0s", "--json"),
            env=qp.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        screen.sees(lambda text: re.search(r"^deploy \S+ [█░]+ [0-3]/3.*batch", text, re.M))
        out, _ = deploy.communicate(timeout=60)
        assert deploy.returncode == 0, out
        screen.sees(lambda text: re.search(r"^deploy \S+ done after", text, re.M))
        leave(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(qp: Queuepool, number: int) -> None:
    with top(qp) as screen:
        screen.sees("w_02")
        assert screen.modes() != screen.before
        os.kill(screen.pid, number)
        assert screen.end() == -number
        assert_given_back(screen)


def test_a_window_that_is_closed_ends_it_without_a_word(qp: Queuepool, tmp_path: Path) -> None:
    with Screen(qp.command("top"), 80, 24, qp.environment | {"TMPDIR": str(tmp_path)}) as screen:
        screen.sees("w_02")
        assert screen.hang_up() == -signal.SIGHUP
    assert list(tmp_path.iterdir()) == [], "no defect is told of"


def test_ctrl_c_ends_it_as_interrupted(qp: Queuepool) -> None:
    with top(qp) as screen:
        screen.sees("w_02")
        screen.type("\x03")
        assert screen.end() == ExitCode.INTERRUPTED
        assert_given_back(screen)
        assert screen.text().strip().endswith("interrupted")


DRAWING = """
from queuepool.cli import topview
screen = topview.screen
def broken(state, data, *rest):
    assert not data.events, "this is broken"
    return screen(state, data, *rest)
topview.screen = broken
"""
ASKING = """
from queuepool.control.client import Client
def broken(self, names=()):
    raise AssertionError("this is broken")
Client.status = broken
"""


@pytest.mark.parametrize("defect", [DRAWING, ASKING], ids=["while drawing", "in a thread"])
def test_a_defect_leaves_the_terminal_as_it_was(qp: Queuepool, tmp_path: Path, defect: str) -> None:
    run = f"{defect}\nfrom queuepool.cli.main import main\nmain()"
    argv = [sys.executable, "-c", run, "-c", str(qp.file), "top"]
    with Screen(argv, 80, 24, qp.environment | {"TMPDIR": str(tmp_path)}) as screen:
        assert screen.end() == ExitCode.FAILED
        assert_given_back(screen)
        assert "this is a defect of queuepool: AssertionError: this is broken" in screen.text()
        assert "in broken" in next(tmp_path.glob("queuepool-defect-*")).read_text()


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_brings_it_back(qp: Queuepool) -> None:
    with Screen(["bash", "--norc", "-i"], 80, 24, qp.environment | {"PS1": "$ "}) as screen:
        screen.sees("$")
        screen.type(f"{shlex.join(qp.command('top'))}\n")
        screen.sees("w_02")
        screen.type("\x1a")
        screen.sees("Stopped")
        assert screen.is_shown_as_before()
        screen.type("stty -a | tr ' ' '\\n' | grep -cx -e icanon -e echo\n")
        screen.sees(lambda text: re.search(r"^2$", text, re.M))
        screen.type("fg\n")
        screen.sees(lambda text: "w_02" in text and "? help" in text)
        screen.type("q")
        eventually(lambda: screen.lines() and screen.is_shown_as_before(), 30, "it has ended")
        screen.type("echo code $?\n")
        screen.sees("code 0")


def test_where_there_is_no_terminal_it_prints_tables(qp: Queuepool) -> None:
    once = qp.try_("top", "--once", "--sort", "memory")
    assert once.returncode == ExitCode.NOT_AS_WANTED
    assert re.search(r"PROCESS \(by memory\) +STATE +PID", once.stdout)
    assert "\x1b" not in once.stdout
    assert qp.try_("top", "--once", "w").returncode == 0
    assert qp.try_("top", "nosuch").returncode == ExitCode.USAGE
    again = subprocess.Popen(
        qp.command("top", "--interval", "0.2"), env=qp.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert again.stdout is not None
    heads = [line for line in (again.stdout.readline() for _ in range(60)) if line.startswith("queuepool ")]
    assert len(heads) >= 3
    again.send_signal(signal.SIGINT)
    again.stdout.close()
    assert again.wait(60) != 0


def test_a_dumb_terminal_gets_plain_lines(qp: Queuepool) -> None:
    argv = ["env", "TERM=dumb", *qp.command("top", "--interval", "0.2", "w")]
    with Screen(argv, 80, 24, qp.environment) as screen:
        screen.sees("w_02")
        screen.type("\x03")
        assert screen.end() == ExitCode.INTERRUPTED
        assert b"\x1b[?" not in screen.sent


def test_without_a_daemon_once_fails_and_a_screen_waits(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs: {late: {type: command, command: sleep 600, startsecs: 0}}") as qp:
        assert qp.try_("top", "--once").returncode == ExitCode.NO_DAEMON
        with top(qp) as screen:
            screen.sees("no daemon since")
            qp.up()
            screen.sees("late  1 of 1 running")
            leave(screen)


@pytest.mark.php
def test_queues_with_jobs_being_done_are_shown_with_who_does_them(tmp_path: Path, laravel_app: LaravelApp) -> None:
    text = f"""
app: {laravel_app.root}
php: {json.dumps(PHP)}
programs:
  w: {{connection: redis, queue: [high, default], numprocs: 2, sleep: 0.1}}
"""
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        laravel_app.dispatch("Ledger", 3000, ms=50)
        with top(qp, columns=120, lines=40) as screen:
            screen.sees("redis up")
            seen = screen.sees(
                lambda text: re.search(r"redis:default +[1-9]\d* .*\b2/2\b", text) and re.search("w_0.*Ledger", text)
            )
            assert re.search(r"w_0[01] +RUNNING .*\d\.\ds Ledger", seen)
            screen.sees(lambda text: re.search(r"redis:default .* [1-9]\d?\.\d .*[▂▃▄▅▆▇█]", text))
            screen.type("py")
            screen.sees("2 paused")
            screen.sees(lambda text: text.count("[paused]") == 2)
            screen.type("py")
            screen.sees("2 continued")
            screen.type("\r")
            screen.sees(lambda text: re.search(r"jobs +[1-9]\d* done", text))
            screen.type("q")
            leave(screen)
