"""Everything that is known of applications, their queues and their Redis, wired together: for the daemon, and for a
command that looks without one. What is done about it is decided elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from queuepool.controller.applications import Application, Applications, application_of
from queuepool.controller.asking import ask_application, environment_of, guess_application
from queuepool.controller.horizons import Horizons
from queuepool.controller.monitor import Monitor, supervisors
from queuepool.controller.servings import serving_of
from queuepool.domain.horizon import graceful_seconds
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueDepth, QueueName, Serving
from queuepool.errors import QueuepoolError, UsageError
from queuepool.laravel.away import Away
from queuepool.laravel.depth import DepthReader
from queuepool.laravel.health import health
from queuepool.laravel.requeue import Requeued, requeue
from queuepool.laravel.servers import Servers, server_of
from queuepool.laravel.sizes import SizeProbe
from queuepool.laravel.target import RedisTarget

if TYPE_CHECKING:
    from queuepool.engines.base import Engine
    from queuepool.laravel.config import AppConfig


Pings = Mapping[str, tuple[bool, float | None]]
"""Address of a Redis -> whether it serves, and the seconds of a PING."""


class Insight:
    """applications, servers, monitor, horizons: the parts. pools: those in force. engine: which runs them; None: nobody
    does here. troubled, late: see Monitor."""

    def __init__(
        self,
        pools: Callable[[], Mapping[str, PoolSpec]],
        *,
        engine: Callable[[], Engine] | None = None,
        troubled: Callable[[str], None] = lambda pool: None,
        late: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools = pools
        self._engine = engine
        self.applications = Applications(ask_application, clock, guess_application)
        self.servers = Servers()
        self._depths = DepthReader(self.servers)
        self.horizons = Horizons(pools, self.applications, self.servers, engine) if engine else None
        self._needed = asyncio.Event()
        self._sizes: dict[tuple[Application, str], SizeProbe] = {}
        self.monitor = Monitor(
            pools,
            self.applications,
            read_depths=self._depths.read,
            read_sizes=self._read_sizes,
            servings=self._serving,
            clock=clock,
            troubled=troubled,
            late=late,
        )

    def patience(self) -> dict[str, float]:
        """Pool -> seconds that its processes need to end without killing a job, where the file does not give them and
        the application says more than the file: Horizon's longest timeout, or the block_for of a connection, for
        which a worker may sit in Redis before it hears the signal."""
        found = {}
        for pool in self._pools().values():
            config = self.applications.known(pool) if pool.stop_follows else None
            if config is not None and (seconds := _patience(pool, config)) is not None:
                found[pool.name] = seconds
        return found

    async def patience_of(self, pool: PoolSpec) -> float | None:
        """The same for one pool, in force or not, whose application is asked now where it is not known; None: what the
        file says is right."""
        config = await self.applications.of(pool) if pool.stop_follows else None
        return None if config is None else _patience(pool, config)

    def used(self) -> None:
        """Settings came into force: applications may be others, and there may be some for the first time."""
        self.applications.keep(self._pools().values())
        if any(application_of(pool) for pool in self._pools().values()):
            self._needed.set()

    async def run(self, looked: Callable[[], None]) -> None:
        """Look each second, for ever, and call `looked` each time; at nothing while no pool has an application."""
        await self._needed.wait()
        await self.servers.prepare()

        async def each_time() -> None:
            if self.horizons:
                await self.horizons.look()
            looked()

        await self.monitor.run(each_time)

    async def redis_of(self, pool: str) -> tuple[RedisTarget, ...]:
        """The Redis servers that a pool's workers cannot do without: their queue's and their cache's."""
        spec = self._pools().get(pool)
        config = await self.applications.of(spec) if spec else None
        if spec is None or config is None:
            return ()
        found = (config.redis_of(spec.connection), config.cache_redis())
        return tuple(dict.fromkeys(target for target in found if target))

    async def give_back(
        self, target: RedisTarget, queue: str, laravel: str, job_id: str, latest: float
    ) -> Requeued | Away:
        """See requeuer.GiveBack."""
        return await requeue(self.servers, target, queue=queue, laravel=laravel, job_id=job_id, latest=latest)

    async def looked(self) -> None:
        """Returns when every queue has been looked at once; soon after a start that is done now."""
        if not self.monitor.complete:
            await self.servers.prepare()
            await self.monitor.look(wait=True)

    def queues(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """The reply to messages.Queues, as of the last look."""
        views = self.monitor.views(names)
        problems = self.monitor.problems()
        if names and not problems:  # else it may be a queue of an application that cannot be asked
            self._refuse_unknown(names)
        away = self.monitor.away
        uses = {target.where for target in self.monitor.targets()}
        servers = {where: {"up": where not in away, "why": away.get(where, "")} for where in sorted(uses)}
        return {"queues": [asdict(view) for view in views], "redis": servers, "problems": problems}

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        """Raises UsageError for a name that no program and no queue has: a limit on it would never be exceeded."""
        from difflib import get_close_matches

        queues = [name for view in self.monitor.views() for name in (view.queue, f"{view.connection}:{view.queue}")]
        known = list(dict.fromkeys([*self._pools(), *queues]))
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else "`queuepool queues` lists them"
                raise UsageError(f"cannot find {name}: there is no such program or queue", hint)

    async def redis(self) -> dict[str, Any]:
        """The reply to messages.Redis: every server is asked now."""
        await self.servers.prepare()
        await asyncio.gather(*(self.applications.of(pool) for pool in self._pools().values()))
        targets = self.monitor.targets()
        found = await asyncio.gather(*(health(self.servers, target) for target in targets))
        shown = [replace(seen, uses=uses).to_json() for seen, uses in zip(found, targets.values(), strict=True)]
        return {"servers": shown, "problems": self.monitor.problems()}

    async def pings(self) -> Pings:
        """Every Redis that the applications are known to use, asked now; of several targets at one address the worst.
        Takes at most some seconds, whatever the servers do: see Servers."""
        targets = list(dict.fromkeys(map(server_of, self.monitor.targets())))
        found: dict[str, tuple[bool, float | None]] = {}
        for target, took in zip(targets, await asyncio.gather(*map(self._ping, targets)), strict=True):
            up, before = found.get(target.where, (True, None))
            well = up and took is not None
            found[target.where] = (well, max(took or 0.0, before or 0.0) if well else None)
        return found

    async def _ping(self, target: RedisTarget) -> float | None:
        """Seconds of a PING, None where it cannot serve. The first one may have to connect."""
        for _ in range(2):
            asked = time.perf_counter()
            if isinstance(await self.servers.ask(target, [("PING",)]), Away):
                return None
        return time.perf_counter() - asked

    async def close(self) -> None:
        """End all asking."""
        await self.applications.close()
        await self.servers.close()
        for probe in self._sizes.values():
            await probe.close()

    def _serving(self, program: str, queues: tuple[QueueName, ...]) -> Serving | None:
        return serving_of(self._engine(), self._pools()[program], queues) if self._engine else None

    async def _read_sizes(self, pool: PoolSpec, names: Sequence[QueueName]) -> Mapping[QueueName, QueueDepth | str]:
        """Sizes that only PHP can tell, of one application. A release that was left has its PHP ended."""
        who = application_of(pool)
        assert who is not None, "only pools of an application have queues"
        key = (who, os.path.realpath(who.app))
        for old in [old for old in self._sizes if old[0] == who and old != key]:
            await self._sizes.pop(old).close()
        if key not in self._sizes:
            try:
                environment = environment_of(who)
            except QueuepoolError as error:
                return dict.fromkeys(names, error.message)
            self._sizes[key] = SizeProbe(who.php, who.app, user=who.user, group=who.group, environment=environment)
        plain = {QueueName(name.connection, name.queue): name for name in names}
        return {plain[name]: seen for name, seen in (await self._sizes[key].sizes(tuple(plain))).items()}


def _patience(pool: PoolSpec, config: AppConfig) -> float | None:
    if pool.kind == "horizon":
        timeouts = (one.timeout for one in supervisors(pool, config))
        return graceful_seconds(timeouts) if config.horizon_config else None
    connection = config.connections.get(pool.connection or config.default_connection or "")
    if connection is None or not connection.block_for:
        return None
    return pool.process(0).policy.stop_seconds + connection.block_for
