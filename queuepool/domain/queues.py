"""What is seen of queues and of the Redis servers behind them. How they are read is laravel/depth.py's and
laravel/health.py's matter, what workers do with the jobs work.py's.

Words are Laravel's: a ready job may be taken now; a delayed one waits for its time, and is due once that has come,
though no worker has moved it yet; a reserved one is being worked on, and is expired once its retry_after is over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class QueueName:
    """One queue of one queue connection of config/queue.php."""

    connection: str
    queue: str

    def __str__(self) -> str:
        return f"{self.connection}:{self.queue}"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many jobs a queue holds. delayed: all that are not ready, the due ones included. reserved: all that were
    taken, the expired ones included. oldest: seconds that the ready job at the head waits, at least; None when
    there is none, or it cannot be told. paused: `queue:pause` is in force (Laravel 12.40). estimated: the driver knows
    its counts only roughly (SQS)."""

    ready: int = 0
    delayed: int = 0
    due: int = 0
    reserved: int = 0
    expired: int = 0
    oldest: float | None = None
    paused: bool = False
    estimated: bool = False

    @property
    def backlog(self) -> int:
        """Jobs that a free worker would take now: the due and expired ones become ready when it looks."""
        return self.ready + self.due + self.expired


@dataclass(frozen=True, slots=True)
class RedisHealth:
    """One Redis server, as its own INFO has it. where: its address. why: why it cannot serve workers, in words; "" when
    it can. latency: seconds of a PING. Sizes are bytes, maxmemory 0 is no limit. persistence: aof, rdb, both or none.
    saved: whether the last saving to disk went well. clock_skew: seconds that its clock is ahead of ours. writable: new
    jobs are taken; not so when memory is full, saving fails, or it is a replica. warnings: sentences about what loses
    or stops jobs, such as an eviction policy, the worst first."""

    where: str
    why: str = ""
    latency: float | None = None
    version: str | None = None
    role: str | None = None
    loading: bool = False
    used_memory: int | None = None
    maxmemory: int | None = None
    policy: str | None = None
    persistence: str | None = None
    saved: bool | None = None
    clients: int | None = None
    maxclients: int | None = None
    blocked_clients: int | None = None
    rejected_connections: int | None = None
    evicted_keys: int | None = None
    clock_skew: float | None = None
    writable: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        """Whether it can serve workers."""
        return not self.why
