"""What one process prints, for a page that follows it: the end of its log, and from then on each line, straight from
its pipe. So the lines are its own also where all processes of a program write to one file. Where another engine has the
pipes, the log is followed."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import suppress

from queuepool.control.dashboard_hub import QUIET_SECONDS, frame
from queuepool.control.xmlrpc_logs import is_file, owner_of, reader_of
from queuepool.domain.pool import LogPolicy
from queuepool.errors import QueuepoolError
from queuepool.logs.lines import is_of
from queuepool.logs.opening import acting_as
from queuepool.logs.tail import last_lines

Subscribe = Callable[[Callable[[Hashable, str, bytes], None]], Callable[[], None]]
"""See Pump.subscribe."""

BREATH_SECONDS = 0.2
"""From a line to its frame, which takes along what comes meanwhile."""
FIRST_LINES = 500
"""Of the log; of these the page gets the process's own, where the lines say whose they are."""
LINES = 300
"""In one frame. When more was printed meanwhile, they are the last: nobody could read the others."""
LONGEST = 4000
"""Bytes of a line that are shown."""


class LogTail:
    """subscribe: to what all processes print; None: others write the logs, one for each process, and it is followed as
    a file. policy: where its standard output goes. label: its name, `default:3`. Raises QueuepoolError when the log
    cannot be read."""

    def __init__(self, subscribe: Subscribe | None, policy: LogPolicy, label: str) -> None:
        self._label = label
        self._path = policy.path or ""
        self._lines: deque[bytes] = deque(maxlen=LINES)
        self._partial: dict[Hashable, bytes] = {}
        self._news = asyncio.Event()
        self._skipped = 0
        self._subscribe = subscribe
        self._policy = policy
        try:
            self._past()
        except OSError as error:
            raise QueuepoolError(
                f"cannot read {self._path}: {error.strerror or error}", f"`ls -l {self._path}` shows who may"
            ) from None

    async def frames(self, ended: asyncio.Event) -> AsyncIterator[bytes]:
        """`log` first, with what is there, then `lines`, until `ended`; now and then one without any, so that the page
        knows that the connection lives."""
        ends = asyncio.ensure_future(ended.wait())
        unsubscribe = self._subscribe(self._printed) if self._subscribe is not None else self._follow()
        try:
            own, shared = self._past()  # in the same turn of the loop, so that nothing is lost or told twice
            yield frame("log", {"file": self._path, "lines": [_text(line) for line in own], "shared": shared})
            while not ended.is_set():
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({news, ends}, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self._news.is_set():
                    await asyncio.sleep(BREATH_SECONDS)
                self._news.clear()
                lines, skipped = [_text(line) for line in self._lines], self._skipped
                self._lines.clear()
                self._skipped = 0
                yield frame("lines", {"lines": lines, "skipped": skipped})
        finally:
            ends.cancel()
            unsubscribe()

    def _follow(self) -> Callable[[], None]:
        """Hear what comes into the file; returns what ends it. One that is not there yet is for the next page."""
        from queuepool.control.xmlrpc_logs import Tail

        try:
            tail = Tail(self._policy, head=0)
        except OSError:
            return lambda: None
        ended = asyncio.Event()

        async def read() -> None:
            with suppress(OSError):
                async for piece in tail.pieces(ended):
                    self._printed(self._path, self._label, piece)

        self._reading = asyncio.ensure_future(read())  # kept: the loop itself keeps no strong reference
        return ended.set

    def _printed(self, key: Hashable, label: str, chunk: bytes) -> None:
        """Some process printed something."""
        if label != self._label:
            return
        *whole, rest = (self._partial.pop(key, b"") + chunk).split(b"\n")
        if len(rest) > LONGEST:
            whole, rest = [*whole, rest], b""
        if rest:
            self._partial[key] = rest
        self._skipped += max(0, len(self._lines) + len(whole) - LINES)
        self._lines.extend(whole)
        if whole:
            self._news.set()

    def _past(self) -> tuple[list[bytes], bool]:
        """The last lines of the log, and whether some do not tell whose they are. Raises OSError."""
        policy = self._policy
        if policy.path is None or not is_file(policy.path):
            return [], False
        lines: list[bytes] = []
        reader = reader_of(policy.path, owner_of(policy))
        with acting_as(reader), suppress(FileNotFoundError), open(policy.path, "rb", opener=_open) as file:
            lines = last_lines(file, FIRST_LINES).splitlines()
        whose = [is_of(line, self._label) for line in lines]
        own = [line for line, own in zip(lines, whose, strict=True) if own is not False][-LINES:]
        return own, self._subscribe is not None and None in whose


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)  # its owner may have made a FIFO of it meanwhile


def _text(line: bytes) -> str:
    return line[:LONGEST].decode("utf-8", "replace")
