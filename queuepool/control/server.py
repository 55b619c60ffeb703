"""Serves the control socket with uvicorn, and bounds what a client may cost. What is served is api.py's matter. An idle
server sleeps: it wakes for a connection and for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import ssl

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
    """The other end of one connection: `request.state.peer`. pid, uid: of the process there; 0 and -1: not known, as
    over TCP. patient: it may be idle for long. memory: what its requests have in common, kept by whoever answers
    them. cut: closes it at once, whatever waits to be sent."""

    pid: int = 0
    uid: int = -1
    patient: bool = False
    memory: Any = None
    cut: Callable[[], None] = lambda: None


class ControlServer:
    """The server of sockets that are already bound and listen. end_streams: ends the answers of `app` that go on for
    ever. connections: at a time (0: MAX_CONNECTIONS), so many of its own that strangers who fill one listener shut
    nobody out of another. tls: asked at each new connection.

    The socket stays the caller's: a client that connects before `serve` or after `stop` waits in its queue, so that a
    daemon which is about to be replaced by its next version need not turn anybody away.
    """

    def __init__(
        self,
        app: ASGIApp,
        *socks: socket.socket,
        end_streams: Callable[[], object] = lambda: None,
        connections: int = 0,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        _silence_uvicorn()
        config = _Config(
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
        config.most_connections = connections or MAX_CONNECTIONS
        self._server = _SleepingServer(config, tls)
        self._end_streams = end_streams
        self._sockets = socks

    async def serve(self) -> None:
        """Answer until `stop` is called."""
        await self._server.serve([sock.dup() for sock in self._sockets])

    def close_doors(self) -> None:
        """Accept nothing more, as of now: another may listen at the same address."""
        self._server.close_doors()

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let answers in progress end for at most `grace` seconds, then cut them; followed events
        are ended at once. Returns when `serve` has ended, or is about to."""
        self._end_streams()
        await self._server.stop(grace)


class _Config(Config):
    most_connections = 0


class _SleepingServer(Server):
    """uvicorn's server without its tenth-of-a-second ticks and without its signal handlers: the signals are the
    daemon's, and an idle daemon must not wake up (uvicorn/server.py, main_loop and shutdown)."""

    config: _Config

    def __init__(self, config: _Config, tls: Callable[[], ssl.SSLContext] | None) -> None:
        super().__init__(config)
        self._tls = tls
        self._handshakes: dict[_Doorway, None] = {}  # the first one waits longest
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's for sockets that are given, with `_Doorway` in front where there is TLS."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        front = self._connection if self._tls is None else self._doorway
        self.servers = [await loop.create_server(front, sock=sock, backlog=128) for sock in sockets or ()]
        self.started = True

    def _connection(self) -> _Connection:
        return _Connection(self.config, self.server_state, self.lifespan.state)

    def _doorway(self) -> _Doorway:
        assert self._tls is not None
        return _Doorway(self._tls(), self._connection(), self._handshakes)

    def close_doors(self) -> None:
        if self.started:
            for server in self.servers:
                server.close()

    async def main_loop(self) -> None:
        await self._stop_asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.close_doors()
        for doorway in list(self._handshakes):
            doorway.close()
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

    config: _Config
    _deadline: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    """Since when a patient one has nothing to do."""
    _owes_since: float | None = None
    """Since when the rest of a request, or all of it, is missing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = Peer(*_who(transport), cut=transport.abort)
        self.app_state = {**self.app_state, "peer": self._peer}
        if len(self.connections) > self.config.most_connections and not self._make_room():
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._set_deadline()

    def _make_room(self) -> bool:
        """Close another connection: the longest idle of the patient ones, else the one whose request is longest in
        coming. Whoever holds all connections and asks for nothing shuts nobody out so: an honest client sends its
        request at once."""
        others = [other for other in self.connections if isinstance(other, _Connection) and other is not self]
        for since in ("_idle_since", "_owes_since"):
            found = [other for other in others if getattr(other, since) is not None]
            if found:
                longest: _Connection = min(found, key=lambda other: getattr(other, since))
                longest._idle_since = longest._owes_since = None
                longest.transport.abort()
                return True
        return False

    def handle_events(self) -> None:
        super().handle_events()
        unread = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        self._idle_since = None
        if self._peer.patient and not unread:
            self._forget_deadline()
            self._idle_since = self.loop.time()
        elif self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._deadline is None:
                self._set_deadline()
        else:
            self._forget_deadline()

    def on_response_complete(self) -> None:
        if self._peer.patient:
            self.timeout_keep_alive = PATIENT_SECONDS  # type: ignore[assignment]
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _set_deadline(self) -> None:
        self._owes_since = self.loop.time()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _forget_deadline(self) -> None:
        self._owes_since = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Doorway(asyncio.Protocol):
    """A connection until its TLS handshake is done; then `inner` has it. asyncio's own server would wait a minute for a
    handshake, and for any number of them."""

    def __init__(self, context: ssl.SSLContext, inner: _Connection, others: dict[_Doorway, None]) -> None:
        self._context = context
        self._inner = inner
        self._others = others
        self._task: asyncio.Task[None] | None = None
        self._outer: asyncio.Transport | None = None
        self._early = b""
        self._open = self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        full = len(self._others) + len(self._inner.connections) >= self._inner.config.most_connections
        if full and not self._make_room():
            transport.abort()
            return
        transport.pause_reading()
        self._outer = transport
        self._others[self] = None
        self._task = self._inner.loop.create_task(self._shake_hands(transport), name="handshake")

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        try:
            secured = await self._inner.loop.start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=REQUEST_SECONDS
            )
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError: no TLS, or none that we take
            transport.abort()
            return
        finally:
            self._others.pop(self, None)
        if secured is None or self._lost:
            return
        self._open = True
        secured.set_protocol(self._inner)
        self._inner.connection_made(secured)
        if self._early:
            self._inner.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        self._early += data  # what comes with the last message of the handshake, before its end is known here

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._open:  # it was on its way already when the connection was handed on
            self._inner.connection_lost(exc)

    def _make_room(self) -> bool:
        """As that of a connection; who has not even shaken hands goes first."""
        if not self._others:
            return self._inner._make_room()
        longest = next(iter(self._others))
        del self._others[longest]
        longest.close()
        return True

    def close(self) -> None:
        """End it: the server ends, or another one needs the place."""
        if self._task is not None and self._outer is not None:
            self._task.cancel()
            self._outer.abort()  # the task may not even have begun


def _who(transport: asyncio.Transport) -> tuple[int, int]:
    """Pid and uid of the other end of a unix socket (unix(7), SO_PEERCRED); 0 and -1 where that is not told."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return 0, -1
    with contextlib.suppress(OSError, struct.error):
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid), int(uid)
    return 0, -1


def _silence_uvicorn() -> None:
    """A client's mistakes are told to the client; the daemon's own log is its journal."""
    logger = logging.getLogger("uvicorn")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
