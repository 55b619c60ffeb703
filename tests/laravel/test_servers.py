"""One connection to each Redis, asked of real servers in every state and by every way there is to reach one."""

import asyncio
import contextlib
import gc
import itertools
import socket
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queuepool.laravel.away import Away
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from tests.laravel.redises import cluster, loading_server, open_files, replica_of, sentinel, tls_server
from tests.support.redis import RedisServer
from tests.support.turns import turns
from tests.support.wait import LIMIT, eventually

pytestmark = pytest.mark.php
PING = [("PING",)]
HANGS_UP = "closes connections without a word: it may want TLS, or have no connection left (maxclients)"


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(main: Callable[[Servers], Awaitable[Any]], *, own: int = 0, **more: Any) -> Any:
    """What `main` returns. Nothing may be left of its connections: no descriptor, task or warning. own: descriptors
    that the test itself opens and keeps."""

    async def all_of_it() -> Any:
        servers = Servers(**{"timeout": 5.0, **more})
        await servers.prepare()
        before = open_files()
        try:
            return await main(servers)
        finally:
            await servers.close()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert open_files() <= before + own

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = asyncio.run(all_of_it())
        gc.collect()
    return result


def why(target: RedisTarget, **more: Any) -> str:
    """Why the server is away; "" when it answers."""

    async def main(servers: Servers) -> str:
        reply = await servers.ask(target, PING)
        assert isinstance(reply, Away) or reply == [b"PONG"]
        return reply.why if isinstance(reply, Away) else ""

    answer: str = run(main, **more)
    return answer


def connections(server: RedisServer) -> int:
    """Of others than the test's own."""
    return len(server.client.client_list()) - 1


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT
    while not await question():
        assert time.monotonic() < deadline
        await turns(1)


def test_many_questions_of_many_callers_share_one_connection(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port)

    async def main(servers: Servers) -> None:
        askers = [servers.ask(replace(target, prefix=f"app{n}"), [("ECHO", n), ("ECHO", "x" * n)]) for n in range(50)]
        assert await asyncio.gather(*askers) == [[str(n).encode(), b"x" * n] for n in range(50)]
        assert connections(redis_server) == 1
        assert await servers.ask(replace(target, db=3), [("SET", "a", 1)]) == [b"OK"]
        assert connections(redis_server) == 2
        assert redis_server.client.get("a") is None

    run(main, own=1)


def test_a_refused_command_is_one_reply_among_others(redis_server: RedisServer) -> None:
    async def main(servers: Servers) -> None:
        replies = await servers.ask(RedisTarget(port=redis_server.port), [("SET", "a", "x"), ("INCR", "a"), *PING])
        assert isinstance(replies, list)
        assert isinstance(replies[1], Exception)
        assert [replies[0], replies[2]] == [b"OK", b"PONG"]

    run(main)


def test_every_way_to_a_server_works(tmp_path: Path) -> None:
    with RedisServer(password="s3cret") as server:
        server.client.acl_setuser("worker", enabled=True, passwords=["+w0rk"], commands=["+@all"], keys=["*"])
        target = RedisTarget(port=server.port, password="s3cret")
        for each in (
            target,
            replace(target, host="localhost"),
            replace(target, username="default"),
            replace(target, username="worker", password="w0rk", db=2),
            RedisTarget(path=server.socket, password="s3cret", db=1),
        ):
            assert why(each) == ""


