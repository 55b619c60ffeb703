"""The process managers, each behind the same few methods, so that a scenario is written once. What is measured stands
in scenarios.py; nothing here takes a time."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import xmlrpc.client
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from tests.bench import tools
from tests.bench.peer import Peer, UnixConnection


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


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Queuepool, Supervisor, Runit, S6, Circus)}
