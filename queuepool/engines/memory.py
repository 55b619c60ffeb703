"""memory_limit: processes above it are recycled gracefully, also between a worker's own looks: `--memory` is only
looked at after a job, and does not see what extensions use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from queuepool.domain.states import State
from queuepool.engines.life import Life
from queuepool.system import procstat

LOOK_SECONDS = 5.0


class MemoryWatch:
    """Looks at the running processes every few seconds, while any program has a limit. by_pid: who runs.
    too_large(life, why): one is above its limit."""

    def __init__(self, by_pid: Mapping[int, Life], too_large: Callable[[Life, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._by_pid = by_pid
        self._too_large = too_large
        self._timer: asyncio.TimerHandle | None = None

    def wanted(self, wanted: bool) -> None:
        """Whether any program has a limit."""
        if wanted and self._timer is None:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        elif not wanted:
            self.close()

    def close(self) -> None:
        """Look no more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        for pid, life in list(self._by_pid.items()):
            limit = life.spec.policy.memory_limit
            if limit and life.process.state is State.RUNNING:
                seen = procstat.usage(pid)
                if seen and seen.rss > limit:
                    self._too_large(life, f"memory_limit: {seen.rss >> 20} MB of {limit >> 20} MB")
