"""How many processes boot at once. A PHP worker burns processor time until it polls its queue, and hundreds thrown at
two cores only wait for each other and for the daemon; so the next starts when an earlier one has booted."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from queuepool.system import procstat

LOOK_SECONDS = 0.004
QUIET_SHARE = 0.25
"""A process that sleeps, and ran for less than this share of the time between two looks, has booted."""
LONGEST_SECONDS = 15.0
"""A process that is busy for longer than this no longer counts as booting: it may have found a job at once."""


class Pacer:
    """Counts the processes that boot. ran, hungry: see procstat; limit: how many at once, two per core.

    Both are needed: the time that a process ran stands still while others keep it from running, and one that wants
    nothing now may just be asleep between two strides.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        ran: Callable[[int], int | None] = procstat.ran,
        hungry: Callable[[int], bool] = procstat.hungry,
        limit: int = 0,
    ) -> None:
        self.limit = limit or max(2, 2 * procstat.cores())
        self._ran = ran
        self._hungry = hungry
        self._clock = clock
        self._booting: dict[Hashable, tuple[int, int, float, float]] = {}  # key -> pid, ran, looked, began

    @property
    def free(self) -> int:
        """How many more may boot now."""
        return self.limit - len(self._booting)

    @property
    def busy(self) -> bool:
        """Whether anything boots, so that it pays to look again."""
        return bool(self._booting)

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
            ran = self._ran(pid)
            quiet = ran is not None and before > 0 and (ran - before) / 1e9 < QUIET_SHARE * (now - looked)
            booted = quiet and not self._hungry(pid)
            if booted or now - began > LONGEST_SECONDS or (ran is None and now - began > 0.2):
                del self._booting[key]
            else:
                self._booting[key] = (pid, ran or 0, now, began)
        return self.free
