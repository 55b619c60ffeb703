"""How long the job at the head of a queue has waited, told by watching: for jobs that carry no time of their own. Pure.

A queue is first in, first out. So the job at the tail is remembered with the time at which it was first seen there, and
once it has come to the head, that is how long it has waited, give or take the time between two looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_MARKS = 256
"""Remembered jobs of one queue. Beyond, every second one is forgotten, and of the next ones too: in a long queue the
head meets one of them less often."""


@dataclass(slots=True)
class Ages:
    """One queue as it was seen. Jobs go by a mark, which is another one when the same job is tried again."""

    _arrived: dict[str, float] = field(default_factory=dict)  # in the order of the queue
    _tail: str | None = None
    _head: str | None = None
    _head_since: float = 0.0
    _looked: bool = False
    _every: int = 1  # of the jobs seen at the tail, each such one is remembered
    _passed: int = 0

    def saw(self, head: str | None, tail: str | None, now: float) -> float | None:
        """Seconds since the head arrived; None when its arrival was not seen. None, None for an empty queue."""
        first, self._looked = not self._looked, True
        if head is None or tail is None:
            self._arrived.clear()
            self._every = 1
            self._head = self._tail = None
            return None
        if head != self._head:
            self._head, self._head_since = head, now
        if tail != self._tail:
            self._tail = tail
            twice = self._arrived.pop(tail, None) is not None  # then it is not known which of both comes to the head
            if not first and not twice:  # what is there at the first look may be there for long
                self._remember(tail, now)
        if head not in self._arrived:
            return None
        while next(iter(self._arrived)) != head:
            del self._arrived[next(iter(self._arrived))]  # it was in front of the head
        return max(0.0, now - self._arrived[head])

    def at_least(self, now: float) -> float:
        """Seconds that the head has been seen at the head: it waits for that long, and maybe longer."""
        return max(0.0, now - self._head_since)

    def _remember(self, tail: str, now: float) -> None:
        self._passed += 1
        if self._passed % self._every == 0:
            self._arrived[tail] = now
        if len(self._arrived) > MOST_MARKS:
            self._arrived = dict(list(self._arrived.items())[::2])
            self._every *= 2
