"""Puts the lines of processes together again for somebody who looks on: what a process prints comes in pieces, of a
pipe's size or as it was written. What a log gets is draining.py's matter, and needs none of this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

PAUSE_SECONDS = 0.25
"""How long the rest of a line is waited for. A process that prints `Working... ` is not held back for ever."""

LONGEST_LINE = 1 << 20
"""Bytes that are kept of a line; a longer one is shown in pieces."""

Show = Callable[[str, bytes], None]


@dataclass(slots=True)
class _Rest:
    label: str
    data: bytearray = field(default_factory=bytearray)
    timer: asyncio.TimerHandle | None = None


class Joiner:
    """Hands on whole lines. show: is given the label of the process and a line without its end. Made, and called, in a
    running loop."""

    def __init__(self, show: Show, loop: asyncio.AbstractEventLoop) -> None:
        self._show = show
        self._loop = loop
        self._rests: dict[Hashable, _Rest] = {}

    def __call__(self, key: Hashable, label: str, chunk: bytes) -> None:
        """What a stream printed. key: of the stream."""
        rest = self._rests.get(key) or _Rest(label)
        end = chunk.rfind(b"\n") + 1
        if end:
            whole = bytes(rest.data) + chunk[:end]
            rest.data.clear()
            self._tell(label, whole)
        rest.data += chunk[end:]
        if rest.timer is not None:
            rest.timer.cancel()
            rest.timer = None
        if not rest.data or len(rest.data) > LONGEST_LINE:
            self._rests.pop(key, None)
            self._tell(label, bytes(rest.data))
            return
        self._rests[key] = rest
        rest.timer = self._loop.call_later(PAUSE_SECONDS, self._finish, key)

    def finish(self, label: str | None = None) -> None:
        """Show what has no end yet, of this process or of all."""
        for key in [key for key, rest in self._rests.items() if label in (None, rest.label)]:
            self._finish(key)

    def _finish(self, key: Hashable) -> None:
        rest = self._rests.pop(key)
        if rest.timer is not None:
            rest.timer.cancel()
        self._tell(rest.label, bytes(rest.data))

    def _tell(self, label: str, data: bytes) -> None:
        for line in data.splitlines():
            self._show(label, line)
