"""Fifty real `php artisan queue:work` of examples/laravel on a Redis of their own: how soon all of them poll, under
queuepool and started by a loop of a shell. Whether they poll is asked of Redis, the same way for both."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.bench import procs, tools
from tests.bench.bench import Bench, Step
from tests.bench.stamps import until

WORKERS = 50
POLLING = re.compile(rb"(?m) cmd=(?:eval|evalsha|lpop|blpop) ")
"""What CLIENT LIST says of a worker's connection once it has asked for a job (Illuminate/Queue/LuaScripts.php)."""


def steps(bench: Bench, names: list[str]) -> Iterator[Step]:
    """Both, taking turns. Nothing where PHP or Redis is not installed."""
    if not (shutil.which("php") and shutil.which("redis-server")):
        return
    for _ in range(bench.repeats("shell")):
        for name in ("queuepool", "shell"):
            if name in (*names, "shell"):
                yield name, partial(polling, bench, name)


def polling(bench: Bench, name: str) -> None:
    """From the exec of the daemon (of the shell) until all connections have asked for a job."""
    with bench.directory(f"php-{name}") as directory, _redis(directory) as ask:
        app = directory / "app"
        shutil.copytree(tools.REPOSITORY / "examples/laravel", app, ignore=shutil.ignore_patterns(".env", "*.log"))
        with open(directory / "out", "wb") as out:
            begun = time.monotonic()
            leader = subprocess.Popen(
                _queuepool(directory, app) if name == "queuepool" else _loop(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True, cwd=app, env=_environment(directory),
            )  # fmt: skip
        try:
            until(lambda: len(POLLING.findall(ask())) >= WORKERS, 60, f"{WORKERS} polling workers", every=0.02)
            bench.note(name, "php.polling", time.monotonic() - begun)
        finally:
            left = procs.family(leader.pid)
            for pid in left:  # all at once, so that none is replaced
                procs.kill(pid, signal.SIGSTOP)
            for pid in left:
                procs.kill(pid)
            leader.wait()


def _environment(directory: Path) -> dict[str, str]:
    return {
        **os.environ, "QUEUEPOOL_RUNTIME_DIR": str(directory / "run"), "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": (directory / "port").read_text(),
    }  # fmt: skip


def _queuepool(directory: Path, app: Path) -> list[str]:
    program = {
        "connection": "redis", "queue": "default", "numprocs": WORKERS, "sleep": 1, "tries": 3,
        "stdout_logfile": "NONE",
        "environment": {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": (directory / "port").read_text()},
    }  # fmt: skip
    file = app / "queuepool.yml"
    file.write_text(json.dumps({"programs": {"w": program}}))
    return [*tools.queuepool(), "-c", str(file), "up"]


def _loop() -> list[str]:
    worker = "php artisan queue:work redis --queue=default --sleep=1 --tries=3"
    return ["sh", "-c", f"i=0; while [ $i -lt {WORKERS} ]; do {worker} & i=$((i+1)); done; wait"]


@contextmanager
def _redis(directory: Path) -> Iterator[Callable[[], bytes]]:
    """A redis-server on a free port of loopback, its number in `port`; yields what answers CLIENT LIST."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "port").write_text(str(port))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    server = subprocess.Popen(["redis-server", *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    connections: list[socket.socket] = []

    def connected() -> bool:
        with suppress(OSError):
            connections.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        return bool(connections)

    def ask() -> bytes:
        connections[0].sendall(b"CLIENT LIST\r\n")
        answer = connections[0].recv(1 << 16)
        size = int(answer[1 : answer.index(b"\r\n")]) + answer.index(b"\r\n") + 4  # $SIZE, the text, an end of line
        while len(answer) < size:
            answer += connections[0].recv(1 << 16)
        return answer

    try:
        until(connected, 10, "redis-server", every=0.01)
        yield ask
    finally:
        for connection in connections:
            connection.close()
        server.kill()
        server.wait()
