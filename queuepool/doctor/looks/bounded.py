"""Blocking calls that may never return, such as those about a network file system that is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def bounded(seconds: float, act: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What `act` returns, called in a thread of its own. Raises TimeoutError after `seconds`; the thread is then left
    alone, and keeps nothing from ending (asyncio.to_thread would: its pool is waited for)."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is None:
            result.set_result(value)  # type: ignore[arg-type]
        else:
            result.set_exception(error)

    def run() -> None:
        value, failed = None, None
        try:
            value = act(*args, **options)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await result
