"""The process managers, each behind the same few methods, so that a scenario is written once. What is measured stands
in scenarios.py; nothing here takes a time."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import xmlrpc.client
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


class Queuepool(Peer):
    """The program under test."""

    name = "queuepool"
    adopts = True

    def configure(self, processes: int) -> None:
        """queuepool.yml; JSON is YAML."""
        job = self.job
        names = {"each": "%(process_num)03d.log", "one": "all.log"}
        program = {
            "type": "command",
            "command": shlex.join(self.arguments("%(process_num)d")),
            "numprocs": processes,
            "startsecs": job.startsecs,
            "stopwaitsecs": 20,
            "redirect_stderr": True,
            "stdout_logfile": str(self.logs / names[job.logs]) if job.logs in names else "NONE",
            "stdout_logfile_maxbytes": job.max_bytes,
            "stdout_logfile_backups": job.backups,
            "strategy": {"max_surge": "100%"},
        }
        self.file = self.directory / "queuepool.yml"
        self.file.write_text(json.dumps({"programs": {"w": program}}, indent=1))

    def environment(self) -> dict[str, str]:
        """Everything the daemon keeps lies in the run's own directory. It is started as systemd does it: in the
        foreground, but not showing the workers' lines there."""
        own = {"PYTHONDONTWRITEBYTECODE": "", "QUEUEPOOL_RUNTIME_DIR": str(self.directory / "run"), "NO_COLOR": "1"}
        return {**os.environ, **own, "NOTIFY_SOCKET": str(self.directory / "notify")}

    def _own(self, *words: str) -> list[str]:
        return [*tools.queuepool(), "-c", str(self.file), *words]

    def daemon_command(self) -> list[str]:
        """The daemon in the foreground."""
        return self._own("up")

    def scale(self, processes: int) -> None:
        """`scale` answers when they run."""
        self.command(self._own("scale", "w", str(processes)))

    def restart_command(self) -> list[str]:
        """Rolling, with as much surge as the file says."""
        return self._own("restart", "all")

    def status_command(self) -> list[str]:
        """A table."""
        return self._own("status")

    def raw_status(self) -> Callable[[], object] | None:
        """One GET on the control socket."""
        sockets = [path for path in (self.directory / "run").rglob("*") if path.is_socket()]
        if not sockets:
            return None
        connection = UnixConnection(str(sockets[0]))

        def ask() -> object:
            connection.request("GET", "/api/v1/status")
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"GET /api/v1/status: {reply.status} {body[:200]!r}")
            return json.loads(body)

        return ask


class Supervisor(Peer):
    """Supervisor 4.3.0, from its own configuration file."""

    name = "supervisor"
    ticks = serial_kills = True

    @classmethod
    def missing(cls) -> str:
        """It is installed into the private venv."""
        return "" if tools.peers_bin() else "not installed"

    def configure(self, processes: int) -> None:
        """supervisord.conf, with a log per process unless one is asked for."""
        job, here = self.job, self.directory
        logfile = {"each": f"{self.logs}/%(process_num)03d.log", "one": f"{self.logs}/all.log", "none": "NONE"}[
            job.logs
        ]
        command = shlex.join(self.arguments("%(process_num)d"))
        self.file = here / "supervisord.conf"
        self.file.write_text(
            f"""[unix_http_server]
file={here}/s
[supervisord]
nodaemon=true
logfile={here}/supervisord.log
pidfile={here}/supervisord.pid
minfds=4096
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{here}/s
[program:w]
command={command}
numprocs={processes}
process_name=%(program_name)s_%(process_num)03d
startsecs={job.startsecs}
autorestart=true
stopwaitsecs=20
redirect_stderr=true
stdout_logfile={logfile}
stdout_logfile_maxbytes={job.max_bytes}
stdout_logfile_backups={job.backups}
"""
        )

    def _ctl(self, *words: str) -> list[str]:
        return [str((tools.peers_bin() or Path()) / "supervisorctl"), "-c", str(self.file), *words]

    def daemon_command(self) -> list[str]:
        """supervisord -n."""
        return [str((tools.peers_bin() or Path()) / "supervisord"), "-c", str(self.file)]

    def scale_commands(self) -> list[list[str]]:
        """Its only way: numprocs in the file, then update."""
        return [self._ctl("update")]

    def restart_command(self) -> list[str]:
        """Stops all, then starts all."""
        return self._ctl("restart", "all")

    def status_command(self) -> list[str]:
        """A table."""
        return self._ctl("status")

    def raw_status(self) -> Callable[[], object]:
        """XML-RPC, with the client of the standard library."""
        path = str(self.directory / "s")

        class Transport(xmlrpc.client.Transport):
            def make_connection(self, host: object) -> HTTPConnection:
                del host
                return connection

        connection = UnixConnection(path)

        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=Transport())
        return lambda: proxy.supervisor.getAllProcessInfo()


