"""Whether a Redis answers, asked of real servers in every state that a worker can die of."""

import asyncio
import gc
import os
import socket
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from queuepool.laravel.ping import ping
from queuepool.laravel.target import RedisTarget
from tests.laravel.redises import loading_server, tls_server
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.redis


def asked(target: RedisTarget, timeout: float = 5.0) -> str | None:
    """The answer; no task, socket or file descriptor may be left of the question."""

    async def ask() -> str | None:
        answer = await ping(target, timeout)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return answer

    before = os.listdir("/proc/self/fd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = asyncio.run(ask())
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    return answer


def test_a_server_that_runs_answers(redis_server: RedisServer) -> None:
    assert asked(RedisTarget(port=redis_server.port)) is None
    assert asked(RedisTarget(host="localhost", port=redis_server.port)) is None
    assert asked(RedisTarget(path=redis_server.socket)) is None


def test_a_password_is_used_and_a_wrong_one_is_no_outage() -> None:
    with RedisServer(password="s3cret") as server:
        for password, user in ((None, None), ("wrong", None), ("s3cret", None), ("s3cret", "default"), ("x", "nobody")):
            assert asked(RedisTarget(port=server.port, password=password, username=user)) is None


def test_a_stopped_server_refuses_and_is_found_again_when_it_is_back(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port)
    redis_server.stop()
    assert asked(target) == f"redis at 127.0.0.1:{redis_server.port} refuses connections"
    assert asked(RedisTarget(path=redis_server.socket)) in (
        f"redis at {redis_server.socket} is not there",
        f"redis at {redis_server.socket} refuses connections",
    )
    redis_server.start()
    assert asked(target) is None


def test_a_frozen_server_is_given_up_in_time(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port, password="anything")
    redis_server.freeze()
    before = time.monotonic()
    assert asked(target, 0.2) == f"redis at 127.0.0.1:{redis_server.port} does not answer within 0.2 s"
    assert time.monotonic() - before < 5
    redis_server.thaw()
    assert asked(target) is None


def test_a_server_that_loads_its_data_is_not_ready() -> None:
    with loading_server(password="s3cret") as server:
        target = RedisTarget(port=server.port, password="s3cret")
        assert asked(target) == f"redis at 127.0.0.1:{server.port} is loading its data"
        server.client.config_set("key-load-delay", 0)
        eventually(lambda: asked(target) is None, what="loaded")


def test_what_is_no_redis_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def ask_one_that_hangs_up() -> str | None:
            async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.close()

            async with await asyncio.start_server(hang_up, sock=listener.dup()):
                return await ping(RedisTarget(port=port), 5)

        assert asyncio.run(ask_one_that_hangs_up()) == f"redis at 127.0.0.1:{port} closes connections"
    assert asked(RedisTarget(path="/nonexistent/redis.sock")) == "redis at /nonexistent/redis.sock is not there"
    unknown = asked(RedisTarget(host="no-such-host.invalid"))
    assert unknown is not None
    assert unknown.startswith("redis at no-such-host.invalid:6379 cannot be found: ")


def test_tls_where_there_is_none_is_said(redis_server: RedisServer) -> None:
    answer = asked(RedisTarget(port=redis_server.port, tls=True), 0.5)
    assert answer is not None
    assert answer.startswith(f"redis at 127.0.0.1:{redis_server.port} ")


def test_a_ping_that_is_cancelled_leaves_nothing(redis_server: RedisServer) -> None:
    redis_server.freeze()

    async def cancel_it() -> None:
        task = asyncio.create_task(ping(RedisTarget(port=redis_server.port), 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(cancel_it())
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_cluster_is_up_while_a_node_is_and_a_master_while_a_sentinel_is(redis_server: RedisServer) -> None:
    there, gone = ("127.0.0.1", redis_server.port), ("127.0.0.1", 1)
    for target in (
        RedisTarget(port=1, cluster=True, nodes=(there,)),
        RedisTarget(port=redis_server.port, cluster=True, nodes=(gone,)),
        RedisTarget(port=1, sentinel="shop", nodes=(gone, there)),
    ):
        assert asked(target) is None
        assert asked(replace(target, port=1, nodes=(gone,))) == "redis at 127.0.0.1:1 refuses connections"


def test_a_certificate_of_an_own_authority_is_trusted(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (server, port, ca):
        target = RedisTarget(port=port, tls=True, password="s3cret")
        for each in (target, replace(target, tls_ca=ca), replace(target, tls_verify=False)):
            assert asked(each) is None
        server.freeze()
        assert asked(replace(target, tls_ca=ca), 0.3) == f"redis at 127.0.0.1:{port} does not answer within 0.3 s"
