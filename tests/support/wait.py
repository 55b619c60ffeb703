"""Waiting for something to become true, with a limit. For events that announce themselves, wait for those instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT = 60.0
"""Seconds that a wait takes at most, unless more are asked for: far more than needed, so that load makes no test
fail."""


def eventually(
    predicate: Callable[[], T], timeout: float = LIMIT, what: str = "", *, show: Callable[[], object] | None = None
) -> T:
    """The first true value of `predicate`, asked every 10 ms; an AssertionError when `timeout` seconds have passed.

    A predicate may assert, or read a file that is not there: then it counts as not yet true, and its last message is in
    the failure. what: the event, in words. show: further facts for the failure, such as the tail of a log. A `timeout`
    below LIMIT is taken for LIMIT: how long something takes is no reason to fail on a machine that has other things to
    do.
    """
    timeout = max(timeout, LIMIT)
    until = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = predicate()
            if value:
                return value
            last = value
        except (AssertionError, FileNotFoundError) as error:
            last = error
        if time.monotonic() > until:
            more = f"\n{show()}" if show is not None else ""
            name = what or getattr(predicate, "__name__", "it")
            raise AssertionError(f"waited {timeout:g} s for: {name}; the last answer was {last!r}{more}")
        time.sleep(0.01)
