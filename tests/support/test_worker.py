"""The worker that other tests lean on does what it is told, in C and in Python alike."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.worker import Report, control_fifo, order, worker_argv

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["c", "python"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    begun: list[subprocess.Popen[bytes]] = []

    def run(**orders: Any) -> subprocess.Popen[bytes]:
        argv = worker_argv(report=tmp_path / "report", python=request.param == "python", **orders)
        begun.append(subprocess.Popen(argv, stdout=-1, stderr=-1, start_new_session=True))
        return begun[-1]

    yield run
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "report")


def test_it_prints_numbered_lines_of_a_width_and_leaves_with_its_code(start: Start, report: Report) -> None:
    process = start(name="a", text="hello, world", lines=3, errors=1, width=20, exit=3)
    out, err = process.communicate(timeout=20)
    lines = out.decode().split("\n")
    assert (lines[0], lines[-1]) == ("hello, world", "")
    assert [line.split()[:2] for line in lines[1:-1]] == [[str(process.pid), str(n)] for n in (1, 2, 3)]
    assert {len(line) for line in lines[1:-1]} == {19}
    assert err == (b"%d 4 " % process.pid).ljust(19, b"x") + b"\n"
    assert process.returncode == 3
    assert [(s.what, s.text) for s in report.said()] == [("ready", "a"), ("said", "3"), ("said", "4"), ("leaving", "3")]


def test_it_reports_every_signal_and_takes_its_time_to_stop(start: Start, report: Report) -> None:
    process = start(stop=0.2, stop_code=7, ignore="INT")
    report.wait("ready")
    for name in ("INT", "HUP", "USR1", "USR2", "CONT"):
        process.send_signal(getattr(signal, f"SIG{name}"))
        report.wait("signal", text=name)
    process.terminate()
    [told] = report.wait("signal", text="TERM")
    assert process.wait(20) == 7
    [left] = report.wait("leaving", text="7")
    assert left.monotonic - told.monotonic > 0.19


def test_it_dies_of_the_signal_it_was_ordered_to_die_of(start: Start) -> None:
    assert start(die=signal.SIGSEGV).wait(20) == -signal.SIGSEGV
    assert start(die=signal.SIGKILL, after=0.01).wait(20) == -signal.SIGKILL


def test_its_children_are_there_before_it_is_ready_and_a_deaf_one_ignores_term(start: Start, report: Report) -> None:
    process = start(children=["plain", "deaf", "session"])
    report.wait("ready")
    kinds = {s.text: s.pid for s in report.said("child")}
    try:
        assert set(kinds) == {"plain", "deaf", "session"}
        assert os.getpgid(kinds["plain"]) == os.getpgid(kinds["deaf"]) == process.pid
        assert os.getpgid(kinds["session"]) == kinds["session"]
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
        assert psutil.Process(kinds["deaf"]).status() != psutil.STATUS_ZOMBIE
    finally:
        os.kill(kinds["deaf"], signal.SIGKILL)
        os.kill(kinds["session"], signal.SIGKILL)


def test_it_obeys_orders_while_it_runs(start: Start, report: Report, tmp_path: Path) -> None:
    control = control_fifo(tmp_path / "control")
    process = start(control=control, lines=1)
    report.wait("ready")
    order(control, "say 2", "eat 3")
    report.wait("said", text="3")
    report.wait("ate", text="3")
    order(control, "err 1", "exit 9")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out.count(b"\n"), err.count(b"\n")) == (9, 3, 1)


def test_an_unknown_order_is_refused(start: Start) -> None:
    process = start(ignore="NONSENSE")
    assert b"cannot do NONSENSE" in process.communicate(timeout=20)[1]
    assert process.returncode == 64
