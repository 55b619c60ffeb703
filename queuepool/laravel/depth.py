"""How deep the queues in Redis are. The names of the keys are keys.py's matter, the connections servers.py's.

A small Lua script counts, so 200 queues cost one round trip and a few replies. It also reads the job at the head where
it lies: a job may be a megabyte, and what is wanted of it is a number. Workers need EVAL as well, so the login has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from queuepool.domain.queues import QueueDepth, QueueName
from queuepool.laravel.ages import Ages
from queuepool.laravel.away import Away
from queuepool.laravel.config import RETRY_AFTER
from queuepool.laravel.keys import QueueKeys, pause_keys, queue_keys
from queuepool.laravel.servers import Servers, server_of
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, reply_text

AT_ONCE = 16
"""Queues that one run of the script counts; Redis serves others between two runs. On a cluster it is one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One queue to be counted. laravel: version of the application, "" when not known. retry_after: of the queue
    connection; None: reserved jobs never come back. cache: where the default cache store is, when that is a Redis;
    cache_prefix: its prefix in config/cache.php. They tell whether the queue is paused."""

    name: QueueName
    target: RedisTarget
    laravel: str
    retry_after: int | None = RETRY_AFTER
    cache: RedisTarget | None = None
    cache_prefix: str = ""


class DepthReader:
    """Counts queues again and again; remembers what tells the age of jobs (see ages.py)."""

    def __init__(self, servers: Servers, *, clock: Callable[[], float] = time.time) -> None:
        """clock: unix time. It must be that of the workers' machine: by it, and not by the clock of Redis, they decide
        what is due."""
        self._servers = servers
        self._clock = clock
        self._watched: dict[Ask, _Watched] = {}

    async def read(self, asks: Sequence[Ask]) -> dict[QueueName, QueueDepth | Away]:
        """The depth of every queue, or why its server does not tell; one round trip to each server, all at once.

        Takes no longer than the timeout of `servers`. A queue whose cache store does not answer counts as not paused.
        """
        now = self._clock()
        self._watched = {ask: self._watched.get(ask) or _Watched(ask) for ask in asks}
        trips: dict[RedisTarget, _Trip] = {}

        def trip(server: RedisTarget) -> _Trip:
            return trips.get(server) or trips.setdefault(server, _Trip(server))

        for queue in self._watched.values():
            trip(queue.server).queues[queue.keys.ready] = queue.keys
            if queue.cache is not None:
                trip(queue.cache).looks.update(dict.fromkeys(queue.pauses))
        await asyncio.gather(*(each.go(self._servers, int(now)) for each in trips.values()))

        depths: dict[QueueName, QueueDepth | Away] = {}
        for ask, queue in self._watched.items():
            row = trips[queue.server].rows[queue.keys.ready]
            if isinstance(row, Away):
                depths[ask.name] = row
            else:
                paused = queue.cache is not None and not trips[queue.cache].found.isdisjoint(queue.pauses)
                depths[ask.name] = queue.depth(row, paused, now)
        return depths


class _Watched:
    """A queue, what is needed to ask for it, and what was seen of it before."""

    def __init__(self, ask: Ask) -> None:
        target, cache = ask.target, ask.cache
        self.server = server_of(target)
        self.keys = queue_keys(ask.name.queue, prefix=target.prefix, laravel=ask.laravel, cluster=target.cluster)
        self.cache = None if cache is None else server_of(cache)
        self.pauses: tuple[str, ...] = ()
        if cache is not None:
            self.pauses = pause_keys(ask.name, prefix=cache.prefix, cache_prefix=ask.cache_prefix, laravel=ask.laravel)
        self._returns = ask.retry_after is not None
        self._ages = Ages()

    def depth(self, row: list[Any], paused: bool, now: float) -> QueueDepth:
        ready, delayed, due, reserved, expired, *head = row
        oldest = self._oldest(head, now)
        return QueueDepth(ready, delayed, due, reserved, expired if self._returns else 0, oldest, paused)

    def _oldest(self, head: list[bytes], now: float) -> float | None:
        """Seconds since the job at the head came to wait there.

        The best source first: when it was created, plus its delay (Laravel 12.11 writes both); when it was seen to
        arrive; when Horizon pushed it, which may have been with a delay. A job that was tried before came back later
        than any time in it. Failing all, it waits at least since it was first seen at the head.
        """
        if not head:
            return self._ages.saw(None, None, now)
        mark, tail, created, pushed = (value.decode() for value in head)
        seen = self._ages.saw(mark, tail, now)
        if created:
            return max(0.0, now - float(created))
        if seen is not None:
            return seen
        if pushed:
            return max(0.0, now - float(pushed))
        return self._ages.at_least(now)


class _Trip:
    """All that is asked of one server in one go, and its answers."""

    def __init__(self, server: RedisTarget) -> None:
        self._server = server
        self.queues: dict[str, QueueKeys] = {}  # by the name of the ready list, which also names the row
        self.looks: dict[str, None] = {}  # keys that may be there
        self.rows: dict[str, list[Any] | Away] = {}
        self.found: set[str] = set()

    async def go(self, servers: Servers, now: int) -> None:
        cluster = self._server.cluster
        queues = list(_batches(list(self.queues), 1 if cluster else AT_ONCE))
        looks = list(_batches(list(self.looks), 1 if cluster else len(self.looks) or 1))
        commands = [self._counting(names, now, first=n == 0) for n, names in enumerate(queues)]
        commands += [("MGET", *names) for names in looks]
        replies = await servers.ask(self._server, commands)
        if isinstance(replies, Away):
            self.rows = dict.fromkeys(self.queues, replies)
            return
        for names, reply in zip(queues, replies[: len(queues)], strict=True):
            self._keep(names, reply)
        for names, reply in zip(looks, replies[len(queues) :], strict=True):
            if isinstance(reply, list):
                self.found |= {name for name, value in zip(names, reply, strict=True) if value is not None}

    def _counting(self, names: Sequence[str], now: int, *, first: bool) -> Command:
        keys = [key for name in names for key in self._three(self.queues[name])]
        # The first run brings the script, and the others find it there. The nodes of a cluster each need it.
        run = ("EVAL", COUNT) if first or self._server.cluster else ("EVALSHA", _COUNT_SHA)
        return (*run, len(keys), *keys, now)

    @staticmethod
    def _three(keys: QueueKeys) -> tuple[str, str, str]:
        return keys.ready, keys.delayed, keys.reserved

    def _keep(self, names: Sequence[str], reply: Any) -> None:
        for n, name in enumerate(names):
            row = reply[n] if isinstance(reply, list) else reply
            if isinstance(row, (list, Away)):
                self.rows[name] = row
            else:
                said = row.decode(errors="replace") if isinstance(row, bytes) else reply_text(row)
                self.rows[name] = Away.because(self._server, f"does not count {name}: {said}")


def _batches(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[n : n + size] for n in range(0, len(names), size))


COUNT = """
-- KEYS: ready, delayed and reserved of each queue. ARGV: the time. For each queue: five counts and, when a job is
-- ready, the marks of head and tail and when the head was created and pushed; or a text, when a key is something else.
local now, WHOLE, PART = ARGV[1], 16384, 2048
local failed

