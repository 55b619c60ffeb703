"""How long the job at the head of a queue has waited, told by watching: for jobs that carry no time of their own. Pure.

A queue is first in, first out. So the job at the tail is remembered with the time at which it was first seen there, and
once it has come to the head, that is how long it has waited, give or take the time between two looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_MARKS = 256
"""Remembered jobs of one queue. Beyond, every second one is forgotten: the head then meets one of them less often."""


@dataclass(slots=True)
class Ages:
    """One queue as it was seen. Jobs go by a mark, which is another one when the same job waits again."""

    _arrived: dict[str, float] = field(default_factory=dict)  # in the order of the queue
    _tail: str | None = None
    _head: str | None = None
    _head_since: float = 0.0
    _looked: bool = False

    def saw(self, head: str | None, tail: str | None, now: float) -> float | None:
        """Seconds since the head arrived; None when its arrival was not seen. None, None for an empty queue."""
        first, self._looked = not self._looked, True
        if head is None or tail is None:
            self._arrived.clear()
            self._head = self._tail = None
            return None
        if head != self._head:
            self._head, self._head_since = head, now
        if tail != self._tail:
            self._tail = tail
            self._arrived.pop(tail, None)
            if not first:  # what is there at the first look may be there for long
                self._arrived[tail] = now
                self._thin()
        if head not in self._arrived:
            return None
        while next(iter(self._arrived)) != head:
            del self._arrived[next(iter(self._arrived))]  # it was in front of the head
        return max(0.0, now - self._arrived[head])

    def at_least(self, now: float) -> float:
        """Seconds that the head has been seen at the head: it waits for that long, and maybe longer."""
        return max(0.0, now - self._head_since)

    def _thin(self) -> None:
        if len(self._arrived) > MOST_MARKS:
            kept = list(self._arrived.items())
            self._arrived = dict(kept[:-1][::2] + kept[-1:])
