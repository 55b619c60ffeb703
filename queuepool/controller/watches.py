"""Watching what workers depend on: when workers of a pool die, their Redis is asked, and while it does not answer they
wait for it instead of failing again and again. How Redis is asked is laravel/ping.py's matter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from queuepool.controller.journal import Fact, Journal
from queuepool.domain.events import Kind

RETRY_SECONDS = 0.5
"""How often a Redis that is away is asked; also the longest time that workers wait after it is back."""
FRESH_SECONDS = 0.3
"""An answer this young is not asked for again: a whole pool dies at the same moment."""

AFTERMATH_SECONDS = 5.0
"""So long after Redis is back the end of a worker may still be its doing."""


class Target(Protocol):
    """What can be pinged: equal targets are one server."""

    def __hash__(self) -> int: ...

    @property
    def where(self) -> str:
        """Its address for people."""


class RedisWatch:
    """Knows which Redis is away.

    targets(pool): the Redis servers that the pool's workers need, as its application is configured now: it is asked
    again and again, since somebody may mend .env while workers wait. ping(target): None when it answers, else why not,
    in words. pools(): every pool that uses Redis. block(pool, what): tells the engine; "" when it is back.
    """

    def __init__(
        self,
        targets: Callable[[str], Awaitable[Iterable[Target]]],
        ping: Callable[[Target], Awaitable[str | None]],
        pools: Callable[[], Iterable[str]],
        block: Callable[[str, str], None],
        journal: Journal,
    ) -> None:
        self._targets = targets
        self._ping = ping
        self._pools = pools
        self._block = block
        self._journal = journal
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._asked: dict[Target, float] = {}
        self._away: dict[Target, tuple[float, str]] = {}
        self._looks: set[asyncio.Task[None]] = set()

    def suspect(self, pool: str) -> None:
        """A process of the pool ended badly."""
        if any(not task.done() for task in self._looks if task.get_name() == pool):
            return
        task = asyncio.ensure_future(self._look(pool))
        task.set_name(pool)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def blame(self, pool: str) -> str:
        """Why a Redis that the pool needs does not answer, or did not a moment ago; "" when all do and did."""
        for target in await self._targets(pool):
            when, why = self._away.get(target, (-1e9, ""))
            if target in self._tasks or asyncio.get_running_loop().time() - when < AFTERMATH_SECONDS:
                return why
            if (answer := await self._ping(target)) is not None:
                self.suspect(pool)
                return answer
        return ""

    @property
    def away(self) -> frozenset[str]:
        """The addresses of the servers that are being waited for."""
        return frozenset(target.where for target in self._tasks)

    async def close(self) -> None:
        """End all watching."""
        tasks = [*self._tasks.values(), *self._looks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, pool: str) -> None:
        loop = asyncio.get_running_loop()
        for target in await self._targets(pool):
            if target in self._tasks or loop.time() - self._asked.get(target, -1e9) < FRESH_SECONDS:
                continue
            why = await self._ping(target)
            self._asked[target] = loop.time()
            if why is not None and target not in self._tasks:
                self._tasks[target] = asyncio.ensure_future(self._watch(target, why))

    async def _watch(self, target: Target, why: str) -> None:
        """Hold the pools that need the target until it answers again, or none needs it any more."""
        try:
            began = asyncio.get_running_loop().time()
            name = f"redis at {target.where}"
            held: set[str] = set()
            self._away[target] = (began, why)
            self._journal.add(Kind.WAITING, "", {"reason": why, "redis": target.where})
            while True:
                for pool in self._pools():
                    needed = target in await self._targets(pool)
                    if needed and pool not in held:
                        held.add(pool)
                        self._block(pool, f"{name}: it {why.removeprefix(name).strip()}")
                    elif pool in held and not needed:
                        held.discard(pool)
                        self._block(pool, "")
                if not held:
                    well = "is not needed any more"
                    break
                await asyncio.sleep(RETRY_SECONDS)
                if await self._ping(target) is None:
                    well = "answers again"
                    break
            self._away[target] = (asyncio.get_running_loop().time(), why)
            away = round(asyncio.get_running_loop().time() - began, 1)
            facts: dict[str, Fact] = {"reason": f"{name} {well}", "seconds": away, "redis": target.where}
            self._journal.add(Kind.RESUMED, "", facts)
            for pool in held:
                self._block(pool, "")
        finally:
            self._tasks.pop(target, None)


async def ping(target: Any) -> str | None:
    """laravel/ping.py's, for a RedisTarget. It is loaded when a worker dies, and not before."""
    from queuepool.laravel.ping import ping

    return await ping(target)


class Refusals:
    """Says once in the journal that a server answers and yet cannot be read (a wrong password, another database), and
    once that it can again. What is simply away is RedisWatch's to say."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: dict[str, int] = {}
        self._said: set[str] = set()

    def look(self, away: Mapping[str, str], watched: Collection[str]) -> None:
        """One look at the servers. away: why each that could not be read could not, by address. watched: those that
        RedisWatch waits for; it gets a second look to notice one."""
        for where in [where for where in self._said if where not in away]:
            self._said.discard(where)
            self._journal.add(Kind.REDIS_WELL, "", {"reason": f"redis at {where} can be read again", "redis": where})
        self._seen = {where: self._seen.get(where, 0) + 1 for where in away if where not in watched}
        for where, looks in self._seen.items():
            if looks > 1 and where not in self._said:
                self._said.add(where)
                self._journal.add(Kind.REDIS_TROUBLE, "", {"reason": away[where], "redis": where})