local function count(...)
  local n = redis.pcall(...)
  if type(n) == 'table' then failed = n.err return 0 end
  return n
end

-- Two jobs with the same mark are the same, waiting for the same time. Of a large one only both ends are looked at.
local function mark(job)
  if #job > WHOLE then job = #job .. job:sub(1, PART) .. job:sub(-PART) end
  return redis.sha1hex(job):sub(1, 20)
end

-- attempts, createdAt, delay, pushedAt. A large job is not parsed: Laravel writes these at its end.
local function facts(job)
  if #job > WHOLE then
    local part = job:sub(-PART)
    return part:match('"attempts":(%d+)'), part:match('"createdAt":(%d+)'), part:match('"delay":(%d+)'),
      part:match('"pushedAt":"?([%d.]+)')
  end
  local fine, all = pcall(cjson.decode, job)
  if not fine or type(all) ~= 'table' then return end
  return all.attempts, all.createdAt, all.delay, all.pushedAt
end

local function times(job)
  local attempts, created, delay, pushed = facts(job)
  created, pushed = tonumber(created), tonumber(pushed)
  if (tonumber(attempts) or 0) > 0 then return '', '' end
  return created and string.format('%.3f', created + math.max(tonumber(delay) or 0, 0)) or '',
    pushed and string.format('%.3f', pushed) or ''
end

local rows = {}
for i = 1, #KEYS, 3 do
  failed = nil
  local row = {
    count('LLEN', KEYS[i]),
    count('ZCARD', KEYS[i + 1]), count('ZCOUNT', KEYS[i + 1], '-inf', now),
    count('ZCARD', KEYS[i + 2]), count('ZCOUNT', KEYS[i + 2], '-inf', now)
  }
  if row[1] > 0 then
    local head = redis.call('LINDEX', KEYS[i], 0)
    row[6] = mark(head)
    row[7] = row[1] > 1 and mark(redis.call('LINDEX', KEYS[i], -1)) or row[6]
    row[8], row[9] = times(head)
  end
  rows[#rows + 1] = failed or row
end
return rows
"""
_COUNT_SHA = hashlib.sha1(COUNT.encode(), usedforsecurity=False).hexdigest()