def test_tls_is_spoken_and_the_certificate_is_checked_as_the_application_has_it(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (server, port, ca):
        target = RedisTarget(port=port, tls=True, tls_ca=ca, password="s3cret")
        name = f"redis at 127.0.0.1:{port}"
        assert why(target) == ""
        assert why(replace(target, host="localhost")) == ""
        assert why(replace(target, tls_ca=None, tls_verify=False)) == ""
        assert why(replace(target, tls_ca=None)).startswith(f"{name} has a certificate that is not trusted: ")
        assert why(replace(target, tls=False)) == f"{name} {HANGS_UP}"
        answer = why(replace(target, port=server.port), timeout=1.0)
        assert answer.endswith("does not answer the TLS handshake within 1 s: it may not speak TLS")
        answer = why(replace(target, tls_ca="/nonexistent.pem"))
        words = "the certificates in /nonexistent.pem cannot be read: No such file or directory"
        assert answer == f"{name} cannot be asked: {words}"


def test_passwords_are_said_to_be_missing_wrong_or_not_wanted(redis_server: RedisServer) -> None:
    with RedisServer(password="s3cret") as server:
        target, name = RedisTarget(port=server.port), f"redis at 127.0.0.1:{server.port}"
        assert why(target) == f"{name} wants a password, and none is configured"
        assert why(replace(target, password="hush")) == f"{name} does not accept the password"
        assert why(replace(target, username="nobody", password="s3cret")) == f"{name} does not accept the password"
        assert why(replace(target, password="hush", db=3)) == f"{name} does not accept the password"
    answer = why(RedisTarget(port=redis_server.port, password="hush"))
    assert answer == f"redis at 127.0.0.1:{redis_server.port} has no password, but one is configured"
    assert why(RedisTarget(port=redis_server.port, db=99)).endswith("has no database of that number")


def test_a_stopped_server_is_said_and_found_again_by_itself(redis_server: RedisServer) -> None:
    target, name = RedisTarget(port=redis_server.port), f"redis at 127.0.0.1:{redis_server.port}"

    async def main(servers: Servers) -> None:
        assert await servers.ask(target, PING) == [b"PONG"]
        redis_server.stop()
        await until(lambda: is_away(f"{name} refuses connections"))
        redis_server.start()
        await until(lambda: is_away(None))

    async def is_away(words: str | None) -> bool:
        answer = await servers.ask(target, PING)
        return answer == [b"PONG"] if words is None else isinstance(answer, Away) and answer.why == words

    async def with_servers(given: Servers) -> None:
        nonlocal servers
        servers = given
        await main(given)

    servers = Servers()
    run(with_servers)


def test_a_server_that_restarted_between_two_questions_is_not_noticed(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port)

    async def main(servers: Servers) -> None:
        assert await servers.ask(target, PING) == [b"PONG"]
        redis_server.stop()
        redis_server.start()
        for _ in range(5):  # the loop sees that the connection has ended
            await asyncio.sleep(0)
        assert await servers.ask(target, PING) == [b"PONG"]

    run(main)


def test_a_frozen_server_costs_one_timeout_and_is_found_again(redis_server: RedisServer) -> None:
    target, name = RedisTarget(port=redis_server.port), f"redis at 127.0.0.1:{redis_server.port}"
    clock = Clock()

    async def main(servers: Servers) -> None:
        assert await servers.ask(target, PING) == [b"PONG"]
        redis_server.freeze()
        big = ("SET", "big", "x" * 20_000_000)  # more than the socket takes: a close would wait until it is read
        before = open_files()
        answers = await asyncio.gather(*(servers.ask(target, [big]) for _ in range(5)))
        assert {answer.why for answer in answers} == {f"{name} does not answer within 1 s"}
        await until(lambda: fewer_than(before))
        clock.now += 60
        assert isinstance(await servers.ask(target, PING), Away)  # a new connection is taken, and not served
        redis_server.thaw()
        clock.now += 60
        assert await servers.ask(target, PING) == [b"PONG"]

    async def fewer_than(number: int) -> bool:
        return open_files() < number

    run(main, timeout=1.0, clock=clock)


def test_a_server_that_is_away_is_tried_seldom_and_by_one_at_a_time() -> None:
    clock, tried = Clock(), []

    async def main(servers: Servers) -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tried.append(clock.now)
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            target = RedisTarget(port=server.sockets[0].getsockname()[1])
            for _ in range(200):  # 10 s
                answers = await asyncio.gather(*(servers.ask(target, PING) for _ in range(3)))
                assert {answer.why for answer in answers} == {f"redis at {target.where} {HANGS_UP}"}
                clock.now += 0.05

    run(main, clock=clock)
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses == [pytest.approx(pause, abs=0.06) for pause in (0.5, 1, 2, 2, 2, 2)]


def test_a_server_that_loads_says_so_and_is_asked_again_at_once() -> None:
    with loading_server(password="s3cret") as server:
        target = RedisTarget(port=server.port, password="s3cret")

        async def main(servers: Servers) -> None:
            answer = await servers.ask(target, PING)
            assert answer == Away(target.where, f"redis at {target.where} is loading its data")
            server.client.config_set("key-load-delay", 0)
            await until(lambda: answers(servers))

        async def answers(servers: Servers) -> bool:
            return await servers.ask(target, PING) == [b"PONG"]

        run(main, own=1)


def test_a_server_without_a_free_connection_is_said() -> None:
    with RedisServer("--maxclients", "2") as server, contextlib.ExitStack() as stack:
        server.client.ping()
        name = f"redis at 127.0.0.1:{server.port}"
        stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        eventually(lambda: len(server.client.client_list()) == 2, what="both places are taken")
        # Whether its last words arrive, or the end of the connection overtakes them, is a race.
        said = (f"{name} has no connection left (maxclients)", f"{name} {HANGS_UP}")
        assert why(RedisTarget(port=server.port)) in said


@contextlib.contextmanager
def greeting(words: bytes) -> Iterator[int]:
    """The port of a service that says this to everybody."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.sendall(words)
                    kept.append(connection)

        kept: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()


def test_what_is_no_redis_is_told_apart() -> None:
    for words in (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        with greeting(words) as port:
            assert (
                why(RedisTarget(port=port), own=1)
                == f"redis at 127.0.0.1:{port} is no Redis: it answers in another language"
            )
    with greeting(b"") as port:
        assert why(RedisTarget(port=port), own=1, timeout=0.2).endswith("does not answer within 0.2 s")
    assert why(RedisTarget(path="/nonexistent.sock")) == "redis at /nonexistent.sock is not there"
    assert why(RedisTarget(host="no-such-host.invalid")).startswith(
        "redis at no-such-host.invalid:6379 cannot be found"
    )
    assert why(RedisTarget(host="bad host")).startswith("redis at bad host:6379 ")


def test_no_password_is_ever_said(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port, username="me", password="s3cret", sentinel_password="s3cret")

    async def main(servers: Servers) -> str:
        answer = await servers.ask(target, PING)
        return f"{answer!r} {servers!r} {vars(servers)!r}"

    assert "s3cret" not in run(main)


def test_a_caller_that_is_cancelled_leaves_the_connection_in_order(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port)

    async def main(servers: Servers) -> None:
        assert await servers.ask(target, PING) == [b"PONG"]
        redis_server.freeze()
        task = asyncio.create_task(servers.ask(target, [("ECHO", "lost")]))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        redis_server.thaw()
        assert await servers.ask(target, [("ECHO", "mine")]) == [b"mine"]

    run(main)


def test_sentinels_are_asked_for_the_master_and_again_after_a_failover() -> None:
    with RedisServer() as one, replica_of(one) as two, sentinel(one, "shop", password="s3cret") as watching:
        port = watching.connection_pool.connection_kwargs["port"]
        dead = ("127.0.0.1", 1)
        target = RedisTarget(
            host="", port=0, nodes=(dead, ("127.0.0.1", port)), sentinel="shop", sentinel_password="s3cret"
        )
        assert why(replace(target, sentinel="other")) == f"sentinel at 127.0.0.1:{port} knows no master called other"
        assert why(replace(target, nodes=(dead,))) == "sentinel at 127.0.0.1:1 refuses connections"
        assert (
            why(replace(target, sentinel_password="x")) == f"sentinel at 127.0.0.1:{port} does not accept the password"
        )
        clock = Clock()

        async def main(servers: Servers) -> None:
            async def role() -> Any:
                answer = await servers.ask(target, [("ROLE",), ("CONFIG", "GET", "port")])
                clock.now += 10
                return None if isinstance(answer, Away) else (answer[0][0], int(answer[1][1]))

            assert await role() == (b"master", one.port)
            # As after a failover: the sentinel names another, and the connections to the former master are ended.
            watching.sentinel_remove("shop")
            watching.sentinel_monitor("shop", "127.0.0.1", two.port, 1)
            two.client.replicaof("NO", "ONE")
            one.client.client_kill_filter(_type="normal")
            await until(lambda: is_two(role))

        async def is_two(role: Callable[[], Awaitable[Any]]) -> bool:
            return await role() == (b"master", two.port)

        run(main, clock=clock, own=3)


def test_a_cluster_is_asked_node_by_node_and_does_without_one() -> None:
    with cluster(2) as (one, two):
        first, second = ("a", "b")  # slots 15495 and 3300
        clock = Clock()
        target = RedisTarget(port=one.port, nodes=(("127.0.0.1", two.port),), cluster=True)

        async def main(servers: Servers) -> None:
            commands = [("INCR", first), ("INCRBY", second, 2), ("GET", first), ("GET", second)]
            assert await servers.ask(target, commands) == [1, 2, b"1", b"2"]
            assert (one.client.dbsize(), two.client.dbsize()) == (1, 1)
            two.freeze()
            answer = await servers.ask(target, [("GET", first), ("GET", second)])
            assert isinstance(answer, list)
            assert isinstance(answer[0], Away)
            assert answer[1] == b"2"
            two.thaw()
            clock.now += 10
            assert await servers.ask(target, commands[2:]) == [b"1", b"2"]
            one.freeze()  # the one that was named first
            two.freeze()
            assert isinstance(await servers.ask(target, commands[2:]), Away)
            one.thaw()
            two.thaw()
            clock.now += 10
            assert await servers.ask(target, commands[2:]) == [b"1", b"2"]

        run(main, clock=clock, timeout=2.0, own=2)


def test_a_single_server_that_is_taken_for_a_cluster_says_so(redis_server: RedisServer) -> None:
    name = f"redis at 127.0.0.1:{redis_server.port}"
    assert why(RedisTarget(port=redis_server.port, cluster=True)) == f"{name} is not part of a cluster"
    redis_server.stop()
    assert why(RedisTarget(port=redis_server.port, cluster=True)) == f"{name} refuses connections"


def test_the_loop_goes_on_while_servers_are_frozen_dead_or_imported(redis_server: RedisServer) -> None:
    """No callback may keep the loop for long: its CPU time is what counts, since other processes take turns with us."""
    target, clock = RedisTarget(port=redis_server.port), Clock()
    slow: list[float] = []

    async def main(servers: Servers) -> None:
        await servers.ask(target, PING)
        redis_server.freeze()
        longest = 0.0
        task = asyncio.create_task(asking(servers))
        while not task.done():
            used = time.thread_time()
            await turns(1)
            longest = max(longest, time.thread_time() - used)
        await task
        slow.append(longest)

    async def asking(servers: Servers) -> None:
        for _ in range(5):
            answers = await asyncio.gather(
                servers.ask(target, [("SET", "x", "y" * 100_000)] * 10),
                servers.ask(RedisTarget(port=1), PING),
                servers.ask(RedisTarget(host="no-such-host.invalid"), PING),
            )
            assert all(isinstance(answer, Away) for answer in answers)
            clock.now += 60  # each is asked anew, and not only known to be away

    run(main, clock=clock, timeout=0.1)
    assert slow[0] < 0.05
