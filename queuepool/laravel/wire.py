"""One connection to one Redis server, and what its errors mean.

redis-py's Connection is used without a pool and without retries: a pool would open a second connection for a second
caller, and a retry would wait for a server that does not answer. redis-py is imported by servers.py before any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from queuepool.laravel.away import CLOSES, NO_REDIS, Away, in_words, of_system
from queuepool.laravel.target import RedisTarget

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Command = tuple[str | bytes | int | float, ...]
Replies = list[Any]
"""bytes, int, None or a list for each command; an exception where it was refused; on a cluster an Away, where only the
node that has its key is away."""


class Unusable(Exception):
    """A server cannot be used, and this is why."""

    def __init__(self, away: Away) -> None:
        super().__init__(away.why)
        self.away = away


class Wire:
    """One connection. answered: it has replied to something."""

    def __init__(self, target: RedisTarget) -> None:
        self.target = target
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
                words = f"cannot be asked: the certificates in {self.target.tls_ca} cannot be read: {error.strerror}"
                raise Unusable(Away.because(self.target, words)) from None
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
        options["ssl_certfile"], options["ssl_keyfile"] = target.tls_cert, target.tls_key
    return options


def errors() -> tuple[type[Exception], ...]:
    """What an exchange may raise, beside a timeout."""
    from redis.exceptions import RedisError

    return (RedisError, OSError)


def words_of(error: BaseException) -> str:
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
