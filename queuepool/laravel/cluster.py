"""A Redis Cluster: which node has which keys, and a link to each of them."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable, Sequence
from dataclasses import replace

from queuepool.laravel.away import Away
from queuepool.laravel.link import Link
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, Replies, reply_text


class Cluster:
    """The ways to the nodes of a cluster, and which of them has which slots. One that is away does not hide the others.

    Not redis-py's RedisCluster: cut off while it looks for nodes, it leaves connections open, and one frozen node
    delays the answers of all.
    """

    def __init__(self, target: RedisTarget, timeout: float, clock: Callable[[], float]) -> None:
        self._target = target
        self._timeout = timeout / 2  # one half is for learning who has which slots, one for asking
        self._clock = clock
        self._links: dict[tuple[str, int], Link] = {}
        self._owners: list[tuple[int, tuple[str, int]]] = []  # the last slot of each range, in order, and whose it is

    async def ask(self, commands: Sequence[Command]) -> Replies | Away:
        """As Servers.ask()."""
        away = None if self._owners else await self._learn()
        if away is not None:
            return away
        replies = await self._spread(commands)
        moved = [n for n, reply in enumerate(replies) if reply_text(reply).startswith("MOVED ")]
        if moved:
            await self._learn()
            for n, reply in zip(moved, await self._spread([commands[n] for n in moved]), strict=True):
                replies[n] = reply
        if any(isinstance(reply, Away) for reply in replies):
            self._owners = []  # another may have taken its place: see next time
        first: Away | None = next((reply for reply in replies if isinstance(reply, Away)), None)
        return first if first is not None and all(isinstance(reply, Away) for reply in replies) else replies

    async def _learn(self) -> Away | None:
        """Ask all nodes that are known who has which slots, and believe the first one that knows."""
        target = self._target
        nodes = list(dict.fromkeys(((target.host, target.port), *target.nodes, *self._links)))
        answers = await asyncio.gather(*(self._link(node).ask([("CLUSTER", "SLOTS")]) for node in nodes))
        whys = []
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, Away):
                whys.append(answer)
            elif isinstance(answer[0], Exception) or not answer[0]:
                whys.append(Away.because(self._at(node), "is not part of a cluster"))
            else:
                ranges = sorted((last, (owner[0].decode() or node[0], owner[1])) for _, last, owner, *_ in answer[0])
                self._owners = ranges
                await self._forget_others({*nodes[: 1 + len(target.nodes)], *(owner for _, owner in ranges)})
                return None
        return whys[0]

    async def _forget_others(self, nodes: set[tuple[str, int]]) -> None:
        for gone in self._links.keys() - nodes:
            await self._links.pop(gone).close()

    async def _spread(self, commands: Sequence[Command]) -> Replies:
        """Each command to the node that has its key, all nodes at once."""
        shares: dict[tuple[str, int], list[int]] = {}
        for n, command in enumerate(commands):
            shares.setdefault(self._owner(command), []).append(n)
        asked = (self._link(node).ask([commands[n] for n in share]) for node, share in shares.items())
        replies: Replies = [None] * len(commands)
        for share, answers in zip(shares.values(), await asyncio.gather(*asked), strict=True):
            for at, n in enumerate(share):
                replies[n] = answers if isinstance(answers, Away) else answers[at]
        return replies

    def _owner(self, command: Command) -> tuple[str, int]:
        from redis.crc import key_slot

        place = 3 if command[0] in ("EVAL", "EVALSHA") else 1
        slot: int = key_slot(str(command[place]).encode()) if place < len(command) else 0
        at = bisect.bisect_left(self._owners, slot, key=lambda owner: owner[0])
        return self._owners[min(at, len(self._owners) - 1)][1]  # one that nobody has: the node will say so

    def _link(self, node: tuple[str, int]) -> Link:
        if node not in self._links:
            self._links[node] = Link(self._at(node), self._timeout, self._clock)
        return self._links[node]

    def _at(self, node: tuple[str, int]) -> RedisTarget:
        return replace(self._target, host=node[0], port=node[1], db=0, cluster=False, nodes=())

    async def close(self) -> None:
        """Close the connections to all nodes."""
        await self._forget_others(set())
