"""Depths, held against what Laravel itself says of the same queues."""

import json
import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster

from queuepool.domain.queues import QueueDepth, QueueName
from queuepool.laravel.away import Away
from queuepool.laravel.depth import Ask, DepthReader
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from tests.laravel.asking import Php, booted
from tests.laravel.redises import cluster, run
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer

pytestmark = pytest.mark.php
NAME = QueueName("redis", "default")


def predis_is_there() -> bool:
    code = "exit(stream_resolve_include_path('Predis/autoload.php') ? 0 : 1);"
    return subprocess.run([*PHP, "-r", code], check=False).returncode == 0


def read(asks: list[Ask], now: float | None = None) -> dict[QueueName, QueueDepth | Away]:
    async def main(servers: Servers) -> Any:
        return await DepthReader(servers, clock=time.time if now is None else lambda: now).read(asks)

    answer: dict[QueueName, QueueDepth | Away] = run(main)
    return answer


def depth_of(ask: Ask, now: float | None = None) -> QueueDepth:
    depth = read([ask], now)[ask.name]
    assert isinstance(depth, QueueDepth), depth
    return depth


@pytest.mark.parametrize(
    ("client", "prefix", "queue", "retry_after", "extra"),
    [
        ("phpredis", "shop_database_", "default", "90", False),
        ("phpredis", "", "high", "-1", False),
        ("phpredis", "shop:", "{default}", "90", True),
        ("predis", "shop_database_", "{default}", "-1", False),
        ("predis", "", "default", "90", True),
    ],
)
def test_depth_is_what_laravel_says_through_everything_that_happens_to_jobs(
    tmp_path: Path, redis_server: RedisServer, client: str, prefix: str, queue: str, retry_after: str, extra: bool
) -> None:
    """retry_after -1: what is taken is expired at once, so the next one to look takes it back. extra: payloads hold
    createdAt, as from Laravel 12.11 on."""
    if client == "predis" and not predis_is_there():
        pytest.skip("predis is not installed: apt install php-nrk-predis")
    app = LaravelApp(tmp_path / "app", redis_server)
    app.set_env(REDIS_CLIENT=client, REDIS_PREFIX=prefix, REDIS_QUEUE_RETRY_AFTER=retry_after)
    target = RedisTarget(port=redis_server.port, prefix=prefix)
    chance = random.Random(f"{client} {prefix} {queue}")

    async def main(servers: Servers) -> None:
        with booted(app) as php:
            about = php.ask("about")
            assert about["client"] == {"phpredis": "Redis", "predis": "Predis\\Client"}[client]
            ask = Ask(QueueName("redis", queue), target, about["laravel"], retry_after=int(retry_after))
            now = float(int(time.time()))  # moved on with each step, and told to both sides
            reader = DepthReader(servers, clock=lambda: now)
            arrived: dict[str, float] = {}
            last_in: set[str] = set()
            doubled: set[str] = set()  # expired, taken back, and then released by its worker as well
            tail = None
            kinds = set()
            await reader.read([ask])  # empty: from here on, everything that comes is seen to come
            for _ in range(150):
                now += 1
                step(php, chance, queue, now if extra else None)
                theirs = php.ask("sizes", queue, now=int(now))
                ours = (await reader.read([ask]))[ask.name]
                assert isinstance(ours, QueueDepth)
                counts = (ours.ready, ours.delayed, ours.due, ours.reserved, ours.expired)
                named = ("ready", "delayed", "due", "reserved", "expired")
                assert counts == tuple(theirs[name] for name in named)
                assert sum(counts[n] for n in (0, 1, 3)) == theirs["size"]
                kinds |= {name for name in named if theirs[name]}

                waiting = [f"{name} {attempts}" for name, attempts, _ in theirs["waiting"]]
                arrived = {job: arrived.get(job, now) for job in waiting}
                doubled |= {job for job in arrived if waiting.count(job) > 1}
                if waiting and waiting[-1] != tail:
                    last_in.add(waiting[-1])
                tail = waiting[-1] if waiting else None
                if not waiting:
                    assert ours.oldest is None
                    continue
                assert ours.oldest is not None
                _, attempts, created = theirs["waiting"][0]
                if created is not None and attempts == 0:
                    assert ours.oldest == now - created
                elif waiting[0] in last_in - doubled:
                    assert ours.oldest == now - arrived[waiting[0]]
                else:  # several came at once: that it waits is seen from when it is at the head
                    assert ours.oldest <= now - arrived[waiting[0]]
            assert kinds == {"ready", "delayed", "due", "reserved", "expired"}

    run(main)


