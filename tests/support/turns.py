"""Time in a loop of asyncio without waiting for it: turns are counted, or the loop's clock jumps to its next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.support.wait import LIMIT

T = TypeVar("T")


async def turns(count: int) -> None:
    """Let everything that is ready go on, so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], object], what: str = "it") -> None:
    """Let the loop run until `true()`, for what announces itself to nobody; an AssertionError after LIMIT seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT
    while not true():
        assert loop.time() < deadline, f"{what} did not come true within {LIMIT:g} s"
        await asyncio.sleep(0.002)


class _Leaping(selectors.DefaultSelector):
    """Where nothing is ready it does not wait: the time that it was to wait has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.passed += timeout
        return ready


class _Leaps(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return 1000.0 + self._leaping.passed


def leaping(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, in a loop whose clock leaps to the next timer as soon as nothing else is to do. For what waits for
    nobody outside: any answer that takes time would come too late."""
    with asyncio.Runner(loop_factory=_Leaps) as runner:
        return runner.run(main)


async def passes(seconds: float) -> None:
    """So much time passes in a leaping loop, at once."""
    assert isinstance(asyncio.get_running_loop(), _Leaps)
    await asyncio.sleep(seconds)
