"""Looks at every Redis of the applications: how it is, how fast it answers, what its login may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from queuepool.controller.monitor import supervisors
from queuepool.doctor.facts.redis import ServerFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import RedisHealth
from queuepool.laravel.away import Away, code_of
from queuepool.laravel.config import DOTENV, AppConfig
from queuepool.laravel.health import SLOW_PING, health
from queuepool.laravel.keys import queue_keys
from queuepool.laravel.permitted import denied
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget

PINGS, MOST_PINGS = 15, 30


@dataclass(frozen=True, slots=True)
class _Use:
    """What a target is used for, and by which programs."""

    target: RedisTarget
    uses: Mapping[str, list[str]]

    @property
    def programs(self) -> set[str]:
        return {program for programs in self.uses.values() for program in programs}


async def look(scene: Scene, configs: Mapping[str, AppConfig]) -> tuple[ServerFacts, ...]:
    """Each server once for each login. Two databases of a server are two only where one of them cannot be used."""
    uses = [_Use(target, found) for target, found in scene.insight.monitor.uses().items()]
    seen = await asyncio.gather(*(health(scene.insight.servers, use.target) for use in uses))
    groups: dict[object, list[tuple[_Use, RedisHealth]]] = {}
    for use, state in zip(uses, seen, strict=True):
        login = (state.where, use.target.username, use.target.password, code_of(state.why))
        groups.setdefault(login, []).append((use, state))
    return tuple(await asyncio.gather(*(_server(scene, configs, group) for group in groups.values())))


async def _server(scene: Scene, configs: Mapping[str, AppConfig], group: list[tuple[_Use, RedisHealth]]) -> ServerFacts:
    queue = next((one for one in group if any(use.startswith("queue ") for use in one[0].uses)), group[0])
    target, state = queue[0].target, queue[1]
    programs = [name for name in scene.pools if any(name in use.programs for use, _ in group)]
    pings: tuple[float, ...] = ()
    refused: tuple[str, ...] = ()
    if state.up:
        pings = await _pings(target)
        if any(use.startswith("queue ") for use in queue[0].uses):
            laravel = configs[next(iter(queue[0].programs))].laravel
            keys = queue_keys("queuepool-doctor", prefix=target.prefix, laravel=laravel, cluster=target.cluster)
            refused = await denied(target, keys.ready)
    return ServerFacts(
        health=state,
        code=code_of(state.why),
        uses=tuple(dict.fromkeys(name for use, _ in group for name in use.uses)),
        programs=tuple(programs),
        reach=reach(target),
        db=target.db,
        pings=pings,
        denied=refused,
        needs=sum(_connections(scene.pools[name], configs[name], [use for use, _ in group]) for name in programs),
        guessed=all(configs[name].source == DOTENV for name in programs),
    )


def _connections(pool: PoolSpec, config: AppConfig, uses: Iterable[_Use]) -> int:
    """What the processes of a program open on a server: PHP has a connection for each entry of database.redis."""
    workers = pool.numprocs
    if pool.kind == "horizon":
        ours = supervisors(pool, config)
        workers = 1 + len(ours) + sum(one.max_processes for one in ours)
    return workers * sum(pool.name in use.programs for use in uses)


def reach(target: RedisTarget) -> str:
    """The redis-cli that reaches a server; it asks for the password."""
    words = ["redis-cli"]
    if target.path is not None:
        words += ["-s", target.path]
    else:
        words += ["-h", target.host, "-p", str(target.port)]
    words += ["--tls"] * target.tls
    words += ["--user", target.username] if target.username else []
    return " ".join([*words, *["--askpass"] * (target.password is not None)])


async def _pings(target: RedisTarget) -> tuple[float, ...]:
    """Some PINGs one after the other, over a connection that nobody else uses. More of them where all are slow: a
    machine that is busy delays them for a moment, a server or a network that is slow always."""
    servers, node = Servers(), replace(target, cluster=False, nodes=())
    found: list[float] = []
    try:
        if isinstance(await servers.ask(node, [("PING",)]), Away):
            return ()
        while len(found) < PINGS or (min(found) >= SLOW_PING and len(found) < MOST_PINGS):
            asked = time.perf_counter()
            if isinstance(await servers.ask(node, [("PING",)]), Away):
                break
            found.append(time.perf_counter() - asked)
    finally:
        await servers.close()
    return tuple(found)
