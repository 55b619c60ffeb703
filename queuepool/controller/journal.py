"""What happened, kept and told: a ring of events, those who listen, and the daemon's log file. The vocabulary of events
is domain/events.py's; what is an event is decided where it happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from queuepool.domain.events import Event, Kind

KEPT = 5000
Fact = str | int | float | bool | None


class Journal:
    """The ring of the last events; `listeners` are called with each, at once."""

    def __init__(self, *, clock: Callable[[], float] = time.time, kept: int = KEPT) -> None:
        self.events: deque[Event] = deque(maxlen=kept)
        self.listeners: list[Callable[[Event], None]] = []
        self._clock = clock
        self._seq = 0
        self._news = asyncio.Event()

    def add(self, kind: Kind, subject: str = "", facts: Mapping[str, Fact] | None = None) -> Event:
        """Let everybody know that this happened now."""
        self._seq += 1
        event = Event(self._clock(), kind, subject, facts or {}, self._seq)
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        self._news.set()
        return event

    async def stream(self, since: int = 0, follow: bool = False) -> AsyncIterator[dict[str, Any]]:
        """The events with a number above `since` as JSON objects; with `follow` also those to come, for ever."""
        while True:
            self._news.clear()
            if self._seq > since:
                for event in [event for event in self.events if event.seq > since]:
                    since = event.seq
                    yield as_json(event)
            if not follow:
                return
            await self._news.wait()

    async def saw(self, matches: Callable[[Event], bool], seconds: float = 10.0, since: int = 0) -> Event:
        """The first event, from number `since` on, that matches; waits for it. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                self._news.clear()
                for event in self.events:
                    if event.seq > since and matches(event):
                        return event
                await self._news.wait()


def as_json(event: Event) -> dict[str, Any]:
    """An event as `queuepool events --json` prints it."""
    return {
        "seq": event.seq,
        "time": event.time,
        "event": event.kind.value,
        "process": event.subject,
        "fields": dict(event.fields),
        "line": event.line(),
        "sentence": event.sentence(),
    }


class LogFile:
    """The daemon's own log: a line per event, rotated at 10 MB with 3 backups. All lines of a turn of the loop are
    written at once: formatting a record for each would take longer than starting the process it tells of. Trouble with
    the file is ignored: a full disk must not stop anything, and the journal can still be asked for."""

    def __init__(self, path: str) -> None:
        self._handler = logging.handlers.RotatingFileHandler(path, maxBytes=10 << 20, backupCount=3, delay=True)
        self._handler.handleError = lambda record: None  # type: ignore[method-assign]
        self._lines: list[str] = []
        self._second = (0, "")

    def __call__(self, event: Event) -> None:
        """Write one event, by the end of this turn of the loop."""
        second = int(event.time)
        if second != self._second[0]:
            self._second = (second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)))
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        line = event.line()
        if not line.isprintable():  # somebody will read the file with `cat`, and the name of a job may be anybody's
            line = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line)
        self._lines.append(f"{self._second[1]},{int(event.time % 1 * 1000):03d} {line}")

    def flush(self) -> None:
        """Write what has been kept."""
        if self._lines:
            text, self._lines = "\n".join(self._lines), []
            self._handler.handle(logging.LogRecord("queuepool", logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file; it is opened again by the next line."""
        self.flush()
        with contextlib.suppress(OSError):
            self._handler.close()
