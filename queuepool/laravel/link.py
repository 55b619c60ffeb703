"""The way to one Redis server: one connection, opened when needed, and what is known while there is none.

redis-py's Connection is used without a pool and without retries: a pool would open a second connection for a second
caller, and a retry would wait for a server that does not answer. redis-py is imported by servers.py before any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from queuepool.laravel.away import CLOSES, NO_REDIS, Away, in_words, of_system
from queuepool.laravel.target import RedisTarget

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Command = tuple[str | bytes | int | float, ...]
Replies = list[Any]
"""bytes, int, None or a list for each command; an exception where it was refused; on a cluster an Away, where only the
node that has its key is away."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0
"""Seconds between two tries to reach a server: the first, doubled with each failure, up to the longest."""


class Link:
    """The way to one server: a wire, or none at present, and what is known of why. Questions wait for each other."""

    def __init__(self, target: RedisTarget, timeout: float, clock: Callable[[], float]) -> None:
        self._target = target
        self._timeout = timeout
        self._clock = clock
        self._lock = asyncio.Lock()
        self._wire: Wire | None = None
        self._away: Away | None = None
        self._pause = 0.0
        self._until = 0.0  # when it may be tried again

    async def ask(self, commands: Sequence[Command]) -> Replies | Away:
        """As Servers.ask()."""
        async with self._lock:
            if self._away is not None and self._clock() < self._until:
                return self._away
            asked = self._target
            try:
                async with asyncio.timeout(self._timeout):
                    if self._wire is None or self._wire.dead:
                        await self.close()
                        asked = await self._address()
                        self._wire = Wire(asked)
                        await self._wire.open()
                    replies = await self._wire.exchange(commands)
            except _Unusable as error:
                return self._failed(error.away)
            except TimeoutError:
                return self._failed(Away.because(asked, self._silence(asked)))
            except _errors() as error:
                said = _words(error)
                if said == CLOSES and not asked.tls and self._wire is not None and not self._wire.answered:
                    said += " without a word: it may want TLS, or have no connection left (maxclients)"
                return self._failed(Away.because(asked, said))
            except BaseException:
                await self.close()  # cut off in the middle of an answer
                raise
            self._away, self._pause = None, 0.0
            if replies and isinstance(replies[0], Exception):
                words = in_words(reply_text(replies[0]))
                if words is not None:
                    return Away.because(asked, words)
            return replies

    def _silence(self, asked: RedisTarget) -> str:
        if asked.tls and self._wire is not None and not self._wire.connected:
            return f"does not answer the TLS handshake within {self._timeout:g} s: it may not speak TLS"
        return f"does not answer within {self._timeout:g} s"

    def _failed(self, away: Away) -> Away:
        """Give the wire up, and leave the server alone for a while."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
        self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        self._until = self._clock() + self._pause
        self._away = away
        return away

    async def close(self) -> None:
        """Close the connection, if there is one; the next question opens another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn

    async def _address(self) -> RedisTarget:
        """The target itself, or what its sentinels call the master now."""
        target = self._target
        if target.sentinel is None:
            return target
        away = Away(target.where, f"no sentinel is configured for {target.sentinel}")
        nodes = target.nodes or ((target.host, target.port),)
        for host, port in nodes:
            sentinel = replace(
                target, host=host, port=port, db=0, username=None, password=target.sentinel_password, sentinel=None
            )
            name = f"sentinel at {sentinel.where}"
            wire = Wire(sentinel)
            limit = self._timeout / (len(nodes) + 1)
            try:
                async with asyncio.timeout(limit):
                    await wire.open()
                    [reply] = await wire.exchange([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.sentinel)])
            except TimeoutError:
                away = Away(sentinel.where, f"{name} does not answer within {limit:.2g} s")
                continue
            except _errors() as error:
                away = Away(sentinel.where, f"{name} {_words(error)}")
                continue
            finally:
                wire.abort()
            if isinstance(reply, Exception):
                away = Away(sentinel.where, f"{name} {in_words(reply_text(reply)) or f'says: {reply_text(reply)}'}")
            elif reply is None:
                away = Away(sentinel.where, f"{name} knows no master called {target.sentinel}")
            else:
                return replace(target, host=reply[0].decode(), port=int(reply[1]), sentinel=None, nodes=())
        raise _Unusable(away)


