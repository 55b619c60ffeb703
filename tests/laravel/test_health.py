"""The health of a Redis: judged from tables of facts, and asked of real servers in each bad state."""

import asyncio
import contextlib
import fnmatch
import time
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

from queuepool.domain.queues import RedisHealth
from queuepool.laravel.health import health, judge
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from tests.laravel.redises import cluster, loading_server, replica_of, run, tls_server
from tests.support.redis import RedisServer
from tests.support.wait import LIMIT, eventually

WELL = {
    "redis_version": "7.0.15", "role": "master", "loading": "0", "used_memory": "1048576", "maxmemory": "0",
    "maxmemory_policy": "noeviction", "aof_enabled": "1", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok",
    "connected_clients": "10", "maxclients": "10000", "blocked_clients": "2", "rejected_connections": "0",
    "evicted_keys": "0",
}  # fmt: skip
MB = 2**20
REPLICA = "is a replica: no job can be pushed or taken (READONLY); the application must use its master"
LOSES = "loses jobs when memory is full: maxmemory-policy allkeys-lru drops keys, whole queues too"


def judged(config: dict[str, str] | None = None, *, without: str = "", **facts: object) -> RedisHealth:
    info = {**WELL, **{name: str(value) for name, value in facts.items()}}
    info.pop(without, None)
    return judge("here", info, config or {}, latency=0.0002, clock_skew=0.0)


def test_a_server_in_order_has_no_warnings() -> None:
    health = judged({"save": "3600 1"})
    assert health.up
    assert health.writable
    assert health.warnings == ()
    assert (health.version, health.role, health.policy) == ("7.0.15", "master", "noeviction")
    assert health.persistence == "both"
    assert (health.used_memory, health.clients, health.maxclients, health.saved) == (MB, 10, 10000, True)


@pytest.mark.parametrize(
    ("facts", "config", "writable", "warning"),
    [
        ({"maxmemory": 100 * MB, "maxmemory_policy": "allkeys-lru"}, {}, True, f"{LOSES}; set noeviction"),
        (
            {"maxmemory": MB, "maxmemory_policy": "allkeys-lru", "evicted_keys": 7},
            {},
            True,
            f"{LOSES}, and has dropped 7 already; set noeviction",
        ),
        (
            {"maxmemory": 100 * MB, "maxmemory_policy": "volatile-ttl"},
            {},
            True,
            "drops keys with an expiry when memory is full (maxmemory-policy volatile-ttl): locks of unique jobs and "
            "rate limits vanish; set noeviction",
        ),
        ({"maxmemory": 100 * MB, "used_memory": 95 * MB}, {}, True, "is nearly full: 95 MB of 100 MB are used"),
        (
            {"maxmemory": 100 * MB, "used_memory": 100 * MB},
            {},
            False,
            "is full: 100 MB of 100 MB are used, so new jobs are refused (OOM); raise maxmemory",
        ),
        (
            {"rdb_last_bgsave_status": "err"},
            {"save": "60 1", "stop-writes-on-bgsave-error": "yes"},
            False,
            "cannot save to disk: it refuses new jobs (MISCONF); see its log and its disk",
        ),
        ({"rdb_last_bgsave_status": "err"}, {"save": "60 1", "stop-writes-on-bgsave-error": "no"}, True,
         "could not save to disk the last time"),
        ({"rdb_last_bgsave_status": "err"}, {"save": ""}, True, "could not save to disk the last time"),
        (
            {"aof_last_write_status": "err"},
            {},
            False,
            "cannot write its append-only file: it refuses new jobs (MISCONF); see its log and its disk",
        ),
        ({"aof_enabled": 0}, {"save": ""}, True, "keeps nothing on disk: its jobs are lost when it restarts"),
        ({"role": "slave"}, {}, False, REPLICA),
        ({"connected_clients": 95, "maxclients": 100}, {}, True, "has 95 clients of at most 100: raise maxclients"),
        ({"rejected_connections": 3}, {}, True, "has turned away 3 connections since it started (maxclients)"),
        (
            {"blocked_clients": 200, "connected_clients": 210},
            {},
            True,
            "has 200 of its 210 clients blocked, as workers with block_for are while they wait",
        ),
    ],
)  # fmt: skip
def test_what_loses_or_stops_jobs_is_a_warning(
    facts: dict[str, object], config: dict[str, str], writable: bool, warning: str
) -> None:
    health = judged(config, **facts)
    assert health.warnings == (warning,)
    assert health.writable is writable
    assert health.up


