"""What a worker may be told only when it has booted. Before, PHP has no handlers, and SIGUSR2 would end it. How many
boot at once is pacer.py's matter."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from queuepool.engines.life import Life
from queuepool.engines.pacer import LONGEST_SECONDS
from queuepool.system import procstat

LOOK_SECONDS = 0.02
SURELY_SECONDS = 1.0
"""The age at which a process has booted where the system does not tell which signals it handles."""


class Booting:
    """Those that boot and are to be told something. clock: that of the engine.

    A worker installs its handlers right before it asks for its first job, that of SIGCONT last
    (Illuminate/Queue/Worker.php, listenForSignals). That of SIGUSR2 would tell nothing: PHP has one of its own from the
    start (Zend/zend_signal.c), and that one ends it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._waiting: dict[Life, tuple[int, Callable[[int], object]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, life: Life, pid: int, act: Callable[[int], object]) -> None:
        """Call `act(pid)` when the process has booted: now, where it has, or is older than any boot. In place of what
        was to be told before; not at all when it is to end, or another process has taken its place by then."""
        self._waiting[life] = pid, act
        self._look()

    def forget(self, life: Life) -> None:
        """Tell it nothing."""
        self._waiting.pop(life, None)

    def close(self) -> None:
        """Tell nobody anything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        for life, (pid, act) in list(self._waiting.items()):
            if life.process.pid != pid or not life.process.wanted:
                self.forget(life)
            elif self._has_booted(life, pid):
                self.forget(life)
                act(pid)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look) if self._waiting else None

    def _has_booted(self, life: Life, pid: int) -> bool:
        age = self._clock() - life.process.started
        handles = procstat.handles(pid, signal.SIGCONT)
        return age > LONGEST_SECONDS or (age > SURELY_SECONDS if handles is None else handles)
