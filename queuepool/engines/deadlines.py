"""When to look at which life again: one timer for all, set to the earliest deadline. A deadline is a field of the
lifecycle; one that has moved or is void when its time comes is passed over."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from queuepool.engines.life import Life


class Deadlines:
    """due(life): called in the loop when the deadline of a life has come."""

    def __init__(self, clock: Callable[[], float], due: Callable[[Life], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._due = due
        self._heap: list[tuple[float, int, Life]] = []
        self._order = count()
        self._alarm: asyncio.TimerHandle | None = None

    def arm(self, life: Life) -> None:
        """The deadline of the life has changed."""
        deadline = life.process.deadline
        if deadline is not None:
            first = self._heap[0][0] if self._heap else float("inf")
            heapq.heappush(self._heap, (deadline, next(self._order), life))
            if deadline < first:
                self._set()

    def close(self) -> None:
        """Nothing is due any more."""
        self._heap.clear()
        self._set()

    def _set(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if self._heap:
            self._alarm = self._loop.call_later(max(0.0, self._heap[0][0] - self._clock()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            deadline, _, life = heapq.heappop(self._heap)
            if life.process.deadline == deadline:
                self._due(life)
        while self._heap and self._heap[0][2].process.deadline != self._heap[0][0]:
            heapq.heappop(self._heap)  # moved or void: no reason to wake up
        self._set()
