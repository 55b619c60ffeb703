"""A real Redis behind a real application, in each state that loses, stops or delays jobs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from tests.support.installation import Break, Installation
from tests.support.laravel import PHP, LaravelApp
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor

PASSWORD = "s3cret-and-never-shown"
SERVERS: list[socket.socket] = []
"""What a break stands in the place of Redis."""


@pytest.fixture(autouse=True)
def _end_servers() -> Iterator[None]:
    yield
    while SERVERS:
        server = SERVERS.pop()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def no_such_host(it: Installation) -> None:
    it.app.set_env(REDIS_HOST="redis.invalid")


def host_again(it: Installation) -> None:
    it.app.set_env(REDIS_HOST="127.0.0.1")


def a_port_of_another_protocol(it: Installation) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    SERVERS.append(server)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                with server.accept()[0] as client:
                    client.recv(100)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    it.app.set_env(REDIS_PORT=str(server.getsockname()[1]))


def want_a_password(it: Installation) -> None:
    it.redis.client.config_set("requirepass", PASSWORD)


def know_the_password(it: Installation) -> None:
    it.app.set_env(REDIS_PASSWORD=PASSWORD)


def know_another_password(it: Installation) -> None:
    want_a_password(it)
    it.app.set_env(REDIS_PASSWORD="wr0ng")


def no_such_database(it: Installation) -> None:
    it.app.set_env(REDIS_DB="99")


def load_for_long(it: Installation) -> None:
    with it.redis.client.pipeline() as pipeline:
        for n in range(20_000):
            pipeline.set(f"key{n}", n)
        pipeline.execute()
    it.redis.client.bgrewriteaof()  # one file in the form of a snapshot, between whose parts Redis answers
    eventually(lambda: not _rewriting(it), what="it is rewritten")
    it.redis.stop()
    it.redis.options += ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    it.redis.start(loading=True)


def _rewriting(it: Installation) -> bool:
    state = it.redis.client.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def load_at_once(it: Installation) -> None:
    it.redis.client.config_set("key-load-delay", 0)

    def loaded() -> bool:
        with contextlib.suppress(RedisError):
            return bool(it.redis.client.ping())
        return False

    eventually(loaded, what="it has loaded")


def fill(client: Redis, count: int, size: int = 100_000) -> None:
    with contextlib.suppress(OutOfMemoryError):
        for n in range(count):
            client.set(f"key{n}", "x" * size)


def nearly_fill(it: Installation) -> None:
    fill(it.redis.client, 300)
    it.redis.client.config_set("maxmemory", int(it.redis.client.info("memory")["used_memory"] / 0.95))


def evict(it: Installation) -> None:
    it.redis.client.config_set("maxmemory-policy", "allkeys-lru")
    fill(it.redis.client, 100)


def keep(policy: str, it: Installation) -> None:
    it.redis.client.config_set("maxmemory", "100mb")
    it.redis.client.config_set("maxmemory-policy", policy)


def do_not_evict(it: Installation) -> None:
    it.redis.client.config_set("maxmemory-policy", "noeviction")


def fail_to_save(it: Installation) -> None:
    it.redis.client.config_set("save", "3600 1")
    it.redis.client.set("key", 1)
    it.redis.client.config_set("dbfilename", "x" * 300)  # longer than a file's name may be
    it.redis.client.bgsave()
    eventually(lambda: it.redis.client.info("persistence")["rdb_last_bgsave_status"] == "err", what="it failed")


def save_again(it: Installation) -> None:
    it.redis.client.config_set("dbfilename", "dump.rdb")
    it.redis.client.bgsave()
    eventually(lambda: it.redis.client.info("persistence")["rdb_last_bgsave_status"] == "ok", what="it saved")


def turn_clients_away(it: Installation) -> None:
    it.redis.client.config_set("maxclients", 6)
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", it.redis.port)))

        def away() -> bool:
            return int(it.redis.client.info("stats")["rejected_connections"]) > 0

        eventually(away, what="some are turned away")
    eventually(lambda: int(it.redis.client.info("clients")["connected_clients"]) < 3, what="they are gone")


def far_away(it: Installation) -> None:
    """Each answer takes 30 ms, as from another continent."""
    proxy = socket.create_server(("127.0.0.1", 0))
    SERVERS.append(proxy)

    def carry(source: socket.socket, target: socket.socket, pause: float) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                time.sleep(pause)
                target.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = proxy.accept()[0]
                server = socket.create_connection(("127.0.0.1", it.redis.port))
                for ends in ((client, server, 0.03), (server, client, 0.0)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    it.app.set_env(REDIS_PORT=str(proxy.getsockname()[1]))


def allow_too_little(it: Installation) -> None:
    it.redis.client.execute_command("ACL", "SETUSER", "worker", "on", ">w0rk", "~*", "+@all", "-eval", "-blpop")
    it.app.set_env(REDIS_USERNAME="worker", REDIS_PASSWORD="w0rk")


def change_the_prefix(it: Installation) -> None:
    it.app.dispatch("quick", 3)
    it.app.set_env(REDIS_PREFIX="renamed_")


def work_under_the_old_prefix(it: Installation) -> None:
    it.app.set_env(REDIS_PREFIX=it.app.prefix)
    it.app.artisan("queue:work", "--queue=default", "--stop-when-empty", "--sleep=0")
    it.app.set_env(REDIS_PREFIX="renamed_")
    it.own()


def a_second_application(it: Installation) -> None:
    other = LaravelApp(it.root / "other", it.redis, APP_ENV="production", APP_DEBUG="false")
    if it.user == "www-data":
        subprocess.run(["chown", "-R", f"{it.user}:", str(other.root)], check=True)
    (other.root / ".env").chmod(0o640)
    (it.qp.directory / "other.yml").write_text(
        f"app: {other.root}\nuser: {it.user}\nphp: [{', '.join(PHP)}]\nprograms: {{other: {{}}}}\n"
    )
    it.top["include"] = ["other.yml"]
    it.write()


def its_own_prefix(it: Installation) -> None:
    LaravelApp.set_env(_at(it), REDIS_PREFIX="other_")


def _at(it: Installation) -> LaravelApp:
    other = object.__new__(LaravelApp)
    other.root = it.root / "other"
    return other


BREAKS = [
    Break(
        "redis.answers", lambda it: it.redis.stop(), "refuses connections", name="stopped",
        mended=lambda it: it.redis.start(),
    ),
    Break(
        "redis.answers", lambda it: it.redis.freeze(), "does not answer within 1 s", name="frozen",
        mended=lambda it: it.redis.thaw(),
    ),
    Break("redis.answers", no_such_host, "redis.invalid.* cannot be found", name="no host", mended=host_again),
    Break("redis.answers", a_port_of_another_protocol, "is no Redis", name="wrong port"),
    Break("redis.auth", want_a_password, "wants a password.*\n.*NOAUTH", name="none", mended=know_the_password),
    Break("redis.auth", know_another_password, "WRONGPASS", name="wrong", mended=know_the_password),
    Break("redis.auth", know_the_password, "has no password, but one is configured", name="needless"),
    Break("redis.database", no_such_database, "SELECT 99", mended=lambda it: it.app.set_env(REDIS_DB="0")),
    Break("redis.loading", load_for_long, "is loading its data", mended=load_at_once),
    Break(
        "redis.replica", lambda it: it.redis.client.replicaof("127.0.0.1", 1), "role:slave",
        mended=lambda it: it.redis.client.replicaof("NO", "ONE"),
    ),
    Break(
        "redis.full", lambda it: fill(it.redis.client, 100), "used_memory.*maxmemory:5242880",
        redis=("--maxmemory", "5mb"), mended=lambda it: it.redis.client.config_set("maxmemory", "500mb"),
    ),
    Break(
        "redis.nearly_full", nearly_fill, "used_memory", "warning",
        mended=lambda it: it.redis.client.config_set("maxmemory", "500mb"),
    ),
    Break("redis.eviction", lambda it: keep("allkeys-lru", it), "allkeys-lru", "warning", mended=do_not_evict),
    Break(
        "redis.eviction", evict, r"evicted_keys:[1-9]", redis=("--maxmemory", "5mb"), name="happened",
    ),
    Break("redis.volatile", lambda it: keep("volatile-lru", it), "volatile-lru", "warning", mended=do_not_evict),
    Break(
        "redis.persistence", lambda it: it.redis.client.config_set("appendonly", "no"), "aof_enabled:0", "warning",
        mended=lambda it: it.redis.client.config_set("appendonly", "yes"),
    ),
    Break(
        "redis.saving", fail_to_save, "rdb_last_bgsave_status", redis=("--enable-protected-configs", "yes"),
        mended=save_again,
    ),
    Break(
        "redis.clients", lambda it: it.program(numprocs=8), "maxclients:7.*\nw: numprocs 8", "warning",
        redis=("--maxclients", "7"), mended=lambda it: it.redis.client.config_set("maxclients", 10_000),
    ),
    Break(
        "redis.rejected", turn_clients_away, r"rejected_connections:[1-9].*maxclients:6", "warning",
        mended=lambda it: it.redis.client.config_resetstat(),
    ),
    Break("redis.latency", far_away, r"30 PINGs: fastest [3-9]\d\.\d ms", "warning"),
    Break("redis.acl", allow_too_little, "EVAL: NOPERM"),
    Break(
        "redis.other_prefix", change_the_prefix, r"queues:default in database 0: 3 ready.*App.Jobs.Quick", "warning",
        mended=work_under_the_old_prefix,
    ),
    Break("redis.shared_prefix", a_second_application, "both use test_.*queues:default", mended=its_own_prefix),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_redis_is_found(broken: Break) -> None:
    broken.prove()


def test_no_password_is_ever_shown() -> None:
    with Installation() as it:
        want_a_password(it)
        it.app.set_env(REDIS_PASSWORD="wr0ng-and-never-shown")
        done = it.qp.try_("doctor")
        assert "does not accept the password" in done.stdout
        assert "never-shown" not in done.stdout + done.stderr + str(it.look())


def test_a_redis_that_only_has_a_cache_may_drop_what_it_likes() -> None:
    with Installation() as it, cache_server() as cache:
        it.app.set_env(CACHE_STORE="redis", CACHE_DRIVER="redis")
        file = it.app.root / "config/database.php"
        head, here, tail = file.read_text().partition("'cache' => [")
        file.write_text(head + here + tail.replace("env('REDIS_PORT', '6379')", f"'{cache}'"))
        assert it.look()["findings"] == []


@contextlib.contextmanager
def cache_server() -> Iterator[int]:
    """The port of a server that keeps nothing and drops all."""
    from tests.support.redis import RedisServer

    with RedisServer("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as server:
        yield server.port
