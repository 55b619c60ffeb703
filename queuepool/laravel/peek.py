"""Looks at the first jobs of queues in Redis, and for the queues that a Redis holds, whoever they belong to. Nothing is
taken. How many jobs there are is depth.py's matter."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from queuepool.laravel.away import Away
from queuepool.laravel.keys import QueueKeys
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget

MOST_ROUNDS = 200
KEYS_A_ROUND = 2000
SCAN_SECONDS = 1.0
"""A look through all keys stops after this; what was found by then is all that is told."""
MOST_QUEUES = 200

PLACES = ("ready", "delayed", "reserved")


@dataclass(frozen=True, slots=True)
class Peeked:
    """The first job of a place of a queue. place: ready, delayed or reserved. job: its class. Numbers are None where
    the job does not say."""

    place: str
    job: str
    id: str
    attempts: int
    max_tries: int | None
    timeout: int | None
    retry_until: float | None


@dataclass(frozen=True, slots=True)
class Peek:
    """A queue as it lies in Redis. expired: of the reserved ones. mark: differs when another job is at the head."""

    ready: int
    delayed: int
    reserved: int
    expired: int
    mark: str
    jobs: tuple[Peeked, ...]


async def peek(servers: Servers, target: RedisTarget, queues: Sequence[QueueKeys], now: float) -> list[Peek | None]:
    """Each queue in one round trip; None where it cannot be read: no such keys, keys of another kind, no permission, or
    Redis is away. now: unix seconds. Not for a cluster of which the keys lie on several nodes."""
    commands = [("EVAL", _PEEK, 3, keys.ready, keys.delayed, keys.reserved, int(now)) for keys in queues]
    replies = await servers.ask(target, commands) if commands else []
    if isinstance(replies, Away):
        return [None for _ in queues]
    return [_peek(reply) if isinstance(reply, list) and len(reply) == 8 else None for reply in replies]


def _peek(reply: list[object]) -> Peek:
    jobs = [_job(place, row) for place, row in zip(PLACES, reply[5:], strict=True) if isinstance(row, list)]
    ready, delayed, reserved, expired = (value if isinstance(value, int) else 0 for value in reply[:4])
    return Peek(ready, delayed, reserved, expired, _text(reply[4]), tuple(jobs))


def _job(place: str, row: Sequence[object]) -> Peeked:
    job, uuid, attempts, tries, timeout, until = (*map(_text, row), *[""] * 6)[:6]
    return Peeked(place, job, uuid, int(_number(attempts) or 0), _whole(tries), _whole(timeout), _number(until))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace")[:500] if isinstance(value, bytes) else ""


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d+)?", text) else None


def _whole(text: str) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


@dataclass(frozen=True, slots=True)
class Lying:
    """A queue that lies in a database: what stands before `queues:`, and its name."""

    prefix: str
    queue: str


async def lying(servers: Servers, target: RedisTarget, prefixes: Sequence[str]) -> list[Lying]:
    """Every queue in the database of `target`, by name, as far as a second of SCAN goes; none on a cluster. prefixes:
    those that are known; a key that begins with none of them is taken apart at the first `queues:`."""
    if target.cluster or target.sharded:
        return []
    cursor: object = b"0"
    found: dict[Lying, None] = {}
    until = time.monotonic() + SCAN_SECONDS
    for _ in range(MOST_ROUNDS):
        word = cursor if isinstance(cursor, bytes) else str(cursor)
        replies = await servers.ask(target, [("SCAN", word, "MATCH", "*queues:*", "COUNT", KEYS_A_ROUND)])
        if isinstance(replies, Away) or not isinstance(replies[0], list):
            break
        cursor, keys = replies[0]
        for key in keys:
            if one := taken_apart(key.decode("utf-8", "replace"), prefixes):
                found[one] = None
        if cursor in (b"0", 0, "0") or len(found) >= MOST_QUEUES or time.monotonic() > until:
            break
        await asyncio.sleep(0)  # others may ask meanwhile
    return sorted(found, key=lambda one: (one.prefix, one.queue))[:MOST_QUEUES]


def taken_apart(key: str, prefixes: Sequence[str]) -> Lying | None:
    """The queue whose jobs are kept under a key; None for a key that is no queue's."""
    known = max((p for p in prefixes if key.startswith(f"{p}queues:")), key=len, default=None)
    prefix = key.partition("queues:")[0] if known is None else known
    rest = key[len(prefix) :]
    if not rest.startswith("queues:"):
        return None
    queue = re.sub(r":(delayed|reserved|notify)\Z", "", rest.removeprefix("queues:"))
    return Lying(prefix, queue) if queue and not prefix.endswith("illuminate:") else None


_PEEK = """
-- KEYS: ready, delayed, reserved. ARGV: the time. Four counts, a mark of the head, and of the first job of each: class,
-- uuid or id, attempts, maxTries, timeout, retryUntil, "" for what it does not say. Laravel writes what we want of a
-- large job at its beginning and its end, around its data.
local WHOLE, PART = 16384, 2048

local function text(value)
  if value == nil or value == cjson.null or type(value) == 'table' then return '' end
  return tostring(value)
end

local function facts(job)
  if not job then return false end
  if #job > WHOLE then
    local head, tail = job:sub(1, PART), job:sub(-PART)
    local function of(part, name)
      return part:match('"' .. name .. '":"(.-)"') or part:match('"' .. name .. '":([%d.]+)') or ''
    end
    return {(of(head, 'displayName'):gsub('\\\\\\\\', '\\\\')), of(head, 'uuid'), of(tail, 'attempts'),
      of(head, 'maxTries'), of(head, 'timeout'), of(head, 'retryUntil')}
  end
  local fine, all = pcall(cjson.decode, job)
  if not fine or type(all) ~= 'table' then return {'', '', '', '', '', ''} end
  local id = text(all.uuid)
  return {text(all.displayName), id ~= '' and id or text(all.id), text(all.attempts), text(all.maxTries),
    text(all.timeout), text(all.retryUntil)}
end

local head = redis.call('LINDEX', KEYS[1], 0)
return {redis.call('LLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3]),
  redis.call('ZCOUNT', KEYS[3], '-inf', ARGV[1]), head and redis.sha1hex(head) or '', facts(head),
  facts(redis.call('ZRANGE', KEYS[2], 0, 0)[1]), facts(redis.call('ZRANGE', KEYS[3], 0, 0)[1])}
"""
