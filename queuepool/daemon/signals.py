"""How a signal comes into the loop. What each one means is daemon.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable


def obey(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, act: Callable[[], object], *, together: bool = False
) -> None:
    """Let `act` follow a signal, in the loop. together: once for all that come before it does.

    Not `loop.add_signal_handler`: that passes signals through a socket, and when hundreds of children end in one turn
    of the loop their SIGCHLDs fill it, so that a SIGTERM among them would be lost.
    """
    due = False

    def perform() -> None:
        nonlocal due
        due = False
        act()

    def handler(*_: object) -> None:
        nonlocal due
        if not (together and due):
            due = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: too late for anything
                loop.call_soon_threadsafe(perform)

    signal.signal(number, handler)