def test_what_is_fine_gives_no_warning() -> None:
    assert judged(maxmemory_policy="allkeys-lru").warnings == ()  # without maxmemory nothing is dropped
    assert judged(role="slave", slave_read_only=0).warnings == ()
    assert judged(maxmemory=100 * MB, used_memory=80 * MB).warnings == ()
    assert judged(aof_enabled=0).persistence is None  # CONFIG GET is denied: it may well save
    assert judged(aof_enabled=0).warnings == ()


def test_slowness_and_a_wrong_clock_are_warnings() -> None:
    slow = judge("here", WELL, {}, latency=0.035, clock_skew=-12.0)
    assert slow.warnings == ("answers slowly: a PING took 35 ms", "has a clock that is 12 s behind this machine's")
    assert judge("here", WELL, {}, latency=0.001, clock_skew=3.0).warnings == (
        "has a clock that is 3 s ahead of this machine's",
    )


def test_a_server_that_tells_nothing_of_itself_is_up() -> None:
    health = judge("here", {}, {}, latency=0.001)
    assert health.up
    assert health.warnings == ()
    assert health.version is None


def test_loading_says_how_far_it_is() -> None:
    facts = {**WELL, "loading": "1", "loading_loaded_perc": "63.21", "loading_eta_seconds": "12"}
    health = judge("here", facts, {}, why="redis at here is loading its data")
    assert health.why == "redis at here is loading its data (63 %, about 12 s more)"
    assert not health.writable


def test_a_server_that_loads_its_append_only_file_says_that_it_has_none() -> None:
    health = judged({"save": ""}, loading=1, aof_enabled=0)
    assert (health.persistence, health.warnings) == (None, ())


def asked(target: RedisTarget, timeout: float = 5.0) -> RedisHealth:
    async def main(servers: Servers) -> RedisHealth:
        return await health(servers, target)

    answer: RedisHealth = run(main, timeout)
    return answer


@pytest.mark.php
def test_a_real_server_tells_all_of_it(redis_server: RedisServer) -> None:
    health = asked(RedisTarget(port=redis_server.port))
    assert health.up
    assert health.writable
    assert health.where == f"127.0.0.1:{redis_server.port}"
    assert health.version == redis_server.client.info("server")["redis_version"]
    assert health.latency is not None
    assert 0 < health.latency < 5
    assert health.clock_skew == pytest.approx(0, abs=5)
    assert (health.role, health.persistence, health.policy, health.maxmemory) == ("master", "none", "noeviction", 0)
    assert health.maxclients == int(redis_server.client.config_get("maxclients")["maxclients"])
    assert "keeps nothing on disk: its jobs are lost when it restarts" in health.warnings


@pytest.mark.php
def test_a_login_that_may_not_ask_for_settings_gets_the_rest(redis_server: RedisServer) -> None:
    redis_server.client.acl_setuser(
        "worker", enabled=True, passwords=["+w0rk"], keys=["*"], commands=["+@all", "-config"]
    )
    target = RedisTarget(port=redis_server.port, username="worker", password="w0rk")
    health = asked(target)
    assert health.up
    assert (health.persistence, health.role) == (None, "master")
    redis_server.client.execute_command("ACL", "SETUSER", "worker", "-info", "-time")
    assert asked(target).up


@pytest.mark.php
def test_a_full_server_is_said_and_its_jobs_can_still_be_counted() -> None:
    with RedisServer("--maxmemory", "5mb") as server:
        for size in (100_000, 1_000, 10):  # to the brim: what a client's buffers took is free again afterwards
            with contextlib.suppress(OutOfMemoryError):
                for n in range(1000):
                    server.client.set(f"key{size}-{n}", "x" * size)
        full = asked(RedisTarget(port=server.port))
        assert full.up
        assert not full.writable
        assert full.warnings[0].startswith("is full: ")
        assert full.warnings[0].endswith("MB of 5 MB are used, so new jobs are refused (OOM); raise maxmemory")
        server.client.flushall()
        eventually(lambda: asked(RedisTarget(port=server.port)).writable, what="there is room again")


