"""Looks at the queues, each second: which ones there are, how deep they are and how fast they move. How a queue is read
is laravel/depth.py's and laravel/sizes.py's matter, what an application uses applications.py's; whom a Redis that is
away concerns is watches.py's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from queuepool.controller.applications import Applications, application_of
from queuepool.domain.command import parse
from queuepool.domain.flow import Flow, Rates, Sample
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueDepth, QueueName, QueueView, Serving, queue_view
from queuepool.laravel.away import Away
from queuepool.laravel.config import AppConfig, HorizonSupervisor
from queuepool.laravel.depth import Ask
from queuepool.laravel.target import RedisTarget

LOOK_SECONDS = 1.0
OTHER_SECONDS = 10.0
"""How often queues that only PHP can size are looked at."""

ReadDepths = Callable[[Sequence[Ask]], Awaitable[Mapping[QueueName, QueueDepth | Away]]]
ReadSizes = Callable[[PoolSpec, Sequence[QueueName]], Awaitable[Mapping[QueueName, QueueDepth | str]]]
Servings = Callable[[str, tuple[QueueName, ...]], Serving | None]


def served(pool: PoolSpec, config: AppConfig) -> tuple[QueueName, ...]:
    """The queues that a pool works on, the most urgent first, with Laravel's defaults filled in."""
    if pool.kind == "horizon":
        ours = supervisors(pool, config)
        names = (QueueName(one.connection, queue, pool.app or "") for one in ours for queue in one.queues)
        return tuple(dict.fromkeys(names))
    connection = pool.connection or config.default_connection
    if not pool.artisan or connection is None:
        return ()
    known = config.connections.get(connection)
    queues = pool.queues or ((known.queue if known and known.queue else "default"),)
    return tuple(dict.fromkeys(QueueName(connection, queue, pool.app or "") for queue in queues))


def supervisors(pool: PoolSpec, config: AppConfig) -> tuple[HorizonSupervisor, ...]:
    """Those that a Horizon starts, in the environment of the application or the one that its program gives."""
    if config.horizon_config is None:
        return ()
    command = parse(pool.process(0).launch.argv)
    environment = command.options.get("horizon_environment") if command else None
    return replace(config.horizon_config, environment=environment or config.horizon_config.environment).supervisors


