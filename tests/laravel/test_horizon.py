"""Reading Horizon's keys: as Horizon 5.22 wrote them on Laravel 8.83 (horizon/*.json), and anything else in them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.horizon import Beside, HorizonView, judge
from queuepool.domain.queues import QueueName
from queuepool.laravel import horizon
from queuepool.laravel.away import Away
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, Replies
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.php
PREFIX = "my_app_horizon:"
DATA = Path(__file__).parent / "horizon"


def recorded(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return data


def fill(server: RedisServer, name: str, prefix: str = PREFIX) -> float:
    """Put recorded keys into a server, with the time that they had left; when they were recorded."""
    found = recorded(name)
    for key, one in found["keys"].items():
        match one["type"]:
            case "hash":
                server.client.hset(prefix + key, mapping=one["value"])
            case "zset":
                server.client.zadd(prefix + key, one["value"])
            case "string":
                server.client.set(prefix + key, one["value"])
        if one["pttl"] > 0:
            server.client.pexpire(prefix + key, one["pttl"] + 60_000)  # a busy machine must not lose it
    return float(found["at"])


def asked(target: RedisTarget, now: float | None = None) -> HorizonView | Away:
    async def ask() -> HorizonView | Away:
        servers = Servers(timeout=20)
        try:
            return await horizon.read(servers, target, now)
        finally:
            await servers.close()

    return asyncio.run(ask())


def read(server: RedisServer, now: float | None = None) -> HorizonView:
    view = asked(RedisTarget(port=server.port, prefix=PREFIX), now)
    assert isinstance(view, HorizonView), view
    return view


def test_masters_and_supervisors_are_read_as_horizon_wrote_them(redis_server: RedisServer) -> None:
    fill(redis_server, "running")
    view = read(redis_server)
    (master,) = view.masters
    assert (master.name, master.host, master.pid, master.status, master.environment) == (
        "vm-MaqV", "vm", 24003, "running", "local",
    )  # fmt: skip
    assert master.supervisors == ("vm-MaqV:supervisor-1", "vm-MaqV:fixed")
    assert master.beats
    assert view.status == "running"
    assert view.processes == 4
    found = {one.short: one for one in view.supervisors}
    assert found["supervisor-1"].processes == (("high", 1), ("default", 1))
    assert found["supervisor-1"].serves == (QueueName("redis", "high"), QueueName("redis", "default"))
    assert found["supervisor-1"].options.balance == "auto"
    assert found["fixed"].processes == (("mail,slow", 2),)
    assert found["fixed"].queues == ("mail", "slow")
    options = found["fixed"].options
    assert (options.balance, options.min_processes, options.max_processes, options.timeout) == ("off", 1, 2, 30)
    ours = Beside("horizon", "horizon", pids=frozenset({24003}), running=60.0)
    assert judge(view, [ours], host="vm", living={24003}) == ()


def test_a_pause_is_seen_in_master_and_supervisors(redis_server: RedisServer) -> None:
    fill(redis_server, "paused")
    view = read(redis_server)
    assert view.status == "paused"
    assert {one.status for one in view.supervisors} == {"paused"}


def test_a_master_that_was_killed_is_announced_until_its_keys_run_out(redis_server: RedisServer) -> None:
    fill(redis_server, "killed")
    view = read(redis_server)
    assert judge(view, [], host="vm", living=set()) == (), "it beat a moment ago: perhaps in a container"
    view = replace(view, masters=(replace(view.masters[0], age=8.0),))
    (said,) = judge(view, [], host="vm", living=set())
    assert said.text.startswith("Horizon's master vm-MaqV is dead, there is no process 24003;")


def test_a_dead_master_is_known_by_what_is_left_of_it(redis_server: RedisServer) -> None:
    at = fill(redis_server, "dead")
    view = read(redis_server, now=at)
    assert (view.status, view.live, view.processes) == ("inactive", (), 0)
    (said,) = judge(view, [], host="vm", living=set())
    assert said.text.startswith("Horizon's master vm-MaqV is dead and still in Redis: its last beat was 1")
    assert judge(read(redis_server, now=at + 3600), [], host="vm", living=set()) == ()


def test_the_age_is_told_by_the_clock_of_redis(redis_server: RedisServer) -> None:
    """The clock of the machine that beats may be hours off."""
    redis_server.client.zadd(f"{PREFIX}masters", {"web1-Ab3d": time.time() - 7200})
    redis_server.client.hset(f"{PREFIX}master:web1-Ab3d", mapping={"name": "web1-Ab3d", "pid": 3, "status": "running"})
    redis_server.client.expire(f"{PREFIX}master:web1-Ab3d", 3600)
    (master,) = read(redis_server).masters
    assert master.beats
    assert master.age == 0


def test_a_redis_without_horizon_shows_none(redis_server: RedisServer) -> None:
    assert read(redis_server) == HorizonView()


def test_two_round_trips_for_any_number_of_masters(redis_server: RedisServer) -> None:
    client = redis_server.client
    client.zadd(f"{PREFIX}masters", {f"web{n}-Ab3d": n + 1 for n in range(1000)})
    client.zadd(f"{PREFIX}supervisors", {f"web{n}-Ab3d:one": n + 1 for n in range(1000)})
    trips: list[int] = []

    class Counting(Servers):
        async def ask(self, target: RedisTarget, commands: Sequence[Command]) -> Replies | Away:
            trips.append(len(commands))
            return await super().ask(target, commands)

    async def ask() -> HorizonView | Away:
        servers = Counting(timeout=20)
        try:
            return await horizon.read(servers, RedisTarget(port=redis_server.port, prefix=PREFIX), 2000.0)
        finally:
            await servers.close()

    view = asyncio.run(ask())
    assert isinstance(view, HorizonView)
    assert trips == [2, 2 * (horizon.MOST_MASTERS + horizon.MOST_SUPERVISORS)]
    assert (len(view.masters), len(view.supervisors)) == (horizon.MOST_MASTERS, horizon.MOST_SUPERVISORS)
    assert view.masters[0].name == "web999-Ab3d", "the newest come first"


def test_keys_of_another_type_are_nothing(redis_server: RedisServer) -> None:
    client = redis_server.client
    client.set(f"{PREFIX}masters", "x")
    client.zadd(f"{PREFIX}supervisors", {"a:b": time.time()})
    client.lpush(f"{PREFIX}supervisor:a:b", "x")
    view = read(redis_server)
    assert view.masters == ()
    assert [(one.name, one.status, one.pid, one.processes) for one in view.supervisors] == [("a:b", "", None, ())]


BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"[", b'["a"]', b"{}", b'{"redis:default": -1}', b'{"redis:default": 1e400}', b"[[[[", b"null", b"1" * 30, b"7",
     b'{"queue": 1, "connection": [], "timeout": {}}', b'{"queue": "a,,b", "connection": "redis", "timeout": "x"}',
     b"[" * 50_000, b"paused", "٣".encode()]
)  # fmt: skip
HASH = st.dictionaries(
    st.sampled_from([b"name", b"master", b"pid", b"status", b"supervisors", b"environment", b"processes", b"options"]),
    BYTES, min_size=1,
)  # fmt: skip


@settings(max_examples=60)
@given(name=st.binary(min_size=1, max_size=20), master=HASH, supervisor=HASH, score=st.floats(allow_nan=False))
def test_any_bytes_in_redis_are_read_without_an_error(
    redis_server: RedisServer, name: bytes, master: dict[bytes, bytes], supervisor: dict[bytes, bytes], score: float
) -> None:
    client = redis_server.client
    client.flushall()
    prefix = PREFIX.encode()
    client.zadd(prefix + b"masters", {name: score})
    client.zadd(prefix + b"supervisors", {name: score})
    client.hset(prefix + b"master:" + name, mapping=master)
    client.hset(prefix + b"supervisor:" + name, mapping=supervisor)
    view = read(redis_server)
    assert len(view.masters) == len(view.supervisors) == 1
    told = [trouble.text for trouble in judge(view, [], host="vm", living=set())]
    json.dumps(view.to_json(told), allow_nan=False)


def test_a_redis_that_is_away_is_said(redis_server: RedisServer) -> None:
    redis_server.stop()
    away = asked(RedisTarget(port=redis_server.port, prefix=PREFIX))
    assert isinstance(away, Away)
    assert away.why == f"redis at 127.0.0.1:{redis_server.port} refuses connections"


def test_a_redis_that_goes_away_between_the_two_questions_is_said(redis_server: RedisServer) -> None:
    fill(redis_server, "running")

    class Breaking(Servers):
        async def ask(self, target: RedisTarget, commands: Sequence[Command]) -> Replies | Away:
            replies = await super().ask(target, commands)
            redis_server.kill()
            return replies

    async def ask() -> HorizonView | Away:
        servers = Breaking(timeout=20)
        try:
            return await horizon.read(servers, RedisTarget(port=redis_server.port, prefix=PREFIX))
        finally:
            await servers.close()

    assert isinstance(asyncio.run(ask()), Away)


def test_a_cluster_is_read_as_a_single_server_is() -> None:
    """Horizon's own cluster support (2026) puts the prefix in braces, so that all its keys are on one node."""
    with RedisServer("--cluster-enabled", "yes") as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: server.client.execute_command("CLUSTER", "INFO").count("cluster_state:ok"), what="it is up")
        fill(server, "running", "{h:}")

        def look() -> bool:  # a node has 0.4 s, which a busy machine may need for something else
            view = asked(RedisTarget(port=server.port, prefix="{h:}", cluster=True))
            return isinstance(view, HorizonView) and view.processes == 4

        eventually(look, what="it is read")
