"""One connection to each Redis server, shared by all who ask it. What they ask is in depth.py, health.py, requeue.py.

redis-py takes 100 ms and 10 MB to import, so that happens on first use, in a thread. Its Connection is used without a
pool and without retries: a pool would open a second connection for a second caller, and a retry would wait for a server
that does not answer. A caller here is answered within the timeout, whatever the server does: with what it said, or with
the reason for its silence.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from queuepool.laravel.away import NO_REDIS, Away, in_words, of_system
from queuepool.laravel.target import RedisTarget

if TYPE_CHECKING:
    from redis.asyncio import RedisCluster
    from redis.asyncio.connection import AbstractConnection

Command = tuple[str | bytes | int | float, ...]
Replies = list[Any]
"""bytes, int, None or a list for each command; or an exception, for a command that was refused."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0
"""Seconds between two tries to reach a server: the first, doubled with each failure, up to the longest."""


class Servers:
    """Asks any number of servers, each over one connection that is opened when first needed.

    Targets that differ only in their prefix share it. A server that was silent, or not there, is left alone for a while
    (FIRST_PAUSE to LONGEST_PAUSE); meanwhile its callers get the same reason again, at once.
    """

    def __init__(self, *, timeout: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """timeout: seconds for everything that one call of ask() does, connecting included."""
        self._timeout = timeout
        self._clock = clock
        self._links: dict[RedisTarget, _Link] = {}

    async def prepare(self) -> None:
        """Import redis-py now, instead of with the first question."""
        await _import()

    async def ask(self, target: RedisTarget, commands: Sequence[Command]) -> Replies | Away:
        """The replies to `commands`, sent in one go. On a cluster each goes to the node that holds its keys.

        A server that answers only that it cannot serve (loading, a password missing) is Away, too.
        """
        await _import()
        server = server_of(target)
        link = self._links.get(server)
        if link is None:
            link = self._links[server] = _Link(server, self._timeout, self._clock)
        return await link.ask(commands)

    async def close(self) -> None:
        """Close all connections, without waiting for anybody."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()


def server_of(target: RedisTarget) -> RedisTarget:
    """The target without what is of no concern to the server: two with the same are reached by one connection."""
    return replace(target, prefix="")


async def _import() -> None:
    """Done off the loop; free of cost once it is done."""
    for name in ("redis.asyncio", "redis.asyncio.cluster"):
        if name not in _imported:
            await asyncio.to_thread(importlib.import_module, name)
            _imported.add(name)


_imported: set[str] = set()


class _Link:
    """The way to one server: a wire, or none at present, and what is known of why. Questions wait for each other."""

    def __init__(self, target: RedisTarget, timeout: float, clock: Callable[[], float]) -> None:
        self._target = target
        self._timeout = timeout
        self._clock = clock
        self._lock = asyncio.Lock()
        self._wire: _Wire | _ClusterWire | None = None
        self._away: Away | None = None
        self._pause = 0.0
        self._until = 0.0  # when it may be tried again

    async def ask(self, commands: Sequence[Command]) -> Replies | Away:
        async with self._lock:
            if self._away is not None and self._clock() < self._until:
                return self._away
            asked = self._target
            try:
                async with asyncio.timeout(self._timeout):
                    if self._wire is None or self._wire.dead:
                        await self.close()
                        asked = await self._address()
                        self._wire = _ClusterWire(asked) if asked.cluster else _Wire(asked)
                        await self._wire.open()
                    replies = await self._wire.exchange(commands)
            except _NoMaster as error:
                return self._failed(error.away)
            except TimeoutError:
                return self._failed(Away.because(asked, f"does not answer within {self._timeout:g} s"))
            except _errors() as error:
                return self._failed(Away.because(asked, _words(error)))
            except BaseException:
                await self.close()  # cut off in the middle of an answer
                raise
            self._away, self._pause = None, 0.0
            if replies and isinstance(replies[0], Exception):
                words = in_words(reply_text(replies[0]))
                if words is not None:
                    return Away.because(asked, words)
            return replies

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
            wire = _Wire(sentinel)
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
        raise _NoMaster(away)


class _NoMaster(Exception):
    def __init__(self, away: Away) -> None:
        super().__init__(away.why)
        self.away = away


class _Wire:
    """One connection to one server."""

    def __init__(self, target: RedisTarget) -> None:
        self._connection = _connection(target, redis_connect_func=self._greet)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def dead(self) -> bool:
        """Whether the server has closed it: then nothing that is sent now would arrive."""
        reader = self._connection._reader
        return reader is None or reader.at_eof()

    async def open(self) -> None:
        if hasattr(self._connection, "ssl_context"):
            await asyncio.to_thread(self._connection.ssl_context.get)  # reads the certificates of the system: 30 ms
        await self._connection.connect()  # type: ignore[no-untyped-call]

    async def _greet(self, connection: Any) -> None:
        """Called by redis-py with the bare connection: it is kept, because redis-py drops it without aborting it."""
        self._writer = connection._writer
        await connection.on_connect()

    async def exchange(self, commands: Sequence[Command]) -> Replies:
        from redis.exceptions import ResponseError

        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands))
        replies: Replies = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies

    def abort(self) -> None:
        """Close it now: an ordinary close would wait until a frozen server has read what was sent."""
        writers = (self._writer, self._connection._writer)
        self._writer = self._connection._writer = self._connection._reader = None
        for writer in writers:
            if writer is not None:
                writer.transport.abort()


class _ClusterWire:
    """The connections to the nodes of a cluster, one for each, and which of them holds what. redis-py knows how."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._client: RedisCluster | None = None
        self.dead = False

    async def open(self) -> None:
        from redis.asyncio.cluster import ClusterNode, RedisCluster
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        target = self._target
        options = _options(target)
        if target.tls:
            options["ssl"] = True
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in ((target.host, target.port), *target.nodes)],
            require_full_coverage=False,  # the queues on the slots that are there can be served
            retry=Retry(NoBackoff(), 0),
            socket_timeout=NODE_TIMEOUT,
            socket_connect_timeout=NODE_TIMEOUT,
            **options,
        )
        await self._client.initialize()

    async def exchange(self, commands: Sequence[Command]) -> Replies:
        from redis.exceptions import ConnectionError as Broken
        from redis.exceptions import TimeoutError as Silent

        assert self._client is not None, "open() came first"
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        replies: Replies = await pipeline.execute(raise_on_error=False)
        broken = [reply for reply in replies if isinstance(reply, (Broken, Silent))]
        if replies and len(broken) == len(replies):
            raise broken[0]
        self.dead = bool(broken)  # the others have answered; next time, learn anew which nodes there are
        return replies

    def abort(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        nodes = client.nodes_manager
        for node in {*nodes.nodes_cache.values(), *nodes.startup_nodes.values()}:
            for connection in node._connections:
                writer = connection._writer
                connection._writer = connection._reader = None
                if writer is not None:
                    writer.transport.abort()


NODE_TIMEOUT = 0.4
"""Seconds for one node of a cluster: less than the whole may take, so that a frozen one does not hide the others."""


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
    from redis.exceptions import RedisClusterException, RedisError

    return (RedisError, RedisClusterException, OSError)


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
    if text.startswith("Cluster mode is not enabled"):
        return "is not part of a cluster"
    if "closed by server" in text:
        return "closes connections"
    return in_words(text) or f"says: {text}"


def reply_text(error: BaseException) -> str:
    """An error reply as the server sent it: redis-py takes the code off those that it knows."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)
