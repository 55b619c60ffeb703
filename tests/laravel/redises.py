"""Redis servers of special kinds for tests: with TLS, clusters, sentinels, and one that loads for long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError

from queuepool.laravel.servers import Servers
from tests.support.ports import free_port
from tests.support.redis import RedisServer, _die_with_parent
from tests.support.wait import eventually


@contextlib.contextmanager
def tls_server(directory: Path) -> Iterator[tuple[RedisServer, int, str]]:
    """A server, its TLS port, and the file of the authority that signed its certificate (for 127.0.0.1)."""
    ca, key, request, certificate = (str(directory / name) for name in ("ca.pem", "key.pem", "request.pem", "cert.pem"))
    names = directory / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    quick = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *quick, "-keyout", key + ".ca", "-out", ca, "-subj", "/CN=queuepool test", "-days", "2"],
        ["req", "-new", *quick, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", key + ".ca", "-CAcreateserial", "-days", "2",
         "-out", certificate, "-extfile", str(names)],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
    with RedisServer(*options, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no", password="s3cret") as server:
        yield server, port, ca


@contextlib.contextmanager
def cluster(size: int = 2) -> Iterator[list[RedisServer]]:
    """A cluster of masters that share the slots evenly."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(size):
            options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
            options += ["--cluster-require-full-coverage", "no", "--cluster-node-timeout", "60000"]
            nodes.append(stack.enter_context(RedisServer(*options)))
        share = 16384 // size
        for n, node in enumerate(nodes):
            last = 16383 if n == size - 1 else share * (n + 1) - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", share * n, last)
            bus = int(node.options[3])
            nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            eventually(lambda node=node: _knows_all(node), what="the cluster is complete")
        yield nodes


def _knows_all(node: RedisServer) -> bool:
    info = str(node.client.execute_command("CLUSTER", "INFO"))
    return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info


@contextlib.contextmanager
def replica_of(master: RedisServer) -> Iterator[RedisServer]:
    """A server that follows `master`."""
    master.client.config_set("repl-diskless-sync-delay", 0)  # it waits 5 s for others that may want the same
    with RedisServer() as server:
        server.client.replicaof("127.0.0.1", master.port)
        eventually(lambda: server.client.info("replication")["master_link_status"] == "up", what="the replica follows")
        yield server


@contextlib.contextmanager
def sentinel(master: RedisServer, name: str, password: str | None = None) -> Iterator[Redis]:
    """A sentinel that watches `master`; a connection to it."""
    with tempfile.TemporaryDirectory(prefix="qp-sentinel-") as directory:
        port = free_port()
        file = Path(directory) / "sentinel.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
        ]
        lines += [f"requirepass {password}"] if password else []
        file.write_text("\n".join(lines) + "\n")
        process = subprocess.Popen(
            ["redis-server", str(file), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        client = Redis(port=port, password=password, decode_responses=True, protocol=2, socket_timeout=5)
        try:
            eventually(lambda: _answers(client), what="the sentinel answers")
            yield client
        finally:
            client.close()
            process.kill()
            process.wait()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except ConnectionError:
        return False


@contextlib.contextmanager
def loading_server(password: str | None = None) -> Iterator[RedisServer]:
    """A server that loads its data until its `key-load-delay` is set to 0: microseconds per key, made for tests."""
    with RedisServer(password=password) as server:
        pipeline = server.client.pipeline()
        for n in range(20_000):
            pipeline.set(f"key{n}", n)
        pipeline.execute()
        server.client.save()
        server.stop()
        slowly = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
        server.options = (*server.options, *slowly)
        server.start(loading=True)
        yield server


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def run(main: Callable[[Servers], Awaitable[Any]], timeout: float = 10.0) -> Any:
    """What `main` returns, given Servers that are closed afterwards."""

    async def all_of_it() -> Any:
        servers = Servers(timeout=timeout)
        try:
            return await main(servers)
        finally:
            await servers.close()

    return asyncio.run(all_of_it())
