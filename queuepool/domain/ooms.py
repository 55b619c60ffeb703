"""Which ends by SIGKILL were the kernel's doing, for lack of memory. The kernel only counts (system/cgroups.py), so a
count that grew is shared out among the ends that are heard of."""

from __future__ import annotations

from collections.abc import Callable

UNCLAIMED_SECONDS = 10.0
"""How long after a look at the kernel's count another end may still be one of those."""


class OomKills:
    """count(): how many of our processes the kernel has killed for memory so far; None: not known. clock: seconds."""

    def __init__(self, count: Callable[[], int | None], clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._counted = count()
        self._unclaimed, self._looked = 0, 0.0

    def was_one(self) -> bool:
        """Whether the end by SIGKILL that was heard of just now was one of them: the kernel has killed one more than
        ends were told of. What is left over is soon forgotten: it was a child of a worker, whose end is nobody's here.
        """
        now = self._clock()
        before, self._counted = self._counted, self._count()
        if now - self._looked > UNCLAIMED_SECONDS:
            self._unclaimed = 0
        self._looked = now
        if before is not None and self._counted is not None:
            self._unclaimed += max(0, self._counted - before)
        if not self._unclaimed:
            return False
        self._unclaimed -= 1
        return True
