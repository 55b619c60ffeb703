"""One connection to each Redis server, shared by all who ask it. What they ask is in depth.py, health.py, requeue.py;
how a server is reached in link.py and cluster.py.

redis-py takes 100 ms and 10 MB to import, so that happens on first use, in a thread. A caller is answered within the
timeout, whatever the server does: with what it said, or with the reason for its silence.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from queuepool.laravel.away import Away
from queuepool.laravel.cluster import Cluster
from queuepool.laravel.link import Link
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, Replies


class Servers:
    """Asks any number of servers, each over one connection that is opened when first needed.

    Targets that differ only in their prefix share it. A server that was silent, or not there, is left alone for a while
    (FIRST_PAUSE to LONGEST_PAUSE); meanwhile its callers get the same reason again, at once.
    """

    def __init__(self, *, timeout: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """timeout: seconds for everything that one call of ask() does, connecting included."""
        self._timeout = timeout
        self._clock = clock
        self._links: dict[RedisTarget, Link | Cluster] = {}

    async def prepare(self) -> None:
        """Import redis-py now, instead of with the first question."""
        await _import()

    async def ask(self, target: RedisTarget, commands: Sequence[Command]) -> Replies | Away:
        """The replies to `commands`, sent in one go. On a cluster each goes to the node that has its first key.

        A server that answers only that it cannot serve (loading, a password missing) is Away, too.
        """
        await _import()
        server = server_of(target)
        link = self._links.get(server)
        if link is None:
            link = (Cluster if server.cluster else Link)(server, self._timeout, self._clock)
            self._links[server] = link
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
    if "redis.asyncio" not in sys.modules:
        await asyncio.to_thread(importlib.import_module, "redis.asyncio")
