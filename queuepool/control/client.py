"""The blocking client of the control socket: all that a command needs to ask the daemon, and nothing that takes long to
import. It speaks HTTP/1.0, to which the server answers without chunks and with the end of the connection. A daemon on
another machine is asked by remote.py's."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from queuepool.errors import (
    ConfigError,
    DaemonUnreachable,
    ExitCode,
    Locked,
    NotAsWanted,
    NotRolledBack,
    QueuepoolError,
    UsageError,
)

if TYPE_CHECKING:
    from queuepool.control.messages import Request

PREFIX = "/api/v1"
START_HINT = "start it with `queuepool up`"
IDLE_SECONDS = 1.0
Progress = Callable[[dict[str, Any]], None]


class _Cut(DaemonUnreachable):
    """The connection was there, and ended without an answer."""


class Client:
    """Asks the daemon behind one socket; each call is a connection of its own.

    timeout: seconds for the connection and for a `status`. An operation, and events that are followed, may take as
    long as they take: the daemon's end ends them.
    """

    alone = False
    """Whether the operations are done in this process, since there is no daemon (inprocess.py)."""

    def __init__(self, socket_path: str, timeout: float = 10.0, absent: Callable[[], str] = lambda: START_HINT) -> None:
        """absent: what to type when nothing answers there."""
        self.socket_path = socket_path
        self._absent = absent
        self.timeout = timeout
        self.where = f"the daemon at {socket_path}"
        """What is asked, in words."""

    def status(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """The Snapshot as JSON (domain/observed.py), of all processes or of those that the selectors name.

        Raises UsageError for a selector that selects nothing, DaemonUnreachable when no daemon answers.
        """
        query = "&".join(f"name={_quote(name)}" for name in names)
        target = f"/status?{query}" if query else "/status"
        try:
            return self._get(target)
        except _Cut:  # by an upgrade, mostly: the daemon takes its own place, has the same socket, and answers soon
            return self._get(target)

    def _get(self, target: str) -> dict[str, Any]:
        with self._open("GET", target) as answer:
            return answer.object()

    def ask(
        self, request: Request, on_progress: Progress | None = None, on_idle: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        """Have something done; the reply, whose shape stands in the request's docstring.

        on_progress: called with each {"display", "state", "message"} on the way. on_idle: called about every second
        in which nothing came. Raises what the operation raised: a QueuepoolError with the message, hint and exit code
        of the daemon's.
        """
        from dataclasses import asdict

        name = type(request).__name__.lower()
        body = json.dumps(asdict(request)).encode()
        with self._open("POST", f"/{name}", body) as answer:
            answer.wait_for_ever(on_idle)
            for line in answer.lines():
                if "progress" in line:
                    if on_progress is not None:
                        on_progress(line["progress"])
                elif "reply" in line:
                    reply: dict[str, Any] = line["reply"]
                    return reply
            raise DaemonUnreachable(
                f"{self.where} ended before it answered",
                "`queuepool status` shows whether it runs, `queuepool events` what it did",
            )

    def events(self, since: int = 0, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The journal's events after number `since`, as {"seq", "time", "event", "process", "fields", "line"}.

        follow: go on with what happens from now on, until the daemon ends.
        """
        with self._open("GET", f"/events?since={since}&follow={'true' if follow else 'false'}") as answer:
            if follow:
                answer.wait_for_ever()
            yield from answer.lines()

    def _open(self, method: str, target: str, body: bytes = b"") -> Answer:
        head = f"{method} {PREFIX}{target} HTTP/1.0\r\nHost: queuepool\r\n"
        if method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A blocking connect with a kernel timeout: with settimeout() it is non-blocking, and then a queue that is
            # full for a moment (a daemon that is busy starting) is the error EAGAIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self.timeout))
            connection.connect(self.socket_path)
            connection.settimeout(self.timeout)
            # Refused before it was read whole (too large, too many connections)? Then the answer says why.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(head.encode() + b"\r\n" + body)
        except OSError as error:
            connection.close()
            raise self._unreachable(error) from None
        return SocketAnswer(connection, self.timeout, self._unreachable)

    def _unreachable(self, error: Exception) -> DaemonUnreachable:
        where = f"cannot reach {self.where}"
        if isinstance(error, PermissionError):
            return DaemonUnreachable(f"{where}: permission denied", self._whose())
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return DaemonUnreachable(where, self._absent())
        if isinstance(error, TimeoutError | BlockingIOError):
            return DaemonUnreachable(
                f"{self.where} did not answer within {self.timeout:g} s",
                "`queuepool pid` shows its pid; a daemon that hangs can be killed, its workers go on",
            )
        if isinstance(error, ConnectionResetError | EOFError):
            return _Cut(f"{self.where} ended before it answered", START_HINT)
        return DaemonUnreachable(f"{where}: {getattr(error, 'strerror', None) or error}", START_HINT)

    def _whose(self) -> str:
        try:
            import pwd

            owner = pwd.getpwuid(os.stat(os.path.dirname(self.socket_path)).st_uid).pw_name
        except (OSError, KeyError):
            owner = ""
        who = f"as the user that runs the daemon ({owner})" if owner else "as the user that runs the daemon"
        return f"run this command {who}: `sudo {f'-u {owner} ' if owner not in ('', 'root') else ''}queuepool ...`"


