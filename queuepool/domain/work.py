"""What workers say of their jobs, and the statistics of it: counts, runtimes, rates, per program, queue and job class.
How the lines of a worker are read is laravel/output.py's matter; which life works on what now, engines/board.py's."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from queuepool.domain.histogram import Histogram

LARGEST_COUNT = 200
"""Job classes, and queues, that are told apart in one program; what comes after those is counted as OTHER."""
OTHER = "other"
WINDOW_SECONDS = 60
MEMORY = 4096
"""Runtimes after which all of them count half, so that the statistics follow what happens now."""

BOUNDS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0
)  # fmt: skip
"""Of the runtimes that /metrics shows."""

_STEPS = 4  # buckets per doubling of a runtime: a quantile is right to 9 %
_SHORTEST = 1e-4
_BUCKETS = _STEPS * 34  # up to 20 days


class What(StrEnum):
    """What a line of a worker tells. FAILED: an attempt failed, for good unless the line can tell (JSON and colours
    can): then it is RELEASED, and tried again. PAUSED, RESUMED: a queue, by queue:pause. STOPPED: the worker ends."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a worker, understood; None where it does not say.

    job: the class, or the job's displayName; "" when the line came without its beginning. seconds: runtime. stamp: in
    unix seconds where `zoned`, else as if the worker's own time zone were UTC; see `moment`. attempts: of this job,
    with this one.
    """

    what: What
    job: str = ""
    id: str | None = None
    uuid: str | None = None
    connection: str | None = None
    queue: str | None = None
    seconds: float | None = None
    stamp: float | None = None
    zoned: bool = False
    attempts: int | None = None


def moment(said: Said, now: float) -> float:
    """When it was said, in unix seconds. now: when it was read, which is the answer for a line that is read at once.

    A time without zone is taken to be of the zone, in quarters of an hour, that brings it next to `now`: right for what
    waited for a daemon up to seven minutes.
    """
    if said.stamp is None:
        return now
    at = said.stamp if said.zoned else said.stamp + round((now - said.stamp) / 900) * 900
    return now if abs(now - at) < 2 else min(at, now)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that a worker has begun. class_name: "" where unknown. since: unix seconds."""

    class_name: str
    id: str | None
    queue: str | None
    connection: str | None
    since: float
    attempts: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As ProcessView.job shows it."""
        return {
            "id": self.id,
            "class": self.class_name or None,
            "queue": self.queue,
            "connection": self.connection,
            "since": round(self.since, 3),
            "attempts": self.attempts,
        }


@dataclass(frozen=True, slots=True)
class RuntimeView:
    """Runtimes in seconds, of the last some thousand jobs. count: how many weigh in. cv2: variance by squared mean, the
    CV^2 of queueing theory."""

    count: float
    mean: float
    cv2: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class CountsView:
    """done, failed, released: since the daemon began. runtime: None before the first job with one. per_second: jobs
    that ended, however, in the last minute (or since the first one, when that is less)."""

    done: int
    failed: int
    released: int
    per_second: float
    done_per_minute: int
    failed_per_minute: int
    runtime: RuntimeView | None


@dataclass(frozen=True, slots=True)
class WorkView:
    """What the workers of one program did. classes, queues: by name; OTHER holds those beyond LARGEST_COUNT."""

    all: CountsView
    classes: dict[str, CountsView]
    queues: dict[str, CountsView]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def bucket(seconds: float) -> int:
    """The bucket of a runtime, for Runtimes. They grow by a factor: milliseconds and hours alike, in one addition."""
    if seconds <= _SHORTEST:
        return 0
    return min(1 + int(math.log2(seconds / _SHORTEST) * _STEPS), _BUCKETS - 1)


class Runtimes:
    """Runtimes in bounded memory: weighted sums, and a histogram for quantiles."""

    __slots__ = ("_buckets", "_count", "_squares", "_sum")

    def __init__(self) -> None:
        self._count = self._sum = self._squares = 0.0
        self._buckets: list[float] = []

    def add(self, seconds: float, at: int) -> None:
        """One job took so long. at: its bucket."""
        if self._count >= MEMORY:
            self._count, self._sum, self._squares = self._count / 2, self._sum / 2, self._squares / 2
            self._buckets = [weight / 2 for weight in self._buckets]
        self._count += 1
        self._sum += seconds
        self._squares += seconds * seconds
        if at >= len(self._buckets):
            self._buckets += [0.0] * (at + 1 - len(self._buckets))
        self._buckets[at] += 1

    def view(self) -> RuntimeView | None:
        """The figures; None without any job."""
        if not self._count:
            return None
        mean = self._sum / self._count
        variance = max(0.0, self._squares / self._count - mean * mean)
        cv2 = variance / (mean * mean) if mean else 0.0
        return RuntimeView(
            round(self._count, 1), round(mean, 6), round(cv2, 4), self._quantile(0.5), self._quantile(0.95)
        )

    def _quantile(self, share: float) -> float:
        left = share * self._count
        for at, weight in enumerate(self._buckets):
            left -= weight
            if left <= 1e-9:
                return round(_SHORTEST * 2 ** ((at - 0.5) / _STEPS), 6) if at else 0.0
        return 0.0


class Window:
    """How much happened in the last WINDOW_SECONDS, by whole seconds."""

    __slots__ = ("_counts", "_first", "_last")

    def __init__(self) -> None:
        self._counts = [0] * WINDOW_SECONDS
        self._first = self._last = -1

    def add(self, now: float) -> None:
        """It happened once. now: seconds, of any clock."""
        if (second := int(now)) != self._last:
            self._move(second)
        self._counts[self._last % WINDOW_SECONDS] += 1

    def total(self, now: float) -> int:
        """How often it did in the window that ends now."""
        if self._first < 0:
            return 0
        self._move(int(now))
        return sum(self._counts)

    def seconds(self, now: float) -> float:
        """How much time the window covers: less than a minute at first."""
        return max(1.0, min(float(WINDOW_SECONDS), now - self._first)) if self._first >= 0 else 1.0

    def _move(self, second: int) -> None:
        if self._first < 0:
            self._first = self._last = second
        for gone in range(self._last + 1, min(second, self._last + WINDOW_SECONDS) + 1):
            self._counts[gone % WINDOW_SECONDS] = 0
        self._last = max(self._last, second)  # a wall clock may be set back


class Counts:
    """Jobs that ended: of a program, of a class, of a queue."""

    __slots__ = ("_bad", "_good", "done", "failed", "released", "runtimes")

    def __init__(self) -> None:
        self.done = self.failed = self.released = 0
        self.runtimes = Runtimes()
        self._good, self._bad = Window(), Window()

    def ended(self, what: What, seconds: float | None, at: int, now: float) -> None:
        """A job ended: DONE, FAILED or RELEASED. seconds: its runtime, None when unknown. at: the bucket of that."""
        if what is What.DONE:
            self.done += 1
            self._good.add(now)
        else:
            self._bad.add(now)
            if what is What.FAILED:
                self.failed += 1
            else:
                self.released += 1
        if seconds is not None:
            self.runtimes.add(seconds, at)

    def view(self, now: float) -> CountsView:
        """The figures."""
        good, bad = self._good.total(now), self._bad.total(now)
        covered = max(self._good.seconds(now), self._bad.seconds(now))
        return CountsView(
            self.done, self.failed, self.released, round((good + bad) / covered, 3), good, bad, self.runtimes.view()
        )


class Work:
    """The statistics of one program. `now` is seconds of any clock, always the same one. lengths: of all runtimes."""

    def __init__(self) -> None:
        self.all = Counts()
        self.lengths = Histogram(BOUNDS)
        self._classes: dict[str, Counts] = {}
        self._queues: dict[str, Counts] = {}

    def ended(self, what: What, job: str, queue: str | None, seconds: float | None, now: float) -> None:
        """A job of that class ended: DONE, FAILED or RELEASED. queue: where known."""
        seconds = None if seconds is None else max(seconds, 0.0)
        at = bucket(seconds or 0.0)
        if seconds is not None:
            self.lengths.add(seconds)
        self.all.ended(what, seconds, at, now)
        _of(self._classes, job or OTHER).ended(what, seconds, at, now)
        if queue is not None:
            _of(self._queues, queue).ended(what, seconds, at, now)

    def classes(self) -> list[tuple[str, int, int, int]]:
        """(class, done, failed, released) of each, which costs far less than `view`."""
        return [(name, one.done, one.failed, one.released) for name, one in self._classes.items()]

    def view(self, now: float) -> WorkView:
        """The figures."""
        classes = {name: counts.view(now) for name, counts in sorted(self._classes.items())}
        queues = {name: counts.view(now) for name, counts in sorted(self._queues.items())}
        return WorkView(self.all.view(now), classes, queues)


def _of(counts: dict[str, Counts], name: str) -> Counts:
    found = counts.get(name)
    if found is None:
        name = name if len(counts) < LARGEST_COUNT else OTHER
        found = counts.setdefault(name, Counts())
    return found


def begun(said: Said, now: float, queue: str | None, connection: str | None) -> Job:
    """The job that a STARTED line tells of. queue, connection: those of its program, for a line without them."""
    return Job(said.job, said.id, said.queue or queue, said.connection or connection, moment(said, now), said.attempts)


def same(job: Job, said: Said) -> bool:
    """Whether a line speaks of this job, as far as both tell."""
    if job.id is not None and said.id is not None:
        return job.id == said.id
    return not said.job or not job.class_name or job.class_name == said.job
