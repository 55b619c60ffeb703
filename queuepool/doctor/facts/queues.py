"""Queues, what lies in them, and where failed jobs go. PURE. The Redis behind them is in redis.py, Horizon in
horizon.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.doctor.facts.horizon import HorizonFacts
from queuepool.doctor.facts.redis import ServerFacts
from queuepool.domain.queues import QueueName, QueueView


@dataclass(frozen=True, slots=True)
class Job:
    """The first job of one of a queue's three places: ready, delayed or reserved. job: its class. attempts: how often
    it was begun. max_tries, timeout, retry_until: what it says itself; None: nothing. id: its uuid where it has one.
    fits: whether the application has the file of its class; None: cannot be told."""

    place: str
    job: str = ""
    id: str = ""
    attempts: int = 0
    max_tries: int | None = None
    timeout: int | None = None
    retry_until: float | None = None
    fits: bool | None = None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue that programs work on. view: what it holds; rates, workers and busy are there when the daemon answers.
    programs: all that work on it. jobs: the first of each of its places, on Redis."""

    view: QueueView
    programs: tuple[str, ...] = ()
    jobs: tuple[Job, ...] = ()

    @property
    def name(self) -> QueueName:
        """Which one it is."""
        return QueueName(self.view.connection, self.view.queue, self.view.app)

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"queue {self.view.connection}:{self.view.queue}"


@dataclass(frozen=True, slots=True)
class StoredQueue:
    """A queue in a Redis that holds jobs, whoever works on it. prefix: before `queues:`. connections: those of the
    application at `app` that lead there, of which `connection` is the first; "": nobody's here. programs: those
    that use the same database. worked: whether somebody takes jobs from it: some are reserved now, or the head
    changed while we looked. job: at its head."""

    where: str
    db: int
    prefix: str
    queue: str
    connection: str = ""
    app: str = ""
    programs: tuple[str, ...] = ()
    ready: int = 0
    delayed: int = 0
    reserved: int = 0
    worked: bool = False
    job: Job | None = None
    connections: tuple[str, ...] = ()

    def reached_by(self, connection: str) -> bool:
        """Whether this queue connection of the application leads there."""
        return connection in (self.connection, *self.connections)


@dataclass(frozen=True, slots=True)
class FailedJobs:
    """The failed jobs of an application. driver: of the store. day, hour: how many in the last 24 hours and in the last
    hour; None: not known, and `why` says why. newest: class of the newest. queue: where it was. at: when, unix seconds.
    exception: its first line."""

    driver: str = ""
    why: str = ""
    day: int | None = None
    hour: int | None = None
    newest: str = ""
    queue: str = ""
    at: float | None = None
    exception: str = ""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the application at `app` says of its stores. databases: queue connection of the database driver -> driver
    and version of its database. read_timeouts: Redis connection -> seconds after which PHP gives up reading; absent or
    0: never. elastic: queue connections where a job that has a timeout is reserved for that long instead of
    retry_after (`expire_after_timeout`). horizon_lacks: options of queue:work without which horizon:work ends."""

    app: str
    programs: tuple[str, ...]
    failed: FailedJobs | None = None
    databases: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    read_timeouts: Mapping[str, float] = field(default_factory=dict)
    elastic: frozenset[str] = frozenset()
    horizon_lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueuesFacts:
    """queues: those that programs serve. served: what all programs of the file and every live Horizon work on. servers:
    every Redis that the applications use. stored: what those hold. daemon: whether one answered."""

    queues: tuple[QueueFacts, ...] = ()
    served: frozenset[QueueName] = frozenset()
    servers: tuple[ServerFacts, ...] = ()
    stored: tuple[StoredQueue, ...] = ()
    stores: tuple[StoreFacts, ...] = ()
    horizons: tuple[HorizonFacts, ...] = ()
    daemon: bool = False
