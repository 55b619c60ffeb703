"""Looks at the Horizon of every application that has one: what it keeps in Redis, and which processes that are."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from queuepool.controller.monitor import served, supervisors
from queuepool.doctor.facts.horizon import HorizonFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.command import parse
from queuepool.domain.horizon import Beside, HorizonView, Trouble, judge
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueName
from queuepool.errors import QueuepoolError
from queuepool.laravel import horizon
from queuepool.laravel.config import AppConfig
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.system import procstat

ORPHANED_SECONDS = 0.5


async def look(scene: Scene, configs: Mapping[str, AppConfig]) -> tuple[HorizonFacts, ...]:
    """Each application once, whose Horizon is configured."""
    apps: dict[str, AppConfig] = {}
    for program, config in configs.items():
        app = scene.pools[program].app
        if app is not None and config.horizon_config:
            apps.setdefault(app, config)
    if not apps:
        return ()
    processes = await asyncio.to_thread(_processes, scene)
    return tuple(await asyncio.gather(*(_of(scene, app, config, processes) for app, config in apps.items())))


async def _of(scene: Scene, app: str, config: AppConfig, processes: Mapping[str, list[dict[str, Any]]]) -> HorizonFacts:
    about = config.horizon_config
    assert about is not None, "only such applications are looked at"
    pools = [pool for pool in scene.loaded.pools.values() if pool.app == app and pool.artisan]
    mine = [pool for pool in pools if pool.kind == "horizon"]
    seen = await horizon.read(scene.insight.servers, about.redis) if about.redis else None
    view = seen if isinstance(seen, HorizonView) else None
    programs = await asyncio.to_thread(_all_beside, pools, config, processes)
    troubles: tuple[Trouble, ...] = ()
    if view is not None:
        host = os.uname().nodename
        living = {pid for pid in view.pids_on(host) if procstat.birth(pid) is not None}
        troubles = judge(view, programs, host=host, living=living)
    uptimes = [each.running for each in programs if each.kind == "horizon" and each.pids and each.running is not None]
    return HorizonFacts(
        app=app,
        programs=tuple(pool.name for pool in mine if pool.name in scene.pools),
        others=tuple(pool.name for pool in pools if pool.kind != "horizon" and pool.name in scene.pools),
        view=view,
        troubles=troubles,
        environment={pool.name: _environment(pool) or about.environment for pool in mine},
        supervisors={pool.name: supervisors(pool, config) for pool in mine},
        environments=tuple(about.environments),
        version=about.version,
        laravel=config.laravel,
        snapshot=await _snapshot(scene.insight.servers, about.redis),
        running=max(uptimes, default=None),
    )


def _environment(pool: PoolSpec) -> str | None:
    """What its command line says."""
    command = parse(pool.process(0).launch.argv)
    given = command.options.get("horizon_environment") if command else None
    return str(given) if given else None


async def _snapshot(servers: Servers, target: RedisTarget | None) -> float | None:
    """When the last one was taken (src/Repositories/RedisMetricsRepository.php)."""
    replies = await servers.ask(target, [("GET", f"{target.prefix}last_snapshot_at")]) if target else []
    text = replies[0] if isinstance(replies, list) and replies else None
    return float(text) if isinstance(text, bytes) and text.isdigit() and len(text) < 13 else None


def _processes(scene: Scene) -> dict[str, list[dict[str, Any]]]:
    """Those of the daemon, by program; none when no daemon answers."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for each in scene.client.status()["processes"]:
            found.setdefault(each["program"], []).append(each)
    except (QueuepoolError, KeyError):
        return {}
    return found


def _all_beside(
    pools: Sequence[PoolSpec], config: AppConfig, processes: Mapping[str, list[dict[str, Any]]]
) -> list[Beside]:
    """Every program. A Horizon that changes its tree shows orphans for a moment: they must be there twice."""
    programs = [_beside(pool, config, processes.get(pool.name, [])) for pool in pools]
    if not any(program.orphans for program in programs):
        return programs
    time.sleep(ORPHANED_SECONDS)
    again = [_beside(pool, config, processes.get(pool.name, [])) for pool in pools]
    return [replace(one, orphans=one.orphans & was.orphans) for one, was in zip(again, programs, strict=True)]


def _beside(pool: PoolSpec, config: AppConfig, processes: list[dict[str, Any]]) -> Beside:
    """A program as judge() wants it. One that the file has and no daemon runs counts as just begun: so it is said
    beforehand who else works on its queues."""
    up = [each for each in processes if each.get("state") == "RUNNING" and each.get("pid")]
    leaders = [each["pid"] for each in processes if each.get("pid")]
    trees = {leader: procstat.session_members(leader) for leader in leaders}
    beside = Beside(
        name=pool.name,
        kind=pool.kind,
        pids=frozenset(pid for leader, tree in trees.items() for pid in (leader, *tree)),
        running=max((each.get("uptime") or 0.0 for each in up), default=None if processes else 0.0),
        paused=any(each.get("paused") for each in up),
    )
    if pool.kind == "horizon":
        lost = (pid for leader, tree in trees.items() for pid in procstat.orphans(tree, leader, "horizon:work"))
        return replace(beside, orphans=frozenset(lost))
    return replace(beside, serves=frozenset(QueueName(one.connection, one.queue) for one in served(pool, config)))
