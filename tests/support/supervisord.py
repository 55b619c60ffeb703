"""A real supervisord of a test's own, of either version that queuepool is held to, and its supervisorctl."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy, Transport

from tests.bench import tools
from tests.bench.peer import UnixConnection
from tests.support.wait import eventually

VERSIONS = ("debian", "4.3.0")


@cache
def bin_of(version: str) -> Path | None:
    """The directory with supervisord and supervisorctl: Debian's package (4.2.5), or 4.3.0 from PyPI in the venv that
    the benchmarks keep; None where it is not installed."""
    if version == "debian":
        return Path("/usr/bin") if shutil.which("supervisord", path="/usr/bin") else None
    with open(tools.cache() / "peers.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be making it
        return tools.peers_bin()


def ctl(version: str, url: str, *words: str, timeout: float = 60.0, stdin: str = "") -> tuple[str, int]:
    """What `supervisorctl -s URL WORDS` prints, and its exit code."""
    done = subprocess.run(
        ctl_command(version, url, *words), env=environment(), capture_output=True, text=True, timeout=timeout,
        input=stdin,
    )  # fmt: skip
    return done.stdout, done.returncode


class Ctl:
    """supervisorctl of one version, run many times against one server: ctl("status", "all")."""

    def __init__(self, version: str, url: str) -> None:
        self.url = url
        python = "/usr/bin/python3" if version == "debian" else str((bin_of(version) or Path()) / "python")
        self._process = subprocess.Popen(
            [python, "-I", str(Path(__file__).with_name("supervisorctl_often.py"))], env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, *words: str) -> tuple[str, int]:
        """What it prints, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(["-s", self.url, *words]) + "\n")
        self._process.stdin.flush()
        text, code = json.loads(self._process.stdout.readline())
        return text, code

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def ctl_command(version: str, url: str, *words: str) -> list[str]:
    """The command line of `supervisorctl`."""
    return [str((bin_of(version) or Path()) / "supervisorctl"), "-s", url, *words]


def environment() -> dict[str, str]:
    """That of a person's shell; supervisorctl complains about others."""
    return {**os.environ, "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"}


class _Local(Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        if not self._connection or host != self._connection[0]:
            self._connection = host, UnixConnection(self._path)
        connection: HTTPConnection = self._connection[1]
        return connection


def proxy(url: str) -> ServerProxy:
    """A client of either server, over its unix socket."""
    return ServerProxy("http://localhost/RPC2", transport=_Local(url.removeprefix("unix://")))


class Supervisord:
    """with Supervisord(tmp_path, "debian", programs) as supervisord: supervisord.ctl("status")

    On leaving, it and all its processes are killed.
    """

    def __init__(self, directory: Path, version: str, programs: str) -> None:
        """programs: the sections of supervisord.conf beside those of the server."""
        self.directory, self.version = directory, version
        self.directory.mkdir(parents=True, exist_ok=True)
        self._short = tempfile.mkdtemp(prefix="sv-", dir="/tmp")
        self.url = f"unix://{self._short}/s"
        self.file = directory / "supervisord.conf"
        self.write(programs)
        command = [str((bin_of(version) or Path()) / "supervisord"), "-n", "-c", str(self.file)]
        with open(directory / "out", "ab") as out:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def write(self, programs: str) -> None:
        """Write supervisord.conf anew."""
        here = self.directory
        self.file.write_text(
            f"""[unix_http_server]
file={self._short}/s
[supervisord]
logfile={here}/supervisord.log
pidfile={here}/supervisord.pid
childlogdir={here}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
{programs}"""
        )

    def __enter__(self) -> Supervisord:
        try:
            eventually(lambda: os.path.exists(f"{self._short}/s") and self.ctl("version")[1] == 0, what="it answers")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ctl(self, *words: str, timeout: float = 60.0) -> tuple[str, int]:
        """What its own supervisorctl prints, and the exit code."""
        return ctl(self.version, self.url, *words, timeout=timeout)

    def close(self) -> None:
        """Kill it and the processes that it started, which its log names."""
        log = self.directory / "supervisord.log"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in re.findall(r"spawned: '.*' with pid (\d+)", log.read_text() if log.exists() else ""):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(int(pid)) == int(pid) and _is_of(int(pid), self._short):
                    os.killpg(int(pid), signal.SIGKILL)
        shutil.rmtree(self._short, ignore_errors=True)


def _is_of(pid: int, short: str) -> bool:
    """Whether a process knows of the supervisord in this directory, by SUPERVISOR_SERVER_URL: the pid of one that ended
    may be another's by now."""
    with contextlib.suppress(OSError):
        return short.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False
