"""A job whose worker died goes back on its queue at once, instead of after retry_after. Whether it may is not decided
here: only when the process is gone for sure, and not for ever (see the counts in Requeued).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queuepool.laravel.away import Away
from queuepool.laravel.keys import queue_keys
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget


@dataclass(frozen=True, slots=True)
class Requeued:
    """What became of it. found: it was reserved, and is now the next to be taken; else nothing was changed: it was
    finished, failed or given back by its worker, or had come back by itself. job: class name. attempts: how often it
    was taken, this time included. max_tries: of the job itself; None where only `--tries` counts."""

    found: bool
    job: str | None = None
    attempts: int | None = None
    max_tries: int | None = None


async def requeue(
    servers: Servers, target: RedisTarget, *, queue: str, laravel: str, job_id: str, latest: float | None = None
) -> Requeued | Away:
    """Put the reserved job back at the head of its queue. job_id: `id` of its payload, as workers print it. latest: the
    highest score its reservation may have; one that is reserved until later was taken by somebody else meanwhile.

    The payload stays as it is, so the attempt is counted: a worker fails the job when it has no tries left. To do this
    twice does nothing the second time; after Away it may have been done. Jobs taken last are looked at first, and Redis
    is never kept for longer than some milliseconds, however many are reserved.
    """
    keys = queue_keys(queue, prefix=target.prefix, laravel=laravel, cluster=target.cluster)
    below: str | bytes | float = "+inf" if latest is None else latest
    while True:
        command = ("EVAL", REQUEUE, 3, keys.reserved, keys.ready, keys.notify, job_id, below, LOOKED_AT)
        replies = await servers.ask(target, [command])
        if isinstance(replies, Away):
            return replies
        reply = replies[0]
        if isinstance(reply, Exception):
            return Away.because(target, f"does not give a job back: {reply}")
        if len(reply) != 1:
            return _requeued(reply)
        below = reply[0]


def _requeued(reply: list[Any]) -> Requeued:
    if not reply:
        return Requeued(found=False)
    name, attempts, max_tries = (value.decode(errors="replace") for value in reply)
    return Requeued(
        found=True,
        job=name or None,
        attempts=int(attempts) if attempts else None,
        max_tries=int(max_tries) if max_tries else None,
    )


LOOKED_AT = 2000
"""Jobs that one run of the script looks at."""

REQUEUE = """
-- KEYS: reserved, ready, notify. ARGV: id, highest score to look at, jobs to look at. Nothing: there is no such job.
-- One value: not seen yet, go on at this score. Three: done; its name, attempts and maxTries.
local id, below, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local seen, lowest, highest = 0, nil, nil

local function is_it(job)
  if not job:find(id, 1, true) then return end
  local fine, all = pcall(cjson.decode, job)
  if fine and type(all) == 'table' and all.id == id then return all end
end

local function text(value, kind) return type(value) == kind and tostring(value) or '' end

while true do
  local some = redis.call('ZREVRANGEBYSCORE', KEYS[1], below, '-inf', 'WITHSCORES', 'LIMIT', seen, 100)
  if #some == 0 then return {} end
  highest = highest or some[2]
  for i = 1, #some, 2 do
    local found = is_it(some[i])
    if found then
      redis.call('ZREM', KEYS[1], some[i])
      redis.call('LPUSH', KEYS[2], some[i])
      redis.call('RPUSH', KEYS[3], 1)
      return {text(found.displayName, 'string'), text(found.attempts, 'number'), text(found.maxTries, 'number')}
    end
    lowest = some[i + 1]
  end
  seen = seen + #some / 2
  -- Jobs with one score must be seen in one run: there is no other way to say where the next one begins.
  if seen >= most and lowest ~= highest then return {lowest} end
end
"""
