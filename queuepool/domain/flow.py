"""How fast jobs come and go: rates from what a queue held at moments of the last minute and from what workers said they
finished. Reading both is not here: laravel/depth.py, laravel/output.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WINDOW_SECONDS = 60.0
SHORTEST_SECONDS = 2.0
"""Over less than this nothing is said: a rate would jump with every job."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of a queue. at: seconds, any clock. held: jobs in it, delayed and reserved ones included. finished:
    jobs that left it for good so far, by what workers say, counted from any beginning; None: they do not say."""

    at: float
    held: int
    finished: int | None


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs per second; None where it cannot be told. guessed: seen from the queue alone, where jobs that come and go
    within a second hide each other."""

    came: float | None = None
    done: float | None = None
    guessed: bool = False


def rates(samples: Sequence[Sample]) -> Rates:
    """The rates over samples in the order of time.

    What came is what is there more than before and what was finished meanwhile. Jobs that others take from the queue
    (workers of another host) are not seen, so the true rates are then higher by what those finish. Where nobody says
    what was finished, growth counts as having come and shrinking as done.
    """
    if not samples or (seconds := samples[-1].at - samples[0].at) < SHORTEST_SECONDS:
        return Rates()
    first, last = samples[0].finished, samples[-1].finished
    if first is None or last is None or last < first:
        steps = [after.held - before.held for before, after in pairwise(samples)]
        came = sum(step for step in steps if step > 0)
        done = -sum(step for step in steps if step < 0)
        return Rates(came / seconds, done / seconds, guessed=True)
    finished = last - first
    came = max(0, samples[-1].held - samples[0].held + finished)
    return Rates(came / seconds, finished / seconds)


class Flow:
    """The samples of one queue over the last minute, at most two a second."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Keep a sample, and drop those that are too old; one that comes right after another takes its place."""
        kept = self._samples
        if len(kept) > 1 and sample.at - kept[-2].at < 0.5:
            kept.pop()
        kept.append(sample)
        while len(kept) > 2 and sample.at - kept[1].at >= WINDOW_SECONDS:
            kept.popleft()

    @property
    def rates(self) -> Rates:
        """The rates over what is kept."""
        return rates(tuple(self._samples))
