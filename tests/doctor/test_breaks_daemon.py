"""A real daemon that was killed, stopped, robbed of its directory, or left behind its file."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from queuepool.control import client
from queuepool.control.client import Client
from queuepool.system.procstat import birth
from tests.support.installation import Break, Installation, running
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor


def up(it: Installation) -> None:
    it.qp.up()
    it.qp.running("w", 1)


def killed(it: Installation) -> None:
    """Not in one that is shared: its worker stays, and is no child of the next daemon."""
    up(it)
    it.qp.kill()


def stopped_with_a_worker_of_another(it: Installation) -> None:
    """The worker is no child of the daemon that hangs: its record tells whose it is."""
    killed(it)
    up(it)
    stopped(it)


def killed_with_its_workers(it: Installation) -> None:
    [worker] = it.qp.pids("w").values()
    it.qp.kill()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: birth(worker) is None, what="the worker is gone")


def stopped(it: Installation) -> None:
    pid = it.qp.run.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    impatient = it.stack.enter_context(pytest.MonkeyPatch.context())
    impatient.setattr(client, "Client", lambda path, seconds: Client(path, seconds / 10))


def going_on(it: Installation) -> None:
    pid = it.qp.run.pid()
    assert pid is not None
    os.kill(pid, signal.SIGCONT)
    it.stack.close()  # one that answers is given its time


def robbed_of_its_directory(it: Installation) -> None:
    up(it)
    shutil.rmtree(it.qp.run.path)


def with_mode(which: Callable[[Installation], str], mode: int) -> Callable[[Installation], None]:
    def change(it: Installation) -> None:
        os.chmod(which(it), mode)

    return change


def of_an_older_version(it: Installation) -> None:
    site = it.root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import queuepool\nqueuepool.__version__ = '0.0.1'\n")
    it.qp.environment["PYTHONPATH"] = str(site)
    up(it)
    del it.qp.environment["PYTHONPATH"]


def behind_its_file(it: Installation) -> None:
    up(it)
    it.program(numprocs=2)
    it.programs["more"] = {"queue": "more", "autostart": False}
    it.write()


def updated(it: Installation) -> None:
    it.qp("update")


def with_a_damaged_record(it: Installation) -> None:
    it.qp.run.make()
    Path(it.qp.run.overrides).write_text("{oops")
    up(it)


def systemd(it: Installation) -> None:
    (it.machine / "run/systemd/system").mkdir(parents=True)


def with_a_unit(it: Installation, *, enabled: bool) -> Path:
    systemd(it)
    unit = it.put("/etc/systemd/system/queuepool-etc.service", it.qp("startup", "--print"))
    if enabled:
        enable(it)
    return unit


def enable(it: Installation) -> None:
    wants = it.machine / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "queuepool-etc.service").symlink_to("../queuepool-etc.service")


def with_a_disabled_unit(it: Installation) -> None:
    with_a_unit(it, enabled=False)


def with_a_unit_that_failed(it: Installation) -> None:
    with_a_unit(it, enabled=True)
    say_of_units(it, "failed", "exit-code")


def say_of_units(it: Installation, state: str, result: str) -> None:
    """A script stands in for systemctl, since tests also run where systemd does not."""
    programs = it.root / "bin"
    programs.mkdir(exist_ok=True)
    script = programs / "systemctl"
    script.write_text(f"#!/bin/sh\n[ $1 = show ] && echo ActiveState={state} && echo Result={result}\n")
    script.chmod(0o755)
    it.qp.environment["PATH"] = f"{programs}:{os.environ['PATH']}"


def well(it: Installation) -> None:
    say_of_units(it, "active", "success")


BREAKS = [
    Break("daemon.killed", killed, r"w:0 runs as pid \d+, and its daemon is gone", mended=up),
    Break("daemon.stale_socket", killed_with_its_workers, "no process holds the lock", "warning", mended=up,
          inside=running),
    Break("daemon.hangs", stopped, r"pid \d+ holds the lock\n.*did not answer within", mended=going_on,
          inside=running),
    Break("daemon.hangs", stopped_with_a_worker_of_another, "did not answer within", mended=going_on, name="adopted"),
    Break("daemon.lost", robbed_of_its_directory, "control.sock: it is not there"),
    Break("daemon.socket", with_mode(lambda it: it.qp.run.path, 0o755), "mode 0755, it should be 0700", "warning",
          mended=lambda it: os.chmod(it.qp.run.path, 0o700), inside=running),
    Break("daemon.socket", with_mode(lambda it: it.qp.run.socket, 0o666), "0666, it should be 0600", name="socket",
          mended=lambda it: os.chmod(it.qp.run.socket, 0o600), inside=running),
    Break("daemon.version", of_an_older_version, r"pid \d+ says 0.0.1", "warning"),
    Break("daemon.unapplied", behind_its_file, "more is new\nw is changed: .*numprocs", "warning", mended=updated),
    Break("daemon.problems", with_a_damaged_record, "overrides.json", "warning"),
    Break("daemon.unit", systemd, "no enabled systemd unit is for .*queuepool.yml", "warning", inside=running),
    Break("daemon.unit", with_a_disabled_unit, "no .wants directory", "warning", mended=enable, name="disabled"),
    Break("daemon.unit", with_a_unit_that_failed, "Result=exit-code", mended=well, name="failed"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_daemon_in_trouble_is_found(broken: Break) -> None:
    broken.prove()