class _Unusable(Exception):
    def __init__(self, away: Away) -> None:
        super().__init__(away.why)
        self.away = away


class Wire:
    """One connection to one server."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._connection = _connection(target, redis_connect_func=self._greet)
        self._writer: asyncio.StreamWriter | None = None
        self.answered = False

    @property
    def connected(self) -> bool:
        """Whether the connection, TLS included, was made."""
        return self._writer is not None

    @property
    def dead(self) -> bool:
        """Whether the server has closed it: then nothing that is sent now would arrive."""
        reader = self._connection._reader
        return reader is None or reader.at_eof()

    async def open(self) -> None:
        """Connect, log in, choose the database. Raises what redis-py raises."""
        if hasattr(self._connection, "ssl_context"):
            try:
                await asyncio.to_thread(self._connection.ssl_context.get)  # reads the system's certificates: 30 ms
            except OSError as error:
                words = f"cannot be asked: the certificates in {self._target.tls_ca} cannot be read: {error.strerror}"
                raise _Unusable(Away.because(self._target, words)) from None
        await self._connection.connect()  # type: ignore[no-untyped-call]

    async def _greet(self, connection: Any) -> None:
        """Called by redis-py with the bare connection: it is kept, because redis-py drops it without aborting it."""
        self._writer = connection._writer
        await connection.on_connect()

    async def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send all, then read all the replies; raises when the connection breaks."""
        from redis.exceptions import BusyLoadingError, ResponseError

        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands))
        replies: Replies = []
        for _ in commands:
            try:
                # What to close is decided in Link: redis-py takes LOADING for the end of a connection.
                replies.append(await connection.read_response(disconnect_on_error=False))
            except (ResponseError, BusyLoadingError) as error:
                replies.append(error)
            self.answered = True
        return replies

    def abort(self) -> None:
        """Close it now: an ordinary close would wait until a frozen server has read what was sent."""
        writers = (self._writer, self._connection._writer)
        self._writer = self._connection._writer = self._connection._reader = None
        for writer in writers:
            if writer is not None:
                writer.transport.abort()


def _connection(target: RedisTarget, **more: Any) -> AbstractConnection:
    from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

    options = {**_options(target), "db": target.db, "socket_timeout": None, "socket_connect_timeout": None, **more}
    if target.path is not None:
        return UnixDomainSocketConnection(path=target.path, **options)
    kind = SSLConnection if target.tls else Connection
    return kind(host=target.host, port=target.port, **options)


def _options(target: RedisTarget) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": target.username,
        "password": target.password,
        "protocol": 2,  # HELLO is unknown before Redis 6
        "driver_info": None,  # no CLIENT SETINFO
    }
    if target.tls:
        options["ssl_cert_reqs"] = "required" if target.tls_verify else "none"
        options["ssl_check_hostname"] = target.tls_verify
        options["ssl_ca_certs"] = target.tls_ca
    return options


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError)


def _words(error: BaseException) -> str:
    """What an error of redis-py says, from the error of the system that it hides, or from the server's reply."""
    from redis.exceptions import InvalidResponse

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InvalidResponse):
            return NO_REDIS
        if isinstance(cause, OSError):
            return of_system(cause)
        cause = cause.__cause__ or cause.__context__
    text = reply_text(error)
    if "closed by server" in text:
        return CLOSES
    return in_words(text) or f"says: {text}"


def reply_text(error: object) -> str:
    """An error reply as the server sent it: redis-py takes the code off those that it knows. "" for any other reply."""
    if not isinstance(error, Exception):
        return ""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)
