"""What the pump knows of one stream, and the last lines that it wrote."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Protocol

from queuepool.domain.pool import LogPolicy
from queuepool.logs.ledger import digest
from queuepool.logs.rotating import LogFile
from queuepool.logs.spool import Spool

TAIL_BYTES = 4096
TAIL_LINES = 20
_EXTENTS = 32


class Tap(Protocol):
    """Sees what a process prints before it is written."""

    def __call__(self, data: bytes) -> bytes:
        """What of `data` is for the log."""

    def finish(self) -> bytes:
        """What it still has that is for the log, at the end of the stream."""


class Stream:
    """The standard output (or error) of one process.

    log: None where the policy throws the output away. spool_at: the path of its spool, when it needs one; None: it has
    no name, and is lost with the daemon. resting: bytes of an unfinished line that are left in the pipe.
    shown: how many of those the subscribers have seen. skipping: the rest of the line that comes next was dropped.
    fresh: nothing has been written yet, and it must begin a line. hear: told of every chunk, when it was written. tap:
    takes out what is not for the log; such a stream goes by way of a spool. prompt: it is read as soon as it has
    something.
    """

    __slots__ = (
        "_extents", "_tail", "capacity", "digest", "fd", "fresh", "hear", "key", "label", "log", "policy", "prompt",
        "resting", "shown", "skipping", "spool", "spool_at", "tap",
    )  # fmt: skip

    def __init__(
        self, key: Hashable, label: str, name: str, fd: int, policy: LogPolicy, capacity: int, spool_at: str | None
    ) -> None:
        self.key = key
        self.label = label
        self.digest = digest(name)
        self.spool_at = spool_at
        self.fd = fd
        self.policy = policy
        self.capacity = capacity
        self.log: LogFile | None = None
        self.spool: Spool | None = None
        self.prompt = False
        self.resting = 0
        self.shown = 0
        self.skipping = False
        self.fresh = True
        self.hear: Callable[[bytes], None] | None = None
        self.tap: Tap | None = None
        self._tail = b""
        self._extents: list[tuple[int, int]] = []

    def wrote_at(self, offset: int, count: int) -> None:
        """Remember that `count` bytes of this stream are in its log at `offset`."""
        extents = self._extents
        if extents and sum(extents[-1]) == offset:
            extents[-1] = (extents[-1][0], extents[-1][1] + count)
            return
        extents.append((offset, count))
        if len(extents) > _EXTENTS:
            del extents[: _EXTENTS // 2]

    def wrote(self, data: bytes) -> None:
        """Remember the end of what was written, where the log does not hold it as it was."""
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]

    def remember(self) -> None:
        """Read the last bytes from the log, which is about to be left."""
        self._tail = self.tail()
        self._extents.clear()

    def tail(self) -> bytes:
        """The last bytes of the stream, at most TAIL_BYTES."""
        pieces, room = [], TAIL_BYTES
        if self.log is not None and self.log.fd >= 0 and self.log.regular:
            for offset, count in reversed(self._extents):
                take = min(count, room)
                pieces.append(os.pread(self.log.fd, take, offset + count - take))
                room -= take
                if not room:
                    break
        return (self._tail + b"".join(reversed(pieces)))[-TAIL_BYTES:]

    def last_lines(self, count: int) -> tuple[bytes, ...]:
        """The last lines, without their newlines; the first may lack its beginning."""
        lines = self.tail().splitlines()
        return tuple(lines[-count:]) if count > 0 else ()
