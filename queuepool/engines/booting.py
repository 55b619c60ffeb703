"""What a worker may be told only when it has booted. Before, PHP has no handlers, and SIGUSR2 would end it. How one is
seen to have booted is pacer.py's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from queuepool.engines.life import Life
from queuepool.engines.pacer import LONGEST_SECONDS, Pacer

LOOK_SECONDS = 0.02


class Booting:
    """Those that may still boot and are to be told something. clock: see Pacer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(clock)
        self._clock = clock
        self._waiting: dict[Life, tuple[int, Callable[[int], object]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, life: Life, pid: int, act: Callable[[int], object]) -> None:
        """Call `act(pid)` when the process has booted: now, where it is older than any boot. In place of what was to be
        told before; not at all when it is to end, or another process has taken its place by then."""
        self.forget(life)
        if self._clock() - life.process.started > LONGEST_SECONDS:
            act(pid)
            return
        self._waiting[life] = pid, act
        self._pacer.began(life, pid)
        self._look()

    def forget(self, life: Life) -> None:
        """Tell it nothing."""
        if self._waiting.pop(life, None) is not None:
            self._pacer.ended(life)

    def close(self) -> None:
        """Tell nobody anything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._pacer.look()
        for life, (pid, act) in list(self._waiting.items()):
            if life.process.pid != pid or not life.process.wanted:
                self.forget(life)
            elif not self._pacer.boots(life):
                del self._waiting[life]
                act(pid)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look) if self._waiting else None
