"""What the scenarios may ask of any process manager. Those there are stand in peers.py."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from tests.bench import procs, tools
from tests.bench.stamps import Stamp, Stamps


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. orders: of the worker (worker.c), all but its slot. logs: a file "each", "one" for all, or "none".
    max_bytes: size at which a log is rotated, 0: never. backups: kept then. startsecs: as Supervisor means it."""

    processes: int
    orders: tuple[str, ...] = ()
    logs: str = "each"
    max_bytes: int = 0
    backups: int = 10
    startsecs: int = 0


class Peer:
    """A process manager with one pool of workers. Made for one run; `close` leaves no process of it behind."""

    name = ""
    ticks = False
    """Whether it restarts by the clock: a second or more for each."""
    serial_kills = False
    """Whether one restart hastens another, so that kills have to be measured one after the other."""
    adopts = False
    """Whether a new daemon is said to find the workers of a killed one again."""

    def __init__(self, directory: Path, job: Job) -> None:
        """directory: empty, its own. Nothing is started yet."""
        self.directory = directory
        self.job = job
        self.logs = directory / "logs"
        self.logs.mkdir()
        self.worker = tools.program("worker")
        self.stamps = Stamps(directory / "stamps")
        self.daemon: subprocess.Popen[bytes] | None = None
        self._past: list[int] = []
        self.configure(job.processes)

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run here; empty when it can."""
        return ""

    def configure(self, processes: int) -> None:
        """Write what the daemon reads, for so many processes."""
        raise NotImplementedError

    def daemon_command(self) -> list[str]:
        """The daemon in the foreground."""
        raise NotImplementedError

    def scale_commands(self) -> list[list[str]]:
        """What a person types after the configuration was changed to another number."""
        raise NotImplementedError

    def restart_command(self) -> list[str]:
        """Restart all workers."""
        raise NotImplementedError

    def status_command(self) -> list[str]:
        """Show all workers."""
        raise NotImplementedError

    def raw_status(self) -> Callable[[], object] | None:
        """The same without a command: one call on the daemon's socket; None when there is no such thing."""
        return None

    def environment(self) -> dict[str, str]:
        """Of the daemon and its commands."""
        return dict(os.environ)

    def arguments(self, slot: str) -> list[str]:
        """The worker's command line. slot: a number, or what the daemon makes one of."""
        return [str(self.worker), str(self.stamps.path), f"slot={slot}", *self.job.orders]

    def start(self) -> int:
        """Start the daemon; the moment before, in ns."""
        with open(self.directory / "daemon.out", "ab") as out:
            begun = time.monotonic_ns()
            self.daemon = subprocess.Popen(
                self.daemon_command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                cwd=self.directory, env=self.environment(),
            )  # fmt: skip
        return begun

    def command(self, argv: Sequence[str], check: bool = True, limit: float = 60) -> float:
        """Run a command of it to its end; how long that took, in seconds. Without `check`, one that fails or takes
        longer than `limit` is only ended."""
        code = -1
        with open(self.directory / "commands.out", "ab") as out:
            begun = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                code = subprocess.run(
                    argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=limit, cwd=self.directory,
                    env=self.environment(),
                ).returncode  # fmt: skip
            took = time.monotonic() - begun
        if check and code:
            raise RuntimeError(f"{shlex.join(argv)} ended with {code}: {self.said('commands.out')}")
        return took

    def said(self, file: str = "daemon.out") -> str:
        """The last of what the daemon or its commands printed."""
        path = self.directory / file
        return path.read_text(errors="replace")[-600:] if path.exists() else ""

    def scale(self, processes: int) -> None:
        """Change the number of workers the way this one's documentation says."""
        self.configure(processes)
        for argv in self.scale_commands():
            self.command(argv)

    def restart_all(self) -> float:
        """Restart every worker; how long the command took, in seconds."""
        return self.command(self.restart_command())

    def pids(self) -> list[int]:
        """Its own processes, without the workers."""
        assert self.daemon
        workers = {stamp.pid for stamp in self.stamps.starts()}
        return [pid for pid in procs.family(self.daemon.pid) if pid not in workers]

    def workers(self) -> list[Stamp]:
        """Those that run now, by their START stamp."""
        return [stamp for stamp in self.stamps.starts() if procs.runs(stamp.pid, self.worker)]

    def kill_daemon(self) -> None:
        """SIGKILL to the daemon (of those made of several processes, the one that was started)."""
        assert self.daemon
        self._past += self.pids()
        self.daemon.kill()
        self.daemon.wait()

    def log_files(self) -> list[Path]:
        """Where the lines of the workers ended up."""
        return [path for path in self.logs.rglob("*") if path.is_file()]

    def close(self) -> None:
        """End everything at once."""
        if self.daemon:
            own = [*self._past, *self.pids()]
            for pid in own:  # all at once: none may start what another has lost
                procs.kill(pid, signal.SIGSTOP)
            for pid in own:
                procs.kill(pid)
            self.daemon.wait()
        end = time.monotonic() + 10
        while (left := self.workers()) and time.monotonic() < end:
            for stamp in left:
                procs.kill(stamp.pid)
            time.sleep(0.01)
        self.stamps.close()


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        """To the path instead of the host."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.connect(self._path)
