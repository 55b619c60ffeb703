"""Looking at the jobs and the queues of a real Redis without touching them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import pytest

from queuepool.laravel.keys import queue_keys
from queuepool.laravel.peek import Lying, Peek, Peeked, lying, peek, taken_apart
from queuepool.laravel.permitted import denied, needed
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from tests.laravel.redises import run
from tests.support.redis import RedisServer

pytestmark = pytest.mark.redis


def peeked(server: RedisServer, *queues: str) -> list[Peek | None]:
    keys = [queue_keys(queue, prefix="p_", laravel="", cluster=False) for queue in queues]
    seen: list[Peek | None] = run(lambda servers: peek(servers, RedisTarget(port=server.port), keys, time.time()))
    return seen


def payload(**more: object) -> str:
    """As PHP writes it: without blanks."""
    values = {"uuid": "u1", "displayName": "App\\Jobs\\X", "maxTries": None, "timeout": None, **more}
    return json.dumps(values, separators=(",", ":"))


def test_the_first_job_of_each_place_is_seen(redis_server: RedisServer) -> None:
    client = redis_server.client
    client.rpush("p_queues:a", payload(attempts=2, maxTries=3, timeout=120), payload(uuid="u2"))
    client.zadd("p_queues:a:delayed", {payload(uuid="u3", retryUntil=1795913339): time.time() + 9})
    client.zadd("p_queues:a:reserved", {payload(uuid=None, id="i4", attempts=1): time.time() - 9})
    [seen] = peeked(redis_server, "a")
    assert seen is not None
    assert (seen.ready, seen.delayed, seen.reserved, seen.expired) == (2, 1, 1, 1)
    assert seen.jobs == (
        Peeked("ready", "App\\Jobs\\X", "u1", 2, 3, 120, None),
        Peeked("delayed", "App\\Jobs\\X", "u3", 0, None, None, 1795913339.0),
        Peeked("reserved", "App\\Jobs\\X", "i4", 1, None, None, None),
    )
    client.lpop("p_queues:a")
    [after] = peeked(redis_server, "a")
    assert after is not None
    assert after.mark != seen.mark


def test_of_a_large_job_only_the_ends_are_read(redis_server: RedisServer) -> None:
    job = payload(timeout=7, data={"command": "x" * 500_000}, id="i", attempts=11)
    redis_server.client.rpush("p_queues:a", job)
    [seen] = peeked(redis_server, "a")
    assert seen is not None
    assert seen.jobs == (Peeked("ready", "App\\Jobs\\X", "u1", 11, None, 7, None),)


def test_what_is_no_queue_hides_no_other(redis_server: RedisServer) -> None:
    redis_server.client.set("p_queues:a", "text")
    redis_server.client.rpush("p_queues:b", "no json", payload())
    one, two, three = peeked(redis_server, "a", "b", "none")
    assert one is None
    assert two is not None
    assert (two.ready, two.jobs[0].job) == (2, "")
    assert three == Peek(0, 0, 0, 0, "", ())


def test_every_queue_that_lies_there_is_found_once(redis_server: RedisServer) -> None:
    client = redis_server.client
    for key in ("p_queues:a", "p_queues:b:notify", "old-queues:c", "queues:d", "p_illuminate:queues:paused"):
        client.rpush(key, 1)
    client.zadd("p_queues:a:delayed", {"x": 1})
    for n in range(5000):
        client.set(f"noise{n}", n)

    found: Sequence[Lying] = run(lambda servers: lying(servers, RedisTarget(port=redis_server.port), ("p_",)))
    assert found == [Lying("", "d"), Lying("old-", "c"), Lying("p_", "a"), Lying("p_", "b")]


def test_a_known_prefix_wins_over_the_first_word() -> None:
    assert taken_apart("my-queues:x:queues:a:reserved", ("my-queues:x:",)) == Lying("my-queues:x:", "a")
    assert taken_apart("my-queues:x", ()) == Lying("my-", "x")
    assert taken_apart("horizon:masters", ()) is None


def test_what_a_login_may_not_do_is_tried_without_doing_it(redis_server: RedisServer) -> None:
    client = redis_server.client
    target = RedisTarget(port=redis_server.port)
    assert asyncio.run(denied(target, "p_queues:a")) == ()
    client.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~p_*", "+@all", "-blpop", "-eval")
    few = RedisTarget(port=redis_server.port, username="few", password="pw")
    refused = asyncio.run(denied(few, "p_queues:a"))
    assert [text.partition(":")[0] for text in refused] == ["EVAL", "BLPOP"]
    assert len(asyncio.run(denied(few, "other_queues:a"))) == len(needed(""))  # ~p_* allows no other keys
    client.execute_command("ACL", "SETUSER", "few", "-multi", "+eval")
    assert asyncio.run(denied(few, "p_queues:a")) == (), "without MULTI nothing is tried: it would be done"
    assert client.dbsize() == 0


def test_a_redis_that_is_away_gives_nothing() -> None:
    target = RedisTarget(port=1)

    async def main(servers: Servers) -> None:
        keys = queue_keys("a", prefix="", laravel="", cluster=False)
        assert await peek(servers, target, [keys], 0.0) == [None]
        assert await lying(servers, target, ()) == []
        assert await denied(target, "a") == ()

    run(main)
