"""How a signal comes into the loop. What each one means is daemon.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

OBEYED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
"""What people send to a daemon."""


def hold_back() -> None:
    """Let what comes now wait, also across an exec: without a handler it would end the daemon."""
    signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)


def let_in() -> None:
    """Obey what waited, and all that comes from now on. Before any child is made, which would inherit the blocking."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)


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
