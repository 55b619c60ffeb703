"""`startup` under a real systemd: the daemon is started, kept, watched and stopped by it, and no worker is lost."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.system.procstat import birth
from tests.support import systemd
from tests.support.daemon import Queuepool
from tests.support.systemd import Systemd
from tests.support.wait import eventually
from tests.support.worker import Report, control_fifo, order, worker_argv

pytestmark = pytest.mark.skipif(bool(systemd.missing()), reason=systemd.missing())

UNIT = "queuepool-app.service"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "report")


@pytest.fixture
def booted(tmp_path: Path, report: Report) -> Iterator[Systemd]:
    """A systemd whose `queuepool startup --user` runs two workers that take half a second to end, obey the FIFO
    `control`, and print into w.log."""
    control = control_fifo(tmp_path / "control")
    argv = worker_argv(report=report, name="w", stop=0.5, control=control, life=280)
    text = f"""
programs:
  w:
    type: command
    command: {shlex.join(argv)!r}
    numprocs: 2
    startsecs: 0
    stdout_logfile: {tmp_path}/w.log
"""
    with Queuepool(tmp_path / "app", text) as qp, Systemd(qp) as manager:
        said = manager.queuepool("startup", "--user")
        assert said == f"{UNIT}: written, enabled and started ({manager.units}/{UNIT})\n"
        qp.running("w", 2)
        yield manager


def edit(manager: Systemd, *lines: str) -> None:
    """As `systemctl edit`."""
    drop_in = manager.units / f"{UNIT}.d/override.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("\n".join(["[Service]", *lines, ""]))
    manager.ctl("daemon-reload")


def running(qp: Queuepool) -> dict[str, int]:
    """Name -> pid; nothing while no daemon answers."""
    return qp.pids("w") if qp.answers() else {}


def comes_back(manager: Systemd, former: int) -> int:
    """Wait until another daemon than `former` answers; its pid."""
    qp = manager.qp
    eventually(lambda: qp.run.pid() not in (None, former) and qp.answers(), 60, "it comes back", show=qp.story)
    return int(manager.show(UNIT, "MainPID"))


def test_a_daemon_that_crashes_or_hangs_is_started_again_and_finds_its_workers(booted: Systemd) -> None:
    qp = booted.qp
    assert booted.ctl("is-active", UNIT) == "active"
    assert booted.ctl("is-enabled", UNIT) == "enabled"
    workers, daemon = qp.pids("w"), int(booted.show(UNIT, "MainPID"))
    assert daemon == qp.status()["daemon"]["pid"], "READY=1 came from it"
    assert booted.show(UNIT, "StatusText") == "1 program"

    os.kill(daemon, signal.SIGKILL)
    second = comes_back(booted, daemon)
    assert qp.running("w", 2) == workers

    edit(booted, "WatchdogSec=2")  # what a new main process is told, so of the next daemon
    os.kill(second, signal.SIGKILL)
    third = comes_back(booted, second)
    os.kill(third, signal.SIGSTOP)
    comes_back(booted, third)
    assert qp.running("w", 2) == workers
    assert booted.show(UNIT, "NRestarts") == "3"


def test_what_a_worker_says_and_dies_of_while_no_daemon_runs_is_not_lost(booted: Systemd, tmp_path: Path) -> None:
    """Its pipe is in systemd's store: nobody else holds it once the worker is gone."""
    qp = booted.qp
    edit(booted, "RestartSec=8")
    first, daemon = qp.pids("w"), int(booted.show(UNIT, "MainPID"))
    assert int(booted.show(UNIT, "NFileDescriptorStore")) >= 2
    os.kill(daemon, signal.SIGKILL)
    order(tmp_path / "control", "say 3", "exit 7")
    (gone,) = eventually(lambda: [p for p in first.values() if birth(p) is None], what="one has ended")
    assert booted.show(UNIT, "SubState") == "auto-restart", "no daemon runs yet"
    now = eventually(lambda: found if len(found := running(qp)) == 2 else None, what="two run", show=qp.story)
    assert len(set(now.values()) & set(first.values())) == 1, "the other one was kept"
    lines = [line for line in (tmp_path / "w.log").read_text().splitlines() if line.startswith(f"{gone} ")]
    assert len(lines) == 3, "its last words"


def test_stop_lets_the_workers_finish_and_reload_applies_the_file(booted: Systemd, report: Report) -> None:
    qp = booted.qp
    kept = qp.pids("w")
    qp.write(qp.file.read_text().replace("numprocs: 2", "numprocs: 3"))
    booted.ctl("reload", UNIT)
    assert kept.items() <= qp.running("w", 3).items()

    booted.ctl("stop", UNIT)
    assert len(report.said("signal", text="TERM")) == 3
    assert len(report.said("leaving", text="0")) == 3, "none was killed"
    assert booted.try_ctl("is-active", UNIT).stdout.strip() == "inactive"

    booted.ctl("start", UNIT)
    qp.running("w", 3)
    qp("down")
    eventually(lambda: booted.show(UNIT, "ActiveState") == "inactive", what="it is not started again after `down`")


def test_remove_takes_everything_away(booted: Systemd) -> None:
    assert booted.queuepool("startup", "--user", "--remove") == f"{UNIT}: stopped, disabled and removed\n"
    assert booted.show(UNIT, "LoadState") == "not-found"
    assert booted.qp.run.pid() is None
    assert not list(booted.units.rglob(f"*{UNIT}*"))


def test_the_hardened_unit_of_the_machine_runs_jobs(tmp_path: Path, report: Report) -> None:
    """Nothing in it keeps a worker from what it does: here become another user, and write where that one may."""
    argv = worker_argv(report=report, name="w", text="hello", life=200)
    log = tmp_path / "w.log"
    text = f"""
user: nobody
programs:
  w: {{type: command, command: {shlex.join(argv)!r}, directory: /, startsecs: 0, stdout_logfile: {log}}}
"""
    with Queuepool(tmp_path / "app", text) as qp, Systemd(qp) as manager:
        unit = manager.queuepool("startup", "--print")
        assert "CapabilityBoundingSet=" in unit
        (manager.units / UNIT).write_text(unit)
        manager.ctl("daemon-reload")
        manager.ctl("start", UNIT)
        pid = qp.running("w", 1)["w:0"]
        assert Path(f"/proc/{pid}").stat().st_uid == 65534
        eventually(lambda: log.read_text() == "hello\n", what="its output is in the log")
        daemon = int(manager.show(UNIT, "MainPID"))
        status = Path(f"/proc/{daemon}/status").read_text()
        effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
        assert not int(effective.split()[1], 16) >> 25 & 1, "CAP_SYS_TIME is taken from it"
