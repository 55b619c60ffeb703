"""A real systemd of a test's own: a user's manager, as `systemctl --user` talks to, that has no units but the test's.
It lives in a mount namespace in which systemd seems to be the init, and in a control group of its own. As root its
services may do what those of the machine's manager may, so that also a unit of the machine can be run by it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.daemon import Queuepool
from tests.support.wait import eventually

SYSTEMD = "/lib/systemd/systemd"
GROUPS = [Path(path) for path in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")]
_START = """
for group in $GROUPS; do echo $$ > "$group/cgroup.procs" || exit; done
mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/systemd/inaccessible/dir || exit
cd /run/systemd/inaccessible && touch reg && mkfifo fifo && mknod chr c 0 0 && mknod blk b 0 0 &&
    "$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")' || exit
cd / && exec "$0" --user --log-target=console
"""
"""What the machine's systemd makes for the others: the nodes that hide what a unit may not see, too."""
_UNITS = ("basic.target", "default.target", "shutdown.target", "exit.target")


def missing() -> str:
    """Why a systemd cannot be run here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may make a mount namespace and a control group"
    if not (os.path.exists(SYSTEMD) and shutil.which("systemctl")):
        return "systemd is not installed: apt install systemd"
    if not any((group / "cgroup.procs").exists() and os.access(group, os.W_OK) for group in GROUPS):
        return "no control group may be made here"
    allowed = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return "" if allowed.returncode == 0 else "nothing may be mounted here"


class Systemd:
    """with Systemd(qp) as systemd:
            systemd.queuepool("startup", "--user"); systemd.ctl("is-active", "queuepool")

    On leaving, every process in its control group is killed.
    """

    def __init__(self, qp: Queuepool) -> None:
        """qp: whose commands can talk to this systemd. Not started yet."""
        self.qp = qp
        self.runtime = tempfile.mkdtemp(prefix="qp-", dir="/tmp")
        self.config = qp.directory / "config"
        self.units = self.config / "systemd/user"
        self.units.mkdir(parents=True)
        for name in _UNITS:
            (self.units / name).write_text("[Unit]\nDefaultDependencies=no\n")
        self.output = qp.directory / "systemd.out"
        own = f"qp-{os.path.basename(self.runtime)}"
        self.groups = [group / own for group in GROUPS if (group / "cgroup.procs").exists()]
        qp.environment |= {
            "XDG_RUNTIME_DIR": self.runtime, "XDG_CONFIG_HOME": str(self.config), "HOME": str(qp.directory),
        }  # fmt: skip

    def __enter__(self) -> Systemd:
        for group in self.groups:
            group.mkdir()
        own = {
            "SYSTEMD_UNIT_PATH": str(self.units), "GROUPS": " ".join(map(str, self.groups)), "PYTHON": sys.executable,
        }  # fmt: skip
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", _START, SYSTEMD], env=self.qp.environment | own, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: self.try_ctl("show-environment").returncode == 0, 30, "systemd answers", show=self.said)
        return self

    def __exit__(self, *_: object) -> None:
        if (pid := self.qp.run.pid()) is not None:  # before systemd: else it is started again
            self.try_ctl("stop", "--no-block", "queuepool*")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        eventually(self._gone, 30, "all that systemd started is gone")
        shutil.rmtree(self.runtime, ignore_errors=True)

    def _gone(self) -> bool:
        """Kill what is left; whether nothing is, and the control groups are removed."""
        groups = [
            path for group in self.groups if group.exists() for path in (group, *group.rglob("*")) if path.is_dir()
        ]
        for path in reversed(groups):
            for pid in (path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                path.rmdir()
        return not any(group.exists() for group in self.groups)

    def said(self) -> str:
        """What systemd printed, and how its units are."""
        return self.output.read_text(errors="replace")[-3000:] + self.try_ctl("status", "queuepool*").stdout

    def try_ctl(self, *args: str) -> subprocess.CompletedProcess[str]:
        """`systemctl --user ARGS`, whatever its exit code."""
        return self._inside("systemctl", "--user", *args)

    def ctl(self, *args: str) -> str:
        """`systemctl --user ARGS` that is to succeed; what it printed."""
        done = self.try_ctl(*args)
        assert done.returncode == 0, f"systemctl {args}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.said()}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.ctl("show", "--value", f"--property={name}", unit)

    def queuepool(self, *args: str) -> str:
        """`queuepool ARGS`, where systemd seems to be the init, that is to succeed; what it printed."""
        done = self._inside(*self.qp.command(*args))
        assert done.returncode == 0, f"queuepool {args}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.said()}"
        return done.stdout

    def _inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "-m", "-t", str(self.process.pid), *command], env=self.qp.environment, cwd=self.qp.directory,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
