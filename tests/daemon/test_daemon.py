"""What the daemon does beside all else. Its own life is shown in e2e/test_daemon.py."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from queuepool.daemon import daemon
from tests.support.turns import leaping


def test_the_queues_are_looked_at_though_the_code_of_the_reader_could_not_be_loaded_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too many open files, say: that is over some time, and the daemon goes on."""
    told: list[BaseException] = []
    tries = 0

    def import_reader() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def at_once(work: Callable[[], None]) -> None:  # a clock that leaps waits for no thread
        work()

    async def run() -> None:
        looked = asyncio.Event()

        async def look(then: object) -> None:
            looked.set()
            await asyncio.Event().wait()

        fake: Any = SimpleNamespace(local=None, insight=SimpleNamespace(run=look), _looked=None, defect=told.append)
        looking = asyncio.create_task(daemon.Daemon._look(fake))
        await asyncio.wait({looking, asyncio.create_task(looked.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert looked.is_set()
        looking.cancel()

    monkeypatch.setattr(daemon, "import_reader", import_reader)
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    leaping(run())
    assert len(told) == 1
