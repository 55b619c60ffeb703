"""How well a Redis is: reached or not, what it says of itself, and what of that will lose or stop jobs.

health() asks, judge() decides; the connection and the words for a server that is away are servers.py's and away.py's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from queuepool.domain.queues import Concern, RedisHealth
from queuepool.laravel.away import Away, in_words
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import reply_text

SLOW_PING = 0.010
"""Seconds of a PING from which on workers wait for Redis more than is usual: each asks it several times per job."""

NEARLY = 0.9
"""The part of a limit (memory, clients) from which on it is said."""

CLOCK_SKEW = 2.0
"""Seconds between two clocks that are said: due times and ages are wrong by that much for whoever goes by the other."""

MANY_BLOCKED = 100
"""Blocked clients that are said, when they are most of all clients: each worker with `block_for` is one."""

SETTINGS = ("maxclients", "save", "stop-writes-on-bgsave-error")


async def health(servers: Servers, target: RedisTarget, *, clock: Callable[[], float] = time.time) -> RedisHealth:
    """The health of the server; of a cluster that of its first node that is up, with what the others lack.

    Never an exception. Takes at most twice the timeout of `servers`, once when the server is away. clock: unix time.
    """
    if not target.cluster:
        return await _of_server(servers, target, clock)
    nodes = [
        replace(target, host=host, port=port, cluster=False, nodes=())
        for host, port in dict.fromkeys(((target.host, target.port), *target.nodes))
    ]
    seen = await asyncio.gather(*(_of_server(servers, node, clock) for node in nodes))
    best = next((each for each in seen if each.up), seen[0])
    others = (Concern("node", each.why) for each in seen if each.why and each is not best)
    return replace(best, concerns=(*others, *best.concerns))


async def _of_server(servers: Servers, target: RedisTarget, clock: Callable[[], float]) -> RedisHealth:
    settings = [("CONFIG", "GET", name) for name in SETTINGS]
    sent = clock()
    # INFO comes first: it is answered while loading, and tells how far that is.
    replies = await servers.ask(target, [("INFO",), ("PING",), ("TIME",), *settings])
    if isinstance(replies, Away):
        return RedisHealth(replies.where, replies.why, writable=False)
    now = (sent + clock()) / 2
    info, pong, its_time, *config = replies
    skew = None if isinstance(its_time, Exception) else int(its_time[0]) + int(its_time[1]) / 1e6 - now
    latency = None
    words = in_words(reply_text(pong)) if isinstance(pong, Exception) else None
    if words is None:
        asked = time.perf_counter()
        again = await servers.ask(target, [("PING",)])
        if isinstance(again, Away):
            return RedisHealth(again.where, again.why, writable=False)
        latency = time.perf_counter() - asked
    return judge(
        target.where,
        {} if isinstance(info, Exception) else _parsed(info),
        dict(_pairs(config)),
        why="" if words is None else Away.because(target, words).why,
        latency=latency,
        clock_skew=skew,
    )


def _parsed(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def _pairs(config: list[Any]) -> Iterator[tuple[str, str]]:
    """What CONFIG GET told; nothing where it is denied, as managed servers do."""
    for reply in config:
        if isinstance(reply, list) and len(reply) == 2:
            yield reply[0].decode(), reply[1].decode(errors="replace")


def judge(
    where: str,
    info: Mapping[str, str],
    config: Mapping[str, str],
    *,
    why: str = "",
    latency: float | None = None,
    clock_skew: float | None = None,
) -> RedisHealth:
    """The health in a server's INFO and in what CONFIG GET told of SETTINGS; either may be empty. Pure."""

    def number(name: str) -> int | None:
        return _int(info.get(name))

    loading = info.get("loading", "0") != "0"
    if why and loading and "loading_loaded_perc" in info:
        why += f" ({float(info['loading_loaded_perc']):.0f} %, about {number('loading_eta_seconds') or 0} s more)"
    aof, rdb = info.get("aof_enabled") == "1", bool(config.get("save"))
    known = not loading and (aof or rdb or "save" in config)  # while it reads its append-only file, aof_enabled is 0
    health = RedisHealth(
        where,
        why,
        latency=latency,
        version=info.get("redis_version"),
        role=info.get("role"),
        loading=loading,
        used_memory=number("used_memory"),
        maxmemory=number("maxmemory"),
        policy=info.get("maxmemory_policy"),
        persistence=_PERSISTENCE[aof, rdb] if known else None,
        saved=_saved(info, aof=aof),
        clients=number("connected_clients"),
        maxclients=number("maxclients") or _int(config.get("maxclients")),
        blocked_clients=number("blocked_clients"),
        rejected_connections=number("rejected_connections"),
        evicted_keys=number("evicted_keys"),
        clock_skew=clock_skew,
    )
    refusals = tuple(_refusals(health, info, config))
    health = replace(health, writable=not refusals and not why)
    return replace(health, concerns=(*refusals, *_warnings(health)))


