"""What Laravel Horizon tells of itself in Redis, looked at while a program runs it. What that means is
domain/horizon.py's matter, how it is read laravel/horizon.py's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from queuepool.controller.applications import Applications
from queuepool.controller.monitor import served
from queuepool.domain.horizon import Beside, HorizonView, judge, paused_pids
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueName
from queuepool.domain.states import State
from queuepool.laravel import horizon
from queuepool.laravel.away import Away
from queuepool.laravel.servers import Servers
from queuepool.system import procstat

if TYPE_CHECKING:
    from queuepool.engines.base import Engine

LOOK_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Shown:
    """One application's Horizon. paused: pids of its paused masters. json: as ProgramView.horizon shows it."""

    paused: frozenset[int]
    json: dict[str, Any]


class Horizons:
    """What is known of each application's Horizon, by the program that runs it."""

    def __init__(
        self,
        pools: Callable[[], Mapping[str, PoolSpec]],
        applications: Applications,
        servers: Servers,
        engine: Callable[[], Engine],
    ) -> None:
        self._pools = pools
        self._applications = applications
        self._servers = servers
        self._engine = engine
        self._shown: dict[str, Shown] = {}
        self._lost: dict[str, frozenset[int]] = {}
        self._going: frozenset[int] = frozenset()
        self._looked = float("-inf")

    def of(self, program: str) -> Shown | None:
        """What the last look showed of a program's Horizon; None where there is none, or nothing is known."""
        return self._shown.get(program)

    async def look(self) -> None:
        """Look at every Horizon, when it is time."""
        pools = self._pools()
        horizons = {name: pool for name, pool in pools.items() if pool.kind == "horizon"}
        if not horizons or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        found: dict[str, Shown] = {}
        for name, pool in horizons.items():
            config = self._applications.known(pool)
            target = config.horizon_config.redis if config and config.horizon_config else None
            seen = await horizon.read(self._servers, target) if target else None
            if isinstance(seen, HorizonView):
                found[name] = self._judged(seen, [other for other in pools.values() if other.app == pool.app])
            elif isinstance(seen, Away):
                found[name] = Shown(frozenset(), HorizonView().to_json((seen.why,)))
        self._shown = found

    def _judged(self, view: HorizonView, pools: Collection[PoolSpec]) -> Shown:
        host = os.uname().nodename
        living = {pid for pid in view.pids_on(host) if procstat.birth(pid) is not None}
        self._notice_continued(view, [pool.name for pool in pools if pool.kind == "horizon"])
        programs = [self._beside(pool) for pool in pools if pool.artisan]
        troubles = judge(view, programs, host=host, living=living)
        return Shown(paused_pids(view), view.to_json([trouble.text for trouble in troubles]))

    def _notice_continued(self, view: HorizonView, programs: Collection[str]) -> None:
        """A master that `queuepool pause` paused and artisan let go on is not paused any more: two looks show it going,
        so the signal is not just on its way."""
        engine = self._engine()
        going = frozenset(master.pid for master in view.live if master.pid and master.status == "running")
        for name in programs:
            for slot, lives in engine.slots.get(name, {}).items():
                if any(life.paused and life.process.pid in going & self._going for life in lives):
                    engine.unmark(slot)
        self._going = going

    def _beside(self, pool: PoolSpec) -> Beside:
        engine = self._engine()
        lives = [life for found in engine.slots.get(pool.name, {}).values() for life in found]
        leaders = [life.process.pid for life in lives if life.process.pid is not None]
        trees = {leader: procstat.session_members(leader) for leader in leaders}
        up = [life for life in lives if life.process.state is State.RUNNING]
        beside = Beside(
            name=pool.name,
            kind=pool.kind,
            pids=frozenset(pid for leader, tree in trees.items() for pid in (leader, *tree)),
            running=max((engine.clock() - life.process.started for life in up), default=None),
            paused=any(life.paused for life in up),
        )
        if pool.kind == "horizon":
            lost = (pid for leader, tree in trees.items() for pid in procstat.orphans(tree, leader, "horizon:work"))
            before, self._lost[pool.name] = self._lost.get(pool.name, frozenset()), frozenset(lost)
            return replace(beside, orphans=before & self._lost[pool.name])  # a tree that changes may show some, once
        config = self._applications.known(pool)
        queues = served(pool, config) if config and up else ()
        return replace(beside, serves=frozenset(QueueName(name.connection, name.queue) for name in queues))