class Monitor:
    """What the queues of all pools hold.

    pools: those in force. read_depths: of Redis queues, in one round trip for each server. read_sizes: of other
    queues, for one pool. servings(program, queues): what its workers do; None: nobody knows. troubled(pool): its
    Redis could not be read. late(seconds): how much later than asked for the loop went on. clock: seconds, monotonic.
    """

    def __init__(
        self,
        pools: Callable[[], Mapping[str, PoolSpec]],
        applications: Applications,
        *,
        read_depths: ReadDepths,
        read_sizes: ReadSizes,
        servings: Servings,
        clock: Callable[[], float],
        troubled: Callable[[str], None] = lambda pool: None,
        late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._pools = pools
        self._applications = applications
        self._read_depths = read_depths
        self._read_sizes = read_sizes
        self._servings = servings
        self._clock = clock
        self._troubled = troubled
        self._late = late
        self._readings: dict[QueueName, QueueDepth | str] = {}
        self._away: dict[str, str] = {}
        self._flows: dict[QueueName, Flow] = {}
        self._sized: dict[str, float] = {}

    async def run(self, looked: Callable[[], Awaitable[None]]) -> None:
        """Look each second, for ever; `looked` is called after each look."""
        while True:
            began = self._clock()
            await self.look()
            await looked()
            due = max(began + LOOK_SECONDS, self._clock() + 0.05)
            await asyncio.sleep(due - self._clock())
            self._late(self._clock() - due)

    async def look(self, *, wait: bool = False) -> None:
        """Read every queue once. wait: for applications that have not answered yet."""
        pools = self._pools()
        if wait:
            await asyncio.gather(*(self._applications.of(pool) for pool in pools.values()))
        configs = self._configs(pools)
        asks, others = _sorted(pools, configs)
        now = self._clock()
        due = {name: queues for name, queues in others.items() if now - self._sized.get(name, -1e9) >= OTHER_SECONDS}
        self._sized.update(dict.fromkeys(due, now))
        depths, sizes = await asyncio.gather(
            self._read_depths(tuple(asks.values())),
            asyncio.gather(*(self._read_sizes(pools[name], due[name]) for name in due)),
        )
        found: dict[QueueName, QueueDepth | str] = {
            name: seen.why if isinstance(seen, Away) else seen for name, seen in depths.items()
        }
        for size in sizes:
            found.update(size)
        readings = self._readings | found
        wanted = {*asks, *(name for queues in others.values() for name in queues)}
        self._readings = {name: seen for name, seen in readings.items() if name in wanted}
        self._away = {seen.where: seen.why for seen in depths.values() if isinstance(seen, Away)}
        for pool in pools.values():
            config = configs.get(pool.name)
            if config and any(isinstance(depths.get(name), Away) for name in served(pool, config)):
                self._troubled(pool.name)
        self._sample(found, pools, configs)

    @property
    def complete(self) -> bool:
        """Whether each queue has been read once, or it is known why it cannot be; soon after a start it is not yet."""
        pools = self._pools()
        configs = self._configs(pools)
        for pool in pools.values():
            if pool.name not in configs and application_of(pool) and not self._applications.why(pool):
                return False
        asks, others = _sorted(pools, configs)
        return all(name in self._readings for name in (*asks, *(name for queues in others.values() for name in queues)))

    def _configs(self, pools: Mapping[str, PoolSpec]) -> dict[str, AppConfig]:
        """What is known of each pool's application; pools of which nothing is known are left out."""
        return {name: config for name, pool in pools.items() if (config := self._applications.known(pool))}

    def _sample(
        self,
        found: Mapping[QueueName, QueueDepth | str],
        pools: Mapping[str, PoolSpec],
        configs: Mapping[str, AppConfig],
    ) -> None:
        """Note what the queues held now, and what had been finished by now."""
        now = self._clock()
        servings = self._served_by(pools, configs)
        self._flows = {name: self._flows.get(name) or Flow() for name in self._readings}
        for name, depth in found.items():
            if isinstance(depth, QueueDepth) and name in self._flows:
                counts = [one.finished.get(name) for one in servings.get(name, ())]
                told = [count for count in counts if count is not None]
                finished = sum(told) if told and len(told) == len(counts) else None
                self._flows[name].add(Sample(now, depth.ready + depth.delayed + depth.reserved, finished))

    def _served_by(
        self, pools: Mapping[str, PoolSpec], configs: Mapping[str, AppConfig]
    ) -> dict[QueueName, list[Serving]]:
        found: dict[QueueName, list[Serving]] = {}
        for program, config in configs.items():
            queues = served(pools[program], config)
            if queues and (serving := self._servings(program, queues)) is not None:
                for name in queues:
                    found.setdefault(name, []).append(serving)
        return found

    def views(self, names: Iterable[str] = ()) -> list[QueueView]:
        """Every queue as screens show it, in the order of the programs; names: those of these programs, or queues, or
        written connection:queue."""
        pools = self._pools()
        configs = self._configs(pools)
        servings = self._served_by(pools, configs)
        backlogs = {name: seen.backlog for name, seen in self._readings.items() if isinstance(seen, QueueDepth)}
        drivers: dict[QueueName, str] = {}
        users: dict[QueueName, set[str]] = {}
        for program, config in configs.items():
            for name in served(pools[program], config):
                connection = config.connections.get(name.connection)
                drivers.setdefault(name, connection.driver if connection else "")
                users.setdefault(name, set()).add(program)
        chosen = set(names)
        return [
            queue_view(name, driver, self._reading(name, driver), self._rates(name), servings.get(name, ()), backlogs)
            for name, driver in drivers.items()
            if not chosen or chosen & {str(name), name.queue, *users[name]}
        ]

    def _reading(self, name: QueueName, driver: str) -> QueueDepth | str | None:
        if not driver:
            return f"config/queue.php has no connection {name.connection}"
        if driver == "sync":
            return "the connection is sync: jobs run where they are pushed, and no worker ever gets one"
        return self._readings.get(name)

    def _rates(self, name: QueueName) -> Rates:
        flow = self._flows.get(name)
        return flow.rates if flow else Rates()

    @property
    def away(self) -> Mapping[str, str]:
        """The Redis servers that could not be read at the last look, by address, each with why in words."""
        return self._away

    def problems(self) -> list[str]:
        """Applications that could not be asked, a sentence each."""
        return list(dict.fromkeys(why for pool in self._pools().values() if (why := self._applications.why(pool))))

    def targets(self) -> dict[RedisTarget, tuple[str, ...]]:
        """Every Redis that the applications use, and for what: `queue redis`, `cache`, `horizon`."""
        return {target: tuple(uses) for target, uses in self.uses().items()}

    def uses(self) -> dict[RedisTarget, dict[str, list[str]]]:
        """Every Redis that the applications use, for what, and by which programs."""
        found: dict[RedisTarget, dict[str, list[str]]] = {}
        for pool in self._pools().values():
            config = self._applications.known(pool)
            if config is None:
                continue
            wanted: dict[tuple[RedisTarget, str], None] = {}
            for name in served(pool, config):
                if target := config.redis_of(name.connection):
                    wanted[target, f"queue {name.connection}"] = None
            if target := config.cache_redis():
                wanted[target, "cache"] = None
            if pool.kind == "horizon" and config.horizon_config and config.horizon_config.redis:
                wanted[config.horizon_config.redis, "horizon"] = None
            for target, use in wanted:
                found.setdefault(target, {}).setdefault(use, []).append(pool.name)
        return found


def _sorted(
    pools: Mapping[str, PoolSpec], configs: Mapping[str, AppConfig]
) -> tuple[dict[QueueName, Ask], dict[str, tuple[QueueName, ...]]]:
    """The queues on Redis, and of each pool those on other drivers; each queue once."""
    asks: dict[QueueName, Ask] = {}
    others: dict[str, tuple[QueueName, ...]] = {}
    seen: set[QueueName] = set()
    for program, config in configs.items():
        rest = []
        for name in served(pools[program], config):
            connection = config.connections.get(name.connection)
            if name in seen or connection is None or connection.driver == "sync":
                continue
            seen.add(name)
            target = config.redis_of(name.connection)
            if target and not target.sharded:  # the keys of one that is lie where only predis knows
                cache = config.cache_redis()
                prefix = config.cache.prefix if config.cache and cache else ""
                asks[name] = Ask(name, target, config.laravel, connection.expires, cache, prefix)
            else:
                rest.append(name)
        if rest:
            others[program] = tuple(rest)
    return asks, others