_PERSISTENCE = {(True, True): "both", (True, False): "aof", (False, True): "rdb", (False, False): "none"}


def _saved(info: Mapping[str, str], *, aof: bool) -> bool | None:
    states = [info.get("rdb_last_bgsave_status")] + [info.get("aof_last_write_status")] * aof
    return None if states[0] is None else all(state != "err" for state in states)


def _refusals(health: RedisHealth, info: Mapping[str, str], config: Mapping[str, str]) -> Iterator[Concern]:
    """Why it takes no new jobs."""
    if health.role == "slave" and info.get("slave_read_only", "1") == "1":
        yield Concern(
            "replica", "is a replica: no job can be pushed or taken (READONLY); the application must use its master"
        )
    if info.get("aof_enabled") == "1" and info.get("aof_last_write_status") == "err":
        yield Concern(
            "saving", "cannot write its append-only file: it refuses new jobs (MISCONF); see its log and its disk"
        )
    stops = config.get("stop-writes-on-bgsave-error", "yes") == "yes"
    if info.get("rdb_last_bgsave_status") == "err" and stops and config.get("save", "given"):
        yield Concern(
            "saving",
            "cannot save to disk: it refuses new jobs (MISCONF); see its log and its disk",
        )
    if health.maxmemory and _full(health) >= 1 and not _evicts_jobs(health):
        yield Concern("full", f"is full: {_memory(health)} are used, so new jobs are refused (OOM); raise maxmemory")


def _warnings(health: RedisHealth) -> Iterator[Concern]:
    """What else loses, stops or delays jobs."""
    if health.maxmemory and _evicts_jobs(health):
        gone = f", and has dropped {health.evicted_keys} already" if health.evicted_keys else ""
        yield Concern(
            "eviction",
            f"loses jobs when memory is full: maxmemory-policy {health.policy} drops keys, whole queues too{gone}; "
            "set noeviction",
        )
    elif health.maxmemory and health.policy not in (None, "noeviction"):
        yield Concern(
            "volatile",
            f"drops keys with an expiry when memory is full (maxmemory-policy {health.policy}): locks of unique jobs "
            "and rate limits vanish; set noeviction",
        )
    if health.maxmemory and NEARLY <= _full(health) < 1:
        yield Concern("nearly_full", f"is nearly full: {_memory(health)} are used")
    if health.persistence == "none":
        yield Concern("persistence", "keeps nothing on disk: its jobs are lost when it restarts")
    if health.saved is False and health.writable:
        yield Concern("saving", "could not save to disk the last time")
    if health.clients and health.maxclients and health.clients >= NEARLY * health.maxclients:
        yield Concern("clients", f"has {health.clients} clients of at most {health.maxclients}: raise maxclients")
    if health.rejected_connections:
        yield Concern(
            "rejected", f"has turned away {health.rejected_connections} connections since it started (maxclients)"
        )
    blocked, clients = health.blocked_clients or 0, health.clients or 0
    if blocked >= MANY_BLOCKED and blocked > 0.9 * clients:
        yield Concern(
            "blocked", f"has {blocked} of its {clients} clients blocked, as workers with block_for are while they wait"
        )
    if health.latency is not None and health.latency >= SLOW_PING:
        yield Concern("latency", f"answers slowly: a PING took {health.latency * 1000:.0f} ms")
    if health.clock_skew is not None and abs(health.clock_skew) >= CLOCK_SKEW:
        side = "ahead of" if health.clock_skew > 0 else "behind"
        yield Concern("clock", f"has a clock that is {abs(health.clock_skew):.0f} s {side} this machine's")


def _evicts_jobs(health: RedisHealth) -> bool:
    """Queues have no expiry, so the policies `volatile-*` spare them."""
    return (health.policy or "").startswith("allkeys")


def _full(health: RedisHealth) -> float:
    return (health.used_memory or 0) / health.maxmemory if health.maxmemory else 0.0


def _memory(health: RedisHealth) -> str:
    return f"{_mb(health.used_memory)} of {_mb(health.maxmemory)}"


def _mb(size: int | None) -> str:
    return f"{(size or 0) / 2**20:.4g} MB"


def _int(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None
