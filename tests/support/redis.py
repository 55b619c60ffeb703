"""A real redis-server of a test's own, on a free port of the loopback interface, which keeps nothing on disk."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import TracebackType

from redis import Redis

from tests.support.ports import free_port
from tests.support.wait import eventually


class RedisServer:
    """with RedisServer() as server:
            server.port, server.prefix, server.client.llen(...)

    It may be stopped and started again (same port, data gone), killed, frozen and thawed. prefix: one that no other
    test uses. options: more arguments for redis-server, such as `--requirepass`, `secret`. It dies with the process
    that started it, even when that is killed.
    """

    def __init__(self, *options: str, password: str | None = None) -> None:
        self.options = (*options, "--requirepass", password) if password else options
        self.password = password
        self.prefix = f"test_{secrets.token_hex(4)}_"
        self.directory = tempfile.mkdtemp(prefix="qp-redis-")
        self.socket = os.path.join(self.directory, "redis.sock")
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None

    def __enter__(self) -> RedisServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def client(self) -> Redis:
        """A connection to it, text in and out; kept over stop and start."""
        if self._client is None:
            self._client = Redis(
                port=self.port, password=self.password, decode_responses=True, socket_timeout=5, protocol=2
            )
        return self._client

    def start(self, *, loading: bool = False) -> None:
        """Run it, on the same port as before; returns when it answers. loading: also when it answers that it loads."""
        assert self.process is None, "it runs already"
        for _ in range(3):  # a program that is not of the tests may take the port before redis-server does
            if self._try_start(self.port or free_port(), loading):
                return
        raise AssertionError(f"cannot start redis-server:\n{self.log()}")

    def _try_start(self, port: int, loading: bool) -> bool:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", self.socket]
        command += ["--save", "", "--appendonly", "no", "--dir", self.directory, "--daemonize", "no", *self.options]
        with open(os.path.join(self.directory, "log"), "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent
            )
        self.process = process
        try:
            eventually(lambda: self._answers(loading) or process.poll() is not None, what="redis-server answers")
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        if process.poll() is not None:
            self._end(signal.SIGKILL)
            return False
        self.port = port
        return True

    def _answers(self, loading: bool) -> bool:
        # By its own unix socket: on the port some other server may answer. A client of the library would be more work
        # for the processor than the start of redis-server is.
        asks = [("AUTH", self.password)] * bool(self.password) + [("PING",)]
        with socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.settimeout(1)
            server.connect(self.socket)
            with server.makefile("rb") as replies:
                for words in asks:
                    server.sendall(_command(*words))
                    reply = replies.readline()
            return reply == b"+PONG\r\n" or (loading and reply.startswith(b"-LOADING"))
        return False

    def stop(self) -> None:
        """End it in good order; a client then is refused. Its data is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections are taken, and never answered."""
        assert self.process is not None, "it does not run"
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo freeze()."""
        assert self.process is not None, "it does not run"
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it printed."""
        with open(os.path.join(self.directory, "log"), errors="replace") as file:
            return file.read()

    def close(self) -> None:
        """End it, whatever its state, and remove its directory."""
        self._end(signal.SIGKILL)
        if self._client is not None:
            self._client.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a frozen one does not see SIGTERM
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._client is not None:
            self._client.connection_pool.disconnect()


def _command(*words: str) -> bytes:
    """As Redis wants it to be sent."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _PRCTL is not None:
        _PRCTL(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
