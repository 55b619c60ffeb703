"""Where Laravel keeps a queue in Redis: the names of its keys, for Laravel 6 to 13. Nothing connects here.

Horizon changes none of these: its queue connector is the framework's, and its own prefix (`horizon.prefix`) is only for
what it knows about its workers (laravel/horizon `src/RedisQueue.php`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from queuepool.domain.queues import QueueName


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The four keys of a queue, with the prefix: the list of ready jobs, the sorted sets of delayed ones (score: when
    due) and of reserved ones (score: when reserved + retry_after), and the list that wakes waiting workers."""

    ready: str
    delayed: str
    reserved: str
    notify: str


def queue_keys(queue: str, *, prefix: str, laravel: str, cluster: bool) -> QueueKeys:
    """The keys of `queue`. prefix: of the Redis connection. laravel: the application's version, "" when not known.

    A cluster runs a script only on keys of one slot, so there the name needs a hash tag. Laravel 13.5 puts it in by
    itself where the name has none; before, people name the queue `{default}`. Where the version is not known, the tag
    is taken to be there: without it no queue works on a cluster.
    """
    tagged = cluster and not has_hash_tag(queue) and version_of(laravel, unknown=(13, 5)) >= (13, 5)
    ready = f"{prefix}queues:{{{queue}}}" if tagged else f"{prefix}queues:{queue}"
    return QueueKeys(ready, f"{ready}:delayed", f"{ready}:reserved", f"{ready}:notify")


def restart_key(*, prefix: str, cache_prefix: str, laravel: str) -> str:
    """Where `queue:restart` leaves its time. prefix: of the Redis connection of the cache store; cache_prefix: the one
    of config/cache.php."""
    return _cache_key("illuminate:queue:restart", prefix, cache_prefix, laravel)


def pause_keys(name: QueueName, *, prefix: str, cache_prefix: str, laravel: str) -> tuple[str, ...]:
    """The keys of which any one means that the queue is paused: by `queue:pause` (Laravel 12.40) or, with all others,
    by `queue:pause --all` (13.25). None for a Laravel that cannot pause."""
    version = version_of(laravel, unknown=(13, 25))
    keys = []
    if version >= (12, 40):
        keys.append(f"illuminate:queue:paused:{name.connection}:{name.queue}")
    if version >= (13, 25):
        keys.append("illuminate:queues:paused")
    return tuple(_cache_key(key, prefix, cache_prefix, laravel) for key in keys)


def _cache_key(key: str, prefix: str, cache_prefix: str, laravel: str) -> str:
    colon = ":" if cache_prefix and version_of(laravel, unknown=(13, 0)) < (11, 0) else ""
    return f"{prefix}{cache_prefix}{colon}{key}"


def has_hash_tag(key: str) -> bool:
    """Whether a cluster hashes only a part of this key: what stands in its first braces, unless that is nothing
    (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags)."""
    _, brace, rest = key.partition("{")
    return bool(brace) and rest.find("}") > 0


def version_of(text: str, *, unknown: tuple[int, int]) -> tuple[int, int]:
    """Major and minor of `13.5.0`, `v8.83.26` or `Laravel Framework 12.1`; `unknown` when there is no number in it."""
    found = re.search(r"(\d+)\.(\d+|x)", text)
    if found is None:
        return unknown
    return int(found[1]), 9999 if found[2] == "x" else int(found[2])
