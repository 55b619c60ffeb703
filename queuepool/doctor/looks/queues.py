"""Looks at the queues that programs serve, at what lies in them and beside them, at their Redis, and at Horizon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from queuepool.control.messages import Queues
from queuepool.controller.monitor import served
from queuepool.doctor.facts.queues import Job, QueueFacts, QueuesFacts
from queuepool.doctor.looks import horizon, redis, stored, stores
from queuepool.doctor.looks.jobs import jobs_of
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueName, QueueView
from queuepool.errors import QueuepoolError
from queuepool.laravel.config import APPLICATION, AppConfig
from queuepool.laravel.keys import queue_keys
from queuepool.laravel.peek import peek
from queuepool.laravel.target import RedisTarget

DAEMON_SECONDS = 5


async def look(scene: Scene) -> QueuesFacts:
    """What they hold now, and how well each server is."""
    insight = scene.insight
    await insight.servers.prepare()
    told, asked, _ = await asyncio.gather(
        asyncio.to_thread(_ask_daemon, scene), stores.look(scene), insight.monitor.look(wait=True)
    )
    configs = {name: config for name, pool in scene.pools.items() if (config := insight.applications.known(pool))}
    # What .env lets one guess is no proof of which queues there are.
    asked_of = {name: config for name, config in configs.items() if config.source == APPLICATION}
    work = _work(scene.pools, asked_of)
    servers, jobs, lying, horizons = await asyncio.gather(
        redis.look(scene, configs),
        _jobs(scene, asked_of, work),
        stored.look(scene, asked_of),
        horizon.look(scene, asked_of),
    )
    queues = []
    for view in insight.monitor.views():
        name = QueueName(view.connection, view.queue, view.app)
        if name in work:
            seen = _with(view, told.get((view.app, view.connection, view.queue)))
            queues.append(QueueFacts(seen, tuple(work[name]), jobs.get(name, ())))
    live = {replace(name, app=each.app) for each in horizons if each.view
            for one in each.view.working for name in one.serves}  # fmt: skip
    return QueuesFacts(
        queues=tuple(queues),
        served=frozenset(_served_by_all(scene, asked_of) | live),
        servers=servers,
        stored=lying,
        stores=asked,
        horizons=horizons,
        daemon=bool(told),
    )


def _work(pools: Mapping[str, PoolSpec], configs: Mapping[str, AppConfig]) -> dict[QueueName, list[str]]:
    """The programs of each queue."""
    found: dict[QueueName, list[str]] = {}
    for program, config in configs.items():
        for name in served(pools[program], config):
            found.setdefault(name, []).append(program)
    return found


def _served_by_all(scene: Scene, configs: Mapping[str, AppConfig]) -> set[QueueName]:
    """What every program of the file works on, also those that were not asked for: an application has one
    configuration, whoever runs it."""
    of_app = {scene.pools[program].app: config for program, config in configs.items()}
    return {
        name
        for pool in scene.loaded.pools.values()
        if (config := of_app.get(pool.app))
        for name in served(pool, config)
    }


def _ask_daemon(scene: Scene) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the daemon says of each queue; nothing when none answers."""
    seconds = iter(range(DAEMON_SECONDS))

    def impatient() -> None:
        if next(seconds, None) is None:
            raise QueuepoolError("the daemon does not say how the queues are", "queuepool queues")

    try:
        scene.client.status()  # of a daemon that hangs, this one ends by itself
        rows = scene.client.ask(Queues(()), on_idle=impatient)["queues"]
    except (QueuepoolError, KeyError):
        return {}
    return {(row.get("app", ""), row["connection"], row["queue"]): row for row in rows}


FROM_DAEMON = ("rate_in", "rate_done", "failed", "workers", "busy", "wait")


def _with(view: QueueView, told: Mapping[str, Any] | None) -> QueueView:
    """What we saw, with what only one who watches for longer can know."""
    if told is None:
        return view
    known = {item.name for item in fields(view)}
    more = {name: told[name] for name in FROM_DAEMON if name in known and told.get(name) is not None}
    ages = [age for age in (view.oldest, told.get("oldest")) if age is not None]
    return replace(view, **more, oldest=max(ages, default=None) if view.ready else view.oldest)


async def _jobs(
    scene: Scene, configs: Mapping[str, AppConfig], work: Mapping[QueueName, Sequence[str]]
) -> dict[QueueName, tuple[Job, ...]]:
    """The first jobs of the queues on Redis."""
    asks: dict[RedisTarget, list[QueueName]] = {}
    for name, programs in work.items():
        target = configs[programs[0]].redis_of(name.connection)
        if target and not target.cluster and not target.sharded:
            asks.setdefault(target, []).append(name)
    found: dict[QueueName, tuple[Job, ...]] = {}
    for target, names in asks.items():
        laravel = configs[work[names[0]][0]].laravel
        keys = [queue_keys(name.queue, prefix=target.prefix, laravel=laravel, cluster=False) for name in names]
        peeks = await peek(scene.insight.servers, target, keys, time.time())
        found.update({name: jobs_of(seen, name.app) for name, seen in zip(names, peeks, strict=True) if seen})
    return found