def step(php: Php, chance: random.Random, queue: str, created: float | None) -> None:
    extra = {} if created is None else {"createdAt": int(created)}
    match chance.choice(["push", "push", "push", "due", "later", "pop", "pop", "pop", "delete", "release", "fail"]):
        case "push":
            php.ask("push", queue, extra=extra)
        case "due":
            php.ask("later", queue, seconds=-5, extra=extra)
        case "later":
            php.ask("later", queue, seconds=chance.choice([60, 3600]), extra=extra)
        case "release":
            php.ask("release", queue, seconds=chance.choice([-5, 60]))
        case other:
            php.ask(other, queue)


def payload(**more: Any) -> str:
    return json.dumps({"uuid": "u", "id": "i", "attempts": 0, "data": {"command": "x"}, **more})


@pytest.mark.parametrize(
    ("more", "oldest"),
    [
        ({"createdAt": 1000}, 100.0),
        ({"createdAt": 1000, "delay": 60}, 40.0),
        ({"createdAt": 1000, "delay": None}, 100.0),
        ({"pushedAt": "1040.5"}, 59.5),
        ({"createdAt": 1050, "pushedAt": "1040.5"}, 50.0),
        ({"createdAt": 1000, "attempts": 1}, 0.0),  # that was another wait
        ({"createdAt": 2000}, 0.0),
        ({"createdAt": None}, 0.0),
        ({"data": {"createdAt": 5}}, 0.0),
        ({"createdAt": 1000, "data": {"command": "x" * 1_000_000}}, 100.0),
        ({"data": {"command": "x" * 1_000_000}, "attempts": 0, "delay": 60, "createdAt": 1000}, 40.0),
        ({"data": {"command": "x" * 1_000_000}, "pushedAt": "1040.5", "attempts": 0}, 59.5),
    ],
)
def test_the_time_in_the_job_at_the_head_is_its_age(
    redis_server: RedisServer, more: dict[str, Any], oldest: float
) -> None:
    first = payload()
    large = {**json.loads(first), **more}
    if "x" * 1_000_000 in str(more):  # as the framework writes it: the times come last
        large = {"data": more["data"], **{key: value for key, value in large.items() if key != "data"}}
    redis_server.client.rpush("queues:default", json.dumps(large, separators=(",", ":")), first)
    assert depth_of(Ask(NAME, RedisTarget(port=redis_server.port), "12.11.0"), now=1100.0).oldest == oldest


@pytest.mark.parametrize("text", ["", "no json", "[1]", "null", '"text"', "{", '{"createdAt":"yesterday"}', "\x00\xff"])
def test_whatever_lies_in_a_queue_is_counted(redis_server: RedisServer, text: str) -> None:
    redis_server.client.rpush("queues:default", text)
    assert depth_of(Ask(NAME, RedisTarget(port=redis_server.port), "8.83.26")).ready == 1


def test_queues_without_retry_after_have_no_expired_jobs(redis_server: RedisServer) -> None:
    redis_server.client.zadd("queues:default:reserved", {"job": 1})
    ask = Ask(NAME, RedisTarget(port=redis_server.port), "8.83.26")
    assert (depth_of(ask).expired, depth_of(replace(ask, retry_after=None)).expired) == (1, 0)
    assert depth_of(replace(ask, retry_after=None)).reserved == 1


def test_a_queue_that_cannot_be_counted_hides_no_other(redis_server: RedisServer) -> None:
    redis_server.client.set("queues:bad", "no list")
    redis_server.client.rpush("queues:default", "job")
    asks = [Ask(QueueName("redis", name), RedisTarget(port=redis_server.port), "8") for name in ("bad", "default")]
    bad, good = read(asks).values()
    assert isinstance(bad, Away)
    assert bad.why.startswith(f"redis at 127.0.0.1:{redis_server.port} does not count queues:bad: WRONGTYPE")
    assert isinstance(good, QueueDepth)
    assert good.ready == 1


def test_a_server_that_is_away_hides_no_other_and_comes_back(redis_server: RedisServer) -> None:
    redis_server.client.rpush("queues:default", "job")
    there, gone = RedisTarget(port=redis_server.port), RedisTarget(port=1)
    asks = [Ask(NAME, there, "8", cache=gone), Ask(QueueName("other", "default"), gone, "8")]
    good, bad = read(asks).values()
    assert bad == Away("127.0.0.1:1", "redis at 127.0.0.1:1 refuses connections")
    assert isinstance(good, QueueDepth)
    assert (good.ready, good.paused) == (1, False)


