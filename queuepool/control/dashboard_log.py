"""The log of one process, followed by a page: its last lines and what comes, across rotation. Which lines of a log that
several processes share are a process's own, the lines themselves tell (logs/lines.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from queuepool.control.dashboard_hub import QUIET_SECONDS, frame
from queuepool.control.xmlrpc_logs import is_file, owner_of, reader_of
from queuepool.controller.controller import Controller
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import LogPolicy
from queuepool.errors import QueuepoolError
from queuepool.logs.follow import Follower
from queuepool.logs.lines import is_of
from queuepool.logs.opening import acting_as

POLL_SECONDS = 0.25
FIRST_LINES = 500
"""Of the log; of these the page gets the process's own, at most LINES."""
LINES = 300
"""In one frame; when more was printed since the last one, the last ones. More nobody could read in that time."""
MOST_BYTES = 1024 * 1024
"""Read of a log at a time."""
LONGEST = 4000
"""Bytes of a line that are shown."""


def policy_of(control: Controller, name: ProcessName) -> LogPolicy:
    """Where a process prints to. Raises QueuepoolError when that cannot be read back."""
    lives, spec = control.engine.lives.get(name), control.pools.get(name.pool)
    process = lives[-1].spec if lives else spec.process(name.slot) if spec else None
    if process is None or process.stdout.path is None:
        raise QueuepoolError(f"cannot show what {name} prints: it keeps no log", "set stdout_logfile in queuepool.yml")
    if process.stdout.path.startswith("/dev/") and not process.stdout.path.startswith("/dev/shm/"):  # noqa: S108
        raise QueuepoolError(
            f"cannot show what {name} prints: it goes to {process.stdout.path}", "look where the daemon's output goes"
        )
    return process.stdout


class LogTail:
    """A log that is being followed for one process. Raises QueuepoolError when it cannot be read."""

    def __init__(self, policy: LogPolicy, label: str) -> None:
        self._path = str(policy.path)
        self._label = label
        self._follower = Follower()
        self._shared = False
        try:
            self._reader = reader_of(self._path, owner_of(policy)) if is_file(self._path) else owner_of(policy)
            with acting_as(self._reader):
                self._first = self._follower.add(self._path, FIRST_LINES)
        except OSError as error:
            raise QueuepoolError(
                f"cannot read {self._path}: {error.strerror or error}", f"`ls -l {self._path}` shows who may"
            ) from None

    async def frames(self, ended: asyncio.Event) -> AsyncIterator[bytes]:
        """`log` first, with what is there, then `lines`, until `ended`; now and then one without any, so that the page
        knows that the connection lives."""
        try:
            lines = self._own(self._first)
            self._first = b""
            yield frame("log", {"file": self._path, "lines": lines, "shared": self._shared})
            quiet = 0.0
            while not ended.is_set():
                lines = self._own(self._news())
                quiet = 0.0 if lines else quiet + POLL_SECONDS
                if lines or quiet >= QUIET_SECONDS:
                    quiet = 0.0
                    yield frame("lines", {"lines": lines, "shared": self._shared})
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await ended.wait()
        finally:
            self._follower.close()

    def _news(self) -> bytes:
        """What was printed; of very much the rest comes the next time, so that the loop is not held up."""
        found: list[bytes] = []
        size = 0
        with acting_as(self._reader), suppress(OSError):  # what cannot be read this moment can be the next time
            for _, data in self._follower.poll():
                found.append(data)
                size += len(data)
                if size >= MOST_BYTES:
                    break
        return b"".join(found)

    def _own(self, data: bytes) -> list[str]:
        """The process's own lines, as text; those that do not tell whose they are, too."""
        found = []
        for line in data.splitlines():
            own = is_of(line, self._label)
            if own is None:
                self._shared = True
            if own is not False:
                found.append(line[:LONGEST].decode("utf-8", "replace"))
        return found[-LINES:]
