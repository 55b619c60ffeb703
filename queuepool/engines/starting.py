"""In which order and how many at a time processes are started. Making one is local.py's, knowing when one has booted is
pacer.py's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from queuepool.engines.life import Life
from queuepool.engines.pacer import LOOK_SECONDS, Pacer

SPAWNS_PER_TURN = 32
"""Starts in one turn of the loop, so that the control socket answers while hundreds start."""


BOOTED_SECONDS = 0.02
"""How often it is looked whether the last ones have booted."""


class Starter:
    """Two queues: what starts at once, and what is paced because it boots. spawn(life): makes the process if it is
    still to be made; its pid, or None."""

    def __init__(self, spawn: Callable[[Life], int | None], pacer: Pacer) -> None:
        self._loop = asyncio.get_running_loop()
        self._spawn = spawn
        self._pacer = pacer
        self._queue: deque[Life] = deque()
        self._paced: deque[Life] = deque()
        self._busy = False
        self._looking = False
        self._waiters: list[asyncio.Future[None]] = []

    def add(self, life: Life, *, pace: bool) -> None:
        """Start the life: now, or with `pace` when few enough others boot."""
        if pace:
            self._paced.append(life)
            self._start_paced()
        else:
            self._queue.append(life)
            if not self._busy:
                self._start_some()

    def ended(self, life: Life) -> None:
        """The process of the life has ended, so it boots no more."""
        self._pacer.ended(life)
        if self._paced:
            self._start_paced()

    async def idle(self) -> None:
        """Returns when no start that needs no pacing is queued."""
        if self._busy:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    async def booted(self, seconds: float) -> None:
        """Returns when nothing that is paced boots or waits for its turn; after so many seconds at the latest."""
        end = self._loop.time() + seconds
        while (self._paced or self._pacer.busy) and self._loop.time() < end:
            await asyncio.sleep(BOOTED_SECONDS)
            if not self._looking:
                self._pacer.look()

    def close(self) -> None:
        """Start nothing more."""
        self._queue.clear()
        self._paced.clear()

    def _start_some(self) -> None:
        self._busy = True
        for _ in range(SPAWNS_PER_TURN):
            if not self._queue:
                self._busy = False
                while self._waiters:
                    self._waiters.pop().set_result(None)
                return
            self._spawn(self._queue.popleft())
        self._loop.call_soon(self._start_some)

    def _start_paced(self) -> None:
        while self._paced and self._pacer.free > 0:
            life = self._paced.popleft()
            if (pid := self._spawn(life)) is not None:
                self._pacer.began(life, pid)
        if self._paced and not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        self._pacer.look()
        self._start_paced()
