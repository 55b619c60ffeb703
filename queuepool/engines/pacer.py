"""How many processes boot at once. A PHP worker burns processor time until it polls its queue, and hundreds thrown at
two cores only wait for each other and for the daemon; so the next starts when an earlier one has booted."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable

LOOK_SECONDS = 0.004
QUIET_SHARE = 0.25
"""A process that sleeps, and ran for less than this share of the time between two looks, has booted."""
LONGEST_SECONDS = 15.0
"""A process that is busy for longer than this no longer counts as booting: it may have found a job at once."""


class Pacer:
    """Counts the processes that boot. appetite: see procstat.appetite; limit: how many at once, two per core."""

    def __init__(
        self, appetite: Callable[[int], tuple[bool, int] | None], clock: Callable[[], float], limit: int = 0
    ) -> None:
        self.limit = limit or max(2, 2 * cores())
        self._appetite = appetite
        self._clock = clock
        self._booting: dict[Hashable, tuple[int, int, float, float]] = {}  # key -> pid, appetite, looked, began

    @property
    def free(self) -> int:
        """How many more may boot now."""
        return self.limit - len(self._booting)

    @property
    def busy(self) -> bool:
        """Whether anything boots, so that it pays to look again."""
        return bool(self._booting)

    def boots(self, key: Hashable) -> bool:
        """Whether the process was still booting at the last look."""
        return key in self._booting

    def began(self, key: Hashable, pid: int) -> None:
        """The process `pid` began to boot."""
        now = self._clock()
        self._booting[key] = (pid, 0, now, now)

    def ended(self, key: Hashable) -> None:
        """The process is gone, or counts no more."""
        self._booting.pop(key, None)

    def look(self) -> int:
        """Let go of the processes that have booted; how many may boot now."""
        now = self._clock()
        for key, (pid, before, looked, began) in list(self._booting.items()):
            if now - looked < LOOK_SECONDS / 2:
                continue
            seen = self._appetite(pid)
            hungry, ran = seen or (True, 0)
            booted = before > 0 and not hungry and (ran - before) / 1e9 < QUIET_SHARE * (now - looked)
            if booted or now - began > LONGEST_SECONDS or (seen is None and now - began > 0.2):
                del self._booting[key]
            else:
                self._booting[key] = (pid, ran, now, began)
        return self.free


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