class Answer:
    """One answer being read. Errors that the server sends are raised as what they were there.

    unreachable: makes the error for one of the connection.
    """

    def __init__(self, unreachable: Callable[[Exception], DaemonUnreachable]) -> None:
        self._unreachable = unreachable

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""

    def wait_for_ever(self, on_idle: Callable[[], None] | None = None) -> None:
        """Let the next lines take as long as they take, calling `on_idle` about every second meanwhile."""
        raise NotImplementedError

    def readline(self) -> bytes:
        """The next line with its newline; what is left at the end; b"" after that. Raises DaemonUnreachable."""
        raise NotImplementedError

    def object(self) -> dict[str, Any]:
        """The whole answer as one object."""
        for value in self.lines():
            return value
        raise self._unreachable(EOFError())

    def lines(self) -> Iterator[dict[str, Any]]:
        """The answer line by line. Ends where it ends; raises the error that a line says."""
        while line := self.readline():
            try:
                value = json.loads(line)
            except ValueError:  # cut in the middle, by the end of the daemon
                raise self._unreachable(EOFError()) from None
            if isinstance(error := value.get("error"), dict):
                raise error_from(error)
            yield value


class SocketAnswer(Answer):
    """An answer in HTTP/1.0, read from a socket."""

    def __init__(
        self, connection: socket.socket, timeout: float, unreachable: Callable[[Exception], DaemonUnreachable]
    ) -> None:
        super().__init__(unreachable)
        self._connection = connection
        self._timeout: float | None = timeout
        self._on_idle: Callable[[], None] | None = None
        self._read = b""

    def __enter__(self) -> Self:
        try:
            self._read_head()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def wait_for_ever(self, on_idle: Callable[[], None] | None = None) -> None:
        """See Answer."""
        self._timeout, self._on_idle = None, on_idle

    def _read_head(self) -> None:
        """Read past the headers. The status code says nothing that the body does not say better."""
        if not self.readline().startswith(b"HTTP/1."):
            raise self._unreachable(EOFError())
        while self.readline().strip():
            pass

    def readline(self) -> bytes:
        """See Answer."""
        pieces = [self._read]
        while b"\n" not in pieces[-1]:
            piece = self._receive()
            if not piece:
                break
            pieces.append(piece)
        line, newline, self._read = b"".join(pieces).partition(b"\n")
        return line + newline

    def _receive(self) -> bytes:
        try:
            while self._on_idle is not None and not _ready(self._connection):
                self._on_idle()
            self._connection.settimeout(self._timeout)
            return self._connection.recv(1 << 18)
        except OSError as error:
            raise self._unreachable(error) from None


def _ready(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(IDLE_SECONDS * 1000))


_BY_EXIT_CODE: dict[int, type[QueuepoolError]] = {
    ExitCode.FAILED: QueuepoolError,
    ExitCode.USAGE: UsageError,
    ExitCode.NOT_AS_WANTED: NotAsWanted,
    ExitCode.LOCKED: Locked,
    ExitCode.NO_DAEMON: DaemonUnreachable,
    ExitCode.NOT_ROLLED_BACK: NotRolledBack,
}


def error_from(value: dict[str, Any]) -> QueuepoolError:
    """The error that {"message", "hint", "exit_code", "problems"} describes."""
    message, hint = str(value.get("message", "")), str(value.get("hint", ""))
    if problems := value.get("problems"):
        return ConfigError(message, tuple(map(str, problems)), hint)
    return _BY_EXIT_CODE.get(value.get("exit_code", ExitCode.FAILED), QueuepoolError)(message, hint)


def error_to(error: QueuepoolError) -> dict[str, Any]:
    """What `error_from` reads."""
    value = {"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}
    return value | {"problems": list(error.problems)} if isinstance(error, ConfigError) else value


def _quote(text: str) -> str:
    """Percent-encoding of a query's value (RFC 3986); urllib.parse takes longer to import than a whole status call."""
    safe = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:")
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in raw)


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
