"""Looks through the Redis databases of the queues for what else lies there: queues that nobody works on, jobs under
another prefix."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

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


async def look(scene: Scene, configs: Mapping[str, AppConfig]) -> tuple[StoredQueue, ...]:
    """The queues that hold jobs, of every database that queues of the programs are in."""
    databases: dict[RedisTarget, dict[str, tuple[str, str, list[str]]]] = {}
    for program, config in configs.items():
        for name in served(scene.pools[program], config):
            if target := config.redis_of(name.connection):
                known = databases.setdefault(replace(target, prefix=""), {})
                known.setdefault(target.prefix, (name.connection, name.app, []))[2].append(program)
    found = await asyncio.gather(*(_database(scene, target, known) for target, known in databases.items()))
    return tuple(each for some in found for each in some)


async def _database(
    scene: Scene, target: RedisTarget, known: Mapping[str, tuple[str, str, list[str]]]
) -> list[StoredQueue]:
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
    known: Mapping[str, tuple[str, str, list[str]]],
    one: Lying,
    seen: Peek,
    worked: bool,
) -> StoredQueue:
    everybody = tuple(dict.fromkeys(program for _, _, programs in known.values() for program in programs))
    connection, app, programs = known.get(one.prefix, ("", next(iter(known.values()))[1], everybody))
    jobs = jobs_of(seen, app)
    return StoredQueue(
        where=target.where,
        db=target.db,
        prefix=one.prefix,
        queue=one.queue,
        connection=connection,
        app=app,
        programs=tuple(dict.fromkeys(programs)),
        ready=seen.ready,
        delayed=seen.delayed,
        reserved=seen.reserved,
        worked=worked,
        job=jobs[0] if jobs else None,
    )