def test_a_paused_queue_is_marked(redis_server: RedisServer) -> None:
    cache = RedisTarget(port=redis_server.port, db=1, prefix="shop_")
    ask = Ask(NAME, RedisTarget(port=redis_server.port, prefix="shop_"), "13.25.0", cache=cache, cache_prefix="c_")
    other = replace(ask, name=QueueName("redis", "other"))

    def paused() -> list[bool]:
        return [depth.paused for depth in read([ask, other]).values() if isinstance(depth, QueueDepth)]

    with Redis(port=redis_server.port, db=1, protocol=2) as client:
        assert paused() == [False, False]
        client.set("shop_c_illuminate:queue:paused:redis:default", "b:1;")
        assert paused() == [True, False]
        client.set("shop_c_illuminate:queues:paused", "b:1;")
        assert paused() == [True, True]


def test_on_a_cluster_the_queues_of_all_nodes_are_counted_as_each_laravel_names_them() -> None:
    with cluster(2) as (one, two):
        with RedisCluster(host="127.0.0.1", port=one.port) as client:
            for name in ("a", "b", "c", "d"):
                key = f"shop_queues:{{{name}}}"
                client.rpush(key, payload(createdAt=1000), payload())
                client.zadd(f"{key}:delayed", {"job": 2000})
        assert one.client.dbsize() > 0
        assert two.client.dbsize() > 0
        target = RedisTarget(port=one.port, cluster=True, prefix="shop_")
        cache = replace(target, prefix="")
        asks = [Ask(QueueName("redis", name), target, "13.5.0", cache=cache) for name in ("a", "b", "c", "d")]
        asks += [Ask(QueueName("redis", f"{{{name}}}"), target, "8.83.26") for name in ("a", "b", "c", "d")]
        expected = QueueDepth(ready=2, delayed=1, oldest=100.0)
        assert list(read(asks, now=1100.0).values()) == [expected] * 8
        [plain] = read([Ask(QueueName("redis", "a"), target, "8.83.26")]).values()
        assert isinstance(plain, Away)
        assert "CROSSSLOT" in plain.why  # as Laravel itself is told: before 13.5 such a name does not work there


def test_a_reader_remembers_no_queue_that_is_not_asked_for_any_more(redis_server: RedisServer) -> None:
    asks = [Ask(QueueName("redis", f"q{n}"), RedisTarget(port=redis_server.port), "8") for n in range(50)]

    async def main(servers: Servers) -> None:
        reader = DepthReader(servers)
        await reader.read(asks)
        assert len(await reader.read(asks[:3])) == 3
        assert len(reader._watched) == 3
        assert await reader.read([]) == {}

    run(main)


def test_two_hundred_queues_take_one_round_trip_and_few_milliseconds(redis_server: RedisServer) -> None:
    """Measured on an idle machine: 8 ms, of which Redis takes 4. The limit is generous, for a busy one."""
    target = RedisTarget(port=redis_server.port, prefix="shop_")
    names = [f"queue{n}" for n in range(200)]
    pipeline = redis_server.client.pipeline()
    for name in names:
        pipeline.rpush(f"shop_queues:{name}", *(payload(n=n, command="x" * 800) for n in range(3)))
        pipeline.zadd(f"shop_queues:{name}:delayed", {"due": 1, "later": time.time() + 1000})
    pipeline.execute()
    asks = [Ask(QueueName("redis", name), target, "8.83.26") for name in names]

    async def main(servers: Servers) -> float:
        reader = DepthReader(servers)
        await reader.read(asks)
        redis_server.client.config_resetstat()
        times = []
        for _ in range(20):
            began = time.perf_counter()
            depths = await reader.read(asks)
            times.append(time.perf_counter() - began)
        assert all(
            isinstance(depth, QueueDepth) and (depth.ready, depth.delayed, depth.due) == (3, 2, 1)
            for depth in depths.values()
        )
        stats = redis_server.client.info("commandstats")
        assert (stats["cmdstat_eval"]["calls"], stats["cmdstat_evalsha"]["calls"]) == (20, 20 * 12)
        return min(times)

    assert run(main) < 0.1