@pytest.mark.php
def test_a_server_that_cannot_save_is_said() -> None:
    with RedisServer("--enable-protected-configs", "yes") as server:
        server.client.config_set("save", "3600 1")
        server.client.set("key", 1)
        server.client.config_set("dbfilename", "x" * 300)  # longer than a file's name may be
        server.client.bgsave()
        target = RedisTarget(port=server.port)
        eventually(lambda: not asked(target).writable, what="the saving has failed")
        words = "cannot save to disk: it refuses new jobs (MISCONF); see its log and its disk"
        assert asked(target).warnings[0] == words
        server.client.config_set("dbfilename", "dump.rdb")
        server.client.bgsave()
        eventually(lambda: asked(target).writable, what="it is well again")


@pytest.mark.php
def test_a_replica_is_said(redis_server: RedisServer) -> None:
    with replica_of(redis_server) as replica:
        health = asked(RedisTarget(port=replica.port))
        assert (health.role, health.writable) == ("slave", False)
        assert REPLICA in health.warnings


@pytest.mark.php
def test_each_way_of_being_away_is_said_in_two_seconds_and_over_by_itself(tmp_path: Path) -> None:
    """One reader of health throughout, as in the daemon, with its real timeout."""

    async def until(servers: Servers, target: RedisTarget, words: str) -> None:
        name, deadline = f"redis at {target.where} ", time.monotonic() + LIMIT
        while True:
            began = time.monotonic()
            seen = await health(servers, target)
            spent = time.monotonic() - began
            if fnmatch.fnmatchcase(seen.why, name + words if words else ""):
                assert spent < 2 + 8  # 2 s, and what a busy machine adds
                return
            assert time.monotonic() < deadline, f"{seen.why} instead of {words}"
            await asyncio.sleep(0.05)

    async def main(servers: Servers) -> None:
        with RedisServer(password="s3cret") as server:
            target = RedisTarget(port=server.port, password="s3cret")
            await until(servers, target, "")
            server.stop()
            await until(servers, target, "refuses connections")
            server.start()
            await until(servers, target, "")
            server.freeze()
            await until(servers, target, "does not answer within 1 s")
            server.thaw()
            await until(servers, target, "")
            await until(servers, replace(target, password=None), "wants a password, and none is configured")
            wrong = replace(target, password="other")
            await until(servers, wrong, "does not accept the password")
            server.client.config_set("requirepass", "other")
            await until(servers, wrong, "")
        with loading_server() as server:
            target = RedisTarget(port=server.port)
            await until(servers, target, "is loading its data (*s more)")
            server.client.config_set("key-load-delay", 0)
            await until(servers, target, "")
        with RedisServer("--maxclients", "3") as server, contextlib.ExitStack() as stack:
            server.client.ping()
            target = RedisTarget(port=server.port)
            for _ in range(2):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                stack.callback(lambda writer=writer: writer.transport.abort())
            await until(servers, target, "* connection*")  # which words, is a race: see test_servers.py
            server.client.config_set("maxclients", 10)
            await until(servers, target, "")
            assert any("turned away" in warning for warning in (await health(servers, target)).warnings)
        with tls_server(tmp_path) as (server, port, ca):
            secured = RedisTarget(port=port, tls=True, tls_ca=ca, password="s3cret")
            await until(servers, secured, "")
            await until(servers, replace(secured, tls_ca=None), "has a certificate that is not trusted: *")
            await until(
                servers,
                replace(secured, port=server.port),
                "does not answer the TLS handshake within 1 s: it may not speak TLS",
            )

    run(main, timeout=1.0)


@pytest.mark.php
def test_of_a_cluster_the_node_that_is_up_is_told_and_what_the_others_lack() -> None:
    with cluster(2) as (one, two):
        nodes = (("127.0.0.1", two.port),)
        target = RedisTarget(port=one.port, nodes=nodes, cluster=True)
        assert asked(target).up
        one.stop()
        seen = asked(target)
        assert seen.up
        assert seen.where == f"127.0.0.1:{two.port}"
        assert seen.warnings[0] == f"redis at 127.0.0.1:{one.port} refuses connections"
        two.stop()
        assert asked(target).why == f"redis at 127.0.0.1:{one.port} refuses connections"
        assert not asked(target).writable
