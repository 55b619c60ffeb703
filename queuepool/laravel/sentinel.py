"""Sentinels: where the master of a name is now (https://redis.io/docs/latest/develop/reference/sentinel-clients/)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from queuepool.laravel.away import Away, in_words
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Unusable, Wire, errors, reply_text, words_of


async def master_of(target: RedisTarget, timeout: float) -> RedisTarget:  # noqa: ASYNC109 - shared out among the sentinels
    """The target with the address that the first sentinel to know the master names; Unusable, with what the last one
    said, when none does. timeout: seconds; some of them are left for asking the master."""
    nodes = target.nodes or ((target.host, target.port),)
    user, password = target.sentinel_username, target.sentinel_password
    login = replace(target, db=0, path=None, username=user, password=password, sentinel=None, nodes=())
    away = Away.because(target, "has no sentinel")
    for host, port in nodes:
        sentinel = replace(login, host=host, port=port)
        reply = await _ask(sentinel, str(target.sentinel), timeout / (len(nodes) + 1))
        if isinstance(reply, tuple):
            return replace(target, host=reply[0], port=reply[1], sentinel=None, nodes=())
        away = Away(sentinel.where, f"sentinel at {sentinel.where} {reply}")
    raise Unusable(away)


async def _ask(sentinel: RedisTarget, name: str, limit: float) -> tuple[str, int] | str:
    """The master's host and port, or why they are not known."""
    wire = Wire(sentinel)
    try:
        async with asyncio.timeout(limit):
            await wire.open()
            [reply] = await wire.exchange([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)])
    except TimeoutError:
        return f"does not answer within {limit:.2g} s"
    except errors() as error:
        return words_of(error)
    finally:
        wire.abort()
    if isinstance(reply, Exception):
        return in_words(reply_text(reply)) or f"says: {reply_text(reply)}"
    return f"knows no master called {name}" if reply is None else (reply[0].decode(), int(reply[1]))
