"""Whether a Redis answers. Asked when a worker has died, to tell an outage from a crash; depth and health are not here.

PING is spoken by hand, some thirty lines, because this runs inside the daemon's loop: importing redis.asyncio there
would stop everything for 100 ms and cost 10 MB, just when workers are dying.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace

from queuepool.laravel.away import CLOSES, UNFIT, Away, of_system
from queuepool.laravel.target import RedisTarget


async def ping(target: RedisTarget, timeout: float = 1.0) -> str | None:  # noqa: ASYNC109 - part of the answer's text
    """None when Redis can serve workers, else why not, in a few words: `redis at 127.0.0.1:6379 refuses connections`.

    timeout: seconds for everything. An answer that refuses us (NOAUTH, WRONGPASS, NOPERM, a certificate that we do not
    trust) counts as up: there is no outage to wait for, and the worker's own error says what is wrong. A cluster is up
    while one of its nodes is, a master that sentinels know while one of those is. Connections are closed before this
    returns, in every case.
    """
    if not target.cluster and target.sentinel is None:
        return await _ping(target, timeout)
    nodes = ((target.host, target.port), *target.nodes) if target.cluster else target.nodes
    if target.sentinel is not None:
        target = replace(target, db=0, username=target.sentinel_username, password=target.sentinel_password)
    whys = await asyncio.gather(*(_ping(replace(target, host=host, port=port), timeout) for host, port in nodes))
    return None if None in whys else next(iter(whys), None)


async def _ping(target: RedisTarget, timeout: float) -> str | None:  # noqa: ASYNC109
    try:
        async with asyncio.timeout(timeout):
            answer = await _ask(target)
    except TimeoutError:
        return Away.because(target, f"does not answer within {timeout:g} s").why
    except ssl.SSLCertVerificationError:
        return None
    except OSError as error:
        return Away.because(target, of_system(error)).why
    if not answer:
        return Away.because(target, CLOSES).why
    reply = answer.decode(errors="replace").removeprefix("-")
    words = next((words for code, words in UNFIT.items() if reply.startswith(code)), None)
    return None if words is None else Away.because(target, words).why


async def _ask(target: RedisTarget) -> bytes:
    """The reply to PING, after AUTH where there is a password: without it NOAUTH would hide LOADING."""
    reader, writer = await _connect(target)
    try:
        requests = [(b"PING",)]
        if target.password is not None:
            names = (target.username.encode(),) if target.username else ()
            requests.insert(0, (b"AUTH", *names, target.password.encode(errors="surrogateescape")))
        writer.write(b"".join(_encode(request) for request in requests))
        reply = b""
        for _ in requests:
            reply = await reader.readline()
        return reply
    except (ConnectionResetError, BrokenPipeError, ValueError):
        return b""  # ended while we asked; or what answers is no Redis at all
    finally:
        writer.transport.abort()  # not close(): that would wait for a frozen peer to read
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(target: RedisTarget) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.path is not None:
        return await asyncio.open_unix_connection(target.path)
    context = await asyncio.to_thread(_tls, target) if target.tls else None  # reads many certificates
    return await asyncio.open_connection(target.host, target.port, ssl=context)


def _tls(target: RedisTarget) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.tls_ca)
    if not target.tls_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if target.tls_cert:
        context.load_cert_chain(target.tls_cert, target.tls_key)
    return context


def _encode(words: tuple[bytes, ...]) -> bytes:
    """A request in Redis' own protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
