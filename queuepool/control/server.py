"""Serves the control socket with uvicorn, and bounds what a client may cost. What is served is api.py's matter. An idle
server sleeps: it wakes for a connection and for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

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

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"error":{"message":"the daemon has too many connections","hint":"try again","exit_code":1}}\n'
)


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, transport.abort)

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._deadline is None:
                self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
        else:
            self._forget_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _silence_uvicorn() -> None:
    """A client's mistakes are told to the client; the daemon's own log is its journal."""
    logger = logging.getLogger("uvicorn")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