class Runit(Peer):
    """runit: runsvdir, with a runsv and a svlogd per worker."""

    name = "runit"

    @classmethod
    def missing(cls) -> str:
        """As packaged by the system."""
        return "" if shutil.which("runsvdir") and shutil.which("svlogd") else "not installed"

    def configure(self, processes: int) -> None:
        """A service directory per worker; existing ones stay as they are."""
        self.services = self.directory / "services"
        self.services.mkdir(exist_ok=True)
        for slot in range(processes):
            if not (self.services / f"w{slot:03d}").exists():
                self._service(slot)

    def _service(self, slot: int) -> None:
        made = self.directory / "service"
        made.mkdir()
        _script(made / "run", f"exec 2>&1\nexec {shlex.join(self.arguments(str(slot)))}")
        if self.job.logs != "none":
            logs = self.logs / f"{slot:03d}"
            logs.mkdir()
            (made / "log").mkdir()
            _script(made / "log/run", f"exec {self.logger(logs)}")
            self.prepare_log(logs)
        made.rename(self.services / f"w{slot:03d}")  # whole, or the scanner would see half of it

    def logger(self, logs: Path) -> str:
        """The command that writes one worker's log."""
        return f"svlogd {shlex.quote(str(logs))}"

    def prepare_log(self, logs: Path) -> None:
        """svlogd reads its limits from a file."""
        (logs / "config").write_text(f"s{self.job.max_bytes}\nn{self.job.backups}\n")

    def log_files(self) -> list[Path]:
        """Without what else its loggers keep there."""
        return [path for path in super().log_files() if path.name == "current" or path.name.startswith("@")]

    def daemon_command(self) -> list[str]:
        """The scanner."""
        return ["runsvdir", str(self.services)]

    def scale_commands(self) -> list[list[str]]:
        """The scanner looks every 5 s by itself."""
        return []

    def _all(self) -> list[str]:
        return sorted(str(path) for path in self.services.iterdir() if not path.name.startswith("."))

    def restart_command(self) -> list[str]:
        """All at once, and wait."""
        return ["sv", "-w", "30", "restart", *self._all()]

    def status_command(self) -> list[str]:
        """A line each."""
        return ["sv", "status", *self._all()]


class S6(Runit):
    """s6: s6-svscan, with two s6-supervise and an s6-log per worker."""

    name = "s6"
    ticks = True

    @classmethod
    def missing(cls) -> str:
        """As packaged by the system."""
        return "" if shutil.which("s6-svscan") and shutil.which("s6-log") else "not installed"

    def logger(self, logs: Path) -> str:
        """s6-log takes its limits as arguments; it always has one."""
        return f"s6-log n{self.job.backups} s{self.job.max_bytes or 268435455} {shlex.quote(str(logs))}"

    def prepare_log(self, logs: Path) -> None:
        """Nothing to prepare."""

    def daemon_command(self) -> list[str]:
        """The scanner; its default allows 500 services."""
        return ["s6-svscan", "-c", "2000", str(self.services)]

    def scale_commands(self) -> list[list[str]]:
        """The scanner looks when told to."""
        return [["s6-svscanctl", "-a", str(self.services)]]

    def restart_command(self) -> list[str]:
        """Down with each and up again, waiting for all to be up anew."""
        each = "; ".join(f"s6-svc -r {shlex.quote(path)}" for path in self._all())
        return ["sh", "-c", each]

    def status_command(self) -> list[str]:
        """A process per service: there is no other command."""
        return ["sh", "-c", "; ".join(f"s6-svstat {shlex.quote(path)}" for path in self._all())]


class Circus(Peer):
    """circus, from its own configuration file. It writes all processes of a watcher into one file."""

    name = "circus"
    ticks = True

    @classmethod
    def missing(cls) -> str:
        """It is installed into the private venv."""
        return "" if (path := tools.peers_bin()) and (path / "circusd").exists() else "not installed"

    def configure(self, processes: int) -> None:
        """circus.ini."""
        job = self.job
        stream = (
            f"stdout_stream.class = FileStream\nstdout_stream.filename = {self.logs}/all.log\n"
            f"stdout_stream.max_bytes = {job.max_bytes}\nstdout_stream.backup_count = {job.backups}\n"
            if job.logs != "none" else ""
        )  # fmt: skip
        self.processes = processes
        self.file = self.directory / "circus.ini"
        self.file.write_text(
            f"""[circus]
endpoint = ipc://{self.directory}/e
pubsub_endpoint = ipc://{self.directory}/p
[watcher:w]
cmd = {shlex.join(self.arguments("$(circus.wid)"))}
numprocesses = {processes}
graceful_timeout = 20
copy_env = true
max_retry = -1
{stream}"""
        )

    def _ctl(self, *words: str) -> list[str]:
        return [str((tools.peers_bin() or Path()) / "circusctl"), "--endpoint", f"ipc://{self.directory}/e", *words]

    def daemon_command(self) -> list[str]:
        """circusd in the foreground."""
        return [str((tools.peers_bin() or Path()) / "circusd"), str(self.file)]

    def scale_commands(self) -> list[list[str]]:
        """At runtime, without the file."""
        return [self._ctl("set", "w", "numprocesses", str(self.processes))]

    def restart_command(self) -> list[str]:
        """Stops all, then starts all."""
        return self._ctl("restart", "w", "--waiting")

    def status_command(self) -> list[str]:
        """`status` knows watchers only; this lists the processes."""
        return self._ctl("list", "w")


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        """To the path instead of the host."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.connect(self._path)


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Queuepool, Supervisor, Runit, S6, Circus)}
