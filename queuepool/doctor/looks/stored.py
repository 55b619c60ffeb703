"""Looks through the Redis databases of the queues for what else lies there: queues that nobody works on, jobs under
another prefix."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from queuepool.controller.monitor import served
from queuepool.doctor.facts.queues import StoredQueue
from queuepool.doctor.looks.jobs import jobs_of
from queuepool.doctor.looks.scene import Scene
from queuepool.laravel.config import AppConfig
from queuepool.laravel.keys import QueueKeys, queue_keys
from queuepool.laravel.peek import Lying, Peek, lying, peek
from queuepool.laravel.target import RedisTarget

MOVE_SECONDS = 0.3
"""Between two looks at a queue that nobody here works on: does somebody else?"""


@dataclass(frozen=True, slots=True)
class Known:
    """A prefix that is ours: of the application at `app`, whose queue connections, in the order of the programs that
    use them, may be several."""

    app: str
    connections: dict[str, None] = field(default_factory=dict)
    programs: dict[str, None] = field(default_factory=dict)


async def look(scene: Scene, configs: Mapping[str, AppConfig]) -> tuple[StoredQueue, ...]:
    """The queues that hold jobs, of every database that queues of the programs are in."""
    databases: dict[RedisTarget, dict[str, Known]] = {}
    for program, config in configs.items():
        for name in served(scene.pools[program], config):
            if target := config.redis_of(name.connection):
                known = databases.setdefault(replace(target, prefix=""), {})
                one = known.setdefault(target.prefix, Known(name.app))
                one.programs[program] = one.connections[name.connection] = None
    _by_others(scene, configs, databases)
    found = await asyncio.gather(*(_database(scene, target, known) for target, known in databases.items()))
    return tuple(each for some in found for each in some)


def _by_others(
    scene: Scene, configs: Mapping[str, AppConfig], databases: Mapping[RedisTarget, Mapping[str, Known]]
) -> None:
    """Add the connections of programs that were not asked for, and lead to the same queues."""
    of_app = {scene.pools[program].app: config for program, config in configs.items()}
    for pool in scene.loaded.pools.values():
        if (config := of_app.get(pool.app)) is None:
            continue
        for name in served(pool, config):
            if target := config.redis_of(name.connection):
                one = databases.get(replace(target, prefix=""), {}).get(target.prefix)
                if one and one.app == name.app:
                    one.connections[name.connection] = None


async def _database(scene: Scene, target: RedisTarget, known: Mapping[str, Known]) -> list[StoredQueue]:
    servers = scene.insight.servers
    lie = await lying(servers, target, tuple(known))
    keys = [queue_keys(one.queue, prefix=one.prefix, laravel="", cluster=False) for one in lie]
    first = await peek(servers, target, keys, time.time())
    full = [(one, key, seen) for one, key, seen in zip(lie, keys, first, strict=True) if _holds(seen)]
    return [
        _stored(target, known, one, seen, worked)
        for (one, _, seen), worked in zip(full, await _worked(scene, target, full), strict=True)
        if seen is not None
    ]


def _holds(seen: Peek | None) -> bool:
    return seen is not None and bool(seen.ready or seen.delayed or seen.reserved)


async def _worked(scene: Scene, target: RedisTarget, full: list[tuple[Lying, QueueKeys, Peek | None]]) -> list[bool]:
    """Whether somebody takes jobs from each."""
    if not full:
        return []
    await asyncio.sleep(MOVE_SECONDS)
    again = await peek(scene.insight.servers, target, [key for _, key, _ in full], time.time())
    return [
        bool(was and now and (was.reserved > was.expired or now.reserved > now.expired or was.mark != now.mark))
        for (_, _, was), now in zip(full, again, strict=True)
    ]


def _stored(
    target: RedisTarget,
    known: Mapping[str, Known],
    one: Lying,
    seen: Peek,
    worked: bool,
) -> StoredQueue:
    everybody = {program: None for each in known.values() for program in each.programs}
    ours = known.get(one.prefix) or Known(next(iter(known.values())).app, programs=everybody)
    jobs = jobs_of(seen, ours.app)
    return StoredQueue(
        where=target.where,
        db=target.db,
        prefix=one.prefix,
        queue=one.queue,
        connection=next(iter(ours.connections), ""),
        app=ours.app,
        programs=tuple(ours.programs),
        ready=seen.ready,
        delayed=seen.delayed,
        reserved=seen.reserved,
        worked=worked,
        job=jobs[0] if jobs else None,
        connections=tuple(ours.connections),
    )
