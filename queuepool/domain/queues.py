"""What is seen of queues and of the Redis servers behind them. How they are read is laravel/depth.py's and
laravel/health.py's matter, what workers do with the jobs work.py's.

Words are Laravel's: a ready job may be taken now; a delayed one waits for its time, and is due once that has come,
though no worker has moved it yet; a reserved one is being worked on, and is expired once its retry_after is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from queuepool.domain.flow import Rates


@dataclass(frozen=True, slots=True, order=True)
class QueueName:
    """One queue of one queue connection of config/queue.php. app: the Laravel root it belongs to, where that matters:
    two applications may give different queues the same name."""

    connection: str
    queue: str
    app: str = ""

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
class QueueView:
    """One queue as `queuepool queues --json` prints it: fields may be added, never renamed.

    driver: of its connection. ready to expired, oldest: see QueueDepth; None when it could not be asked, and `why` says
    why, in words. rate_in, rate_done: jobs per second over the last minute; None: cannot be told yet, or at all.
    failed: jobs that failed for good since the daemon began. workers, busy: processes that serve it, and how many of
    them are at work, on a job of whatever queue; None: nobody knows (no daemon runs). wait: seconds until a job pushed
    now would begin, as far as can be told. programs: those that serve it. app: the Laravel root it belongs to.
    """

    connection: str
    queue: str
    driver: str = ""
    ready: int | None = None
    delayed: int | None = None
    due: int | None = None
    reserved: int | None = None
    expired: int | None = None
    oldest: float | None = None
    rate_in: float | None = None
    rate_done: float | None = None
    failed: int | None = None
    workers: int | None = None
    busy: int | None = None
    wait: float | None = None
    paused: bool = False
    estimated: bool = False
    why: str = ""
    programs: tuple[str, ...] = ()
    app: str = ""


def expected_wait(backlog: int, workers: int, busy: int, seconds: float | None) -> float | None:
    """Seconds until a job that is pushed now begins: 0 while somebody is free, else the time that the workers need for
    what is before it. seconds: mean time of a job. None when nobody works there, or no job was timed yet."""
    if not backlog and busy < workers:
        return 0.0
    if workers < 1 or seconds is None:
        return None
    return (backlog + 1) * seconds / workers


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a Redis that loses, stops or delays jobs. kind: which of the things that laravel/health.py looks
    for: replica, saving, full, eviction, volatile, nearly_full, persistence, clients, rejected, blocked, latency,
    clock, or node for a node of a cluster that is away. text: a sentence about the server, with its numbers."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class RedisHealth:
    """One Redis server, as its own INFO has it. where: its address. why: why it cannot serve workers, in words; "" when
    it can. latency: seconds of a PING. Sizes are bytes, maxmemory 0 is no limit. persistence: aof, rdb, both or none.
    saved: whether the last saving to disk went well. clock_skew: seconds that its clock is ahead of ours. writable: new
    jobs are taken; not so when memory is full, saving fails, or it is a replica. concerns: what loses or stops jobs,
    such as an eviction policy, the worst first. uses: what the application uses it for: `queue redis`, `cache`,
    `horizon`."""

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
    concerns: tuple[Concern, ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The concerns as sentences."""
        return tuple(concern.text for concern in self.concerns)

    def to_json(self) -> dict[str, Any]:
        """The object of `queuepool redis --json`: fields may be added, never renamed."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @property
    def up(self) -> bool:
        """Whether it can serve workers."""
        return not self.why


@dataclass(frozen=True, slots=True)
class Serving:
    """What one program does for its queues. queues: the most urgent first. workers: processes that take jobs. busy: how
    many of them are at work. seconds: mean time of its jobs. finished, failed: jobs that left each queue, and those of
    them that failed for good; absent: cannot be told."""

    program: str
    queues: tuple[QueueName, ...]
    workers: int = 0
    busy: int = 0
    seconds: float | None = None
    finished: Mapping[QueueName, int] = field(default_factory=dict)
    failed: Mapping[QueueName, int] = field(default_factory=dict)


def queue_view(
    name: QueueName,
    driver: str,
    reading: QueueDepth | str | None,
    rates: Rates,
    servings: Sequence[Serving],
    backlogs: Mapping[QueueName, int],
) -> QueueView:
    """One queue as screens show it. reading: what it holds, or why that is not known; None: not asked yet. servings: of
    the programs that serve it; empty: nobody knows. backlogs: of every queue that was read, for what is more urgent."""
    known = reading if isinstance(reading, QueueDepth) else None
    workers = sum(one.workers for one in servings)
    busy = min(workers, sum(one.busy for one in servings))
    timed = [one.seconds for one in servings if one.seconds is not None]
    before = {other for one in servings if name in one.queues for other in one.queues[: one.queues.index(name)]}
    ahead = sum(backlogs.get(other, 0) for other in before) + (known.backlog if known else 0)
    wait = expected_wait(ahead, workers, busy, max(timed, default=None)) if known else None
    failed = [one.failed[name] for one in servings if name in one.failed]
    return QueueView(
        connection=name.connection,
        queue=name.queue,
        driver=driver,
        ready=known.ready if known else None,
        delayed=known.delayed if known else None,
        due=known.due if known else None,
        reserved=known.reserved if known else None,
        expired=known.expired if known else None,
        oldest=known.oldest if known else None,
        rate_in=rates.came,
        rate_done=rates.done,
        failed=sum(failed) if failed else None,
        workers=workers if servings else None,
        busy=busy if servings else None,
        wait=None if known is not None and known.paused else wait,
        paused=known.paused if known else False,
        estimated=known.estimated if known else False,
        why=reading if isinstance(reading, str) else "" if reading else "not asked yet",
        programs=tuple(one.program for one in servings),
        app=name.app,
    )
