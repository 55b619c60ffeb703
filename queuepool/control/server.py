"""Serves the control socket with uvicorn, and bounds what a client may cost. What is served is api.py's matter. An idle
server sleeps: it wakes for a connection and for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from dataclasses import dataclass
from typing import Any

import h11
from starlette.applications import Starlette
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
"""Connections at a time; each costs a descriptor that a worker's pipe may need."""

MAX_HEADER = 16 * 1024
"""Bytes of a request's line and headers together."""

REQUEST_SECONDS = 10.0
"""From the connection, or the end of the request before, to the last byte of the request."""

PATIENT_SECONDS = 24 * 3600.0
"""How long a connection may be idle between the calls of a client of Supervisor, which does not open another by itself.
When connections run out, the longest idle one of these is closed."""

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"error":{"message":"the daemon has too many connections","hint":"try again","exit_code":1}}\n'
)


@dataclass(eq=False, slots=True)
class Peer:
    """The other end of one connection: `request.state.peer`. pid: of the process there; 0: not known, as over TCP.
    patient: it may be idle for long. memory: what its requests have in common, kept by whoever answers them."""

    pid: int = 0
    patient: bool = False
    memory: Any = None


class ControlServer:
    """The server of one socket that is already bound and listens.

    The socket stays the caller's: a client that connects before `serve` or after `stop` waits in its queue, so that a
    daemon which is about to be replaced by its next version need not turn anybody away.
    """

    def __init__(self, app: Starlette, sock: socket.socket) -> None:
        _silence_uvicorn()
        config = Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=128,
            h11_max_incomplete_event_size=MAX_HEADER,
        )
        self._server = _SleepingServer(config)
        self._app = app
        self._socket = sock

    async def serve(self) -> None:
        """Answer until `stop` is called."""
        await self._server.serve([self._socket.dup()])

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let answers in progress end for at most `grace` seconds, then cut them; followed events
        are ended at once. Returns when `serve` has ended, or is about to."""
        self._app.state.end_streams()
        await self._server.stop(grace)


class _SleepingServer(Server):
    """uvicorn's server without its tenth-of-a-second ticks and without its signal handlers: the signals are the
    daemon's, and an idle daemon must not wake up (uvicorn/server.py, main_loop and shutdown)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._stop_asked = asyncio.Event()
        self._stopped = asyncio.Event()
        self._grace = 0.0

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()

    async def stop(self, grace: float) -> None:
        self._grace = grace
        self._stop_asked.set()
        if self.started:
            await self._stopped.wait()

    async def main_loop(self) -> None:
        await self._stop_asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # closes an idle one; a busy one closes after its answer
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=self._grace)
        for task in set(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=1.0)
        for connection in list(self.server_state.connections):
            connection.transport.close()
        self._stopped.set()


class _Connection(H11Protocol):
    """One connection, with a limit to their number and to the time that sending a request may take. Without the latter
    a client that sends a byte a minute would hold a descriptor for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = Peer(_pid_of(transport))
        self.app_state = {**self.app_state, "peer": self._peer}
        if len(self.connections) > MAX_CONNECTIONS and not self._make_room():
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, transport.abort)

    def _make_room(self) -> bool:
        idle = [other for other in self.connections if isinstance(other, _Connection) and other._idle_since is not None]
        if not idle:
            return False
        longest = min(idle, key=lambda other: other._idle_since or 0.0)
        longest._idle_since = None
        longest.transport.close()
        return True

    def handle_events(self) -> None:
        super().handle_events()
        unread = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        self._idle_since = None
        if self._peer.patient and not unread:
            self._forget_deadline()
            self._idle_since = self.loop.time()
        elif self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._deadline is None:
                self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
        else:
            self._forget_deadline()

    def on_response_complete(self) -> None:
        if self._peer.patient:
            self.timeout_keep_alive = PATIENT_SECONDS  # type: ignore[assignment]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _pid_of(transport: asyncio.Transport) -> int:
    """The process at the other end of a unix socket (unix(7), SO_PEERCRED); 0 where that is not told."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return 0
    with contextlib.suppress(OSError, struct.error):
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    return 0


def _silence_uvicorn() -> None:
    """A client's mistakes are told to the client; the daemon's own log is its journal."""
    logger = logging.getLogger("uvicorn")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
