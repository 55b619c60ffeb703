"""Runs the daemon: its lock, its socket, its loop, from the first to the last. What it consists of is daemon.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from queuepool.daemon.daemon import Daemon, Echo
from queuepool.daemon.serving import load_while
from queuepool.daemon.upgrading import passed_on
from queuepool.domain.pool import Loaded
from queuepool.engines.former import refuse_former
from queuepool.system import children
from queuepool.system.aside import Aside
from queuepool.system.rundir import RunDirectory


def run_read(
    config_path: str,
    reading: Aside[Loaded],
    foreground: bool,
    ready: Callable[[], None],
    echo: Echo | None,
    approve: Callable[[Loaded], None],
) -> int:
    """Be the daemon: see run. reading: the file."""
    load_while(lambda: reading.working)
    loaded = reading.result()
    children.keep_descriptors_in()
    directory = RunDirectory(config_path)
    passed = passed_on()
    if passed:
        lock = int(passed["lock"])
        os.set_inheritable(lock, False)
        directory.sign(lock)
    else:
        approve(loaded)
        directory.make()
        lock = directory.acquire()
    alone = None
    try:
        if not passed:
            refuse_former(loaded.engine, directory)
        if loaded.engine.type != "local":
            alone = directory.acquire_alone()
        return asyncio.run(_main(loaded, directory, lock, passed, foreground, ready, echo))
    finally:
        os.close(lock)
        if alone is not None:
            os.close(alone)


async def _main(
    loaded: Loaded,
    directory: RunDirectory,
    lock: int,
    passed: dict[str, Any] | None,
    foreground: bool,
    ready: Callable[[], None],
    echo: Echo | None,
) -> int:
    daemon = Daemon(loaded, directory, lock, foreground=foreground, echo=echo)
    listener = _listen(directory, passed)
    try:
        daemon.begin(passed)
        if daemon.local is None:
            await daemon.begin_supervised()
        await daemon.serve(listener, ready)
        return await daemon.ended
    finally:
        await daemon.end(listener)


def _listen(directory: RunDirectory, passed: dict[str, Any] | None) -> socket.socket:
    """The listening control socket: passed on by exec, or bound anew, taking the place of a stale one (we hold the
    lock, so nobody listens there)."""
    if passed:
        sock = socket.socket(fileno=int(passed["socket"]))
        sock.set_inheritable(False)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory.socket)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(directory.socket)
        finally:
            os.umask(before)
        sock.listen(128)
    sock.setblocking(False)
    return sock
