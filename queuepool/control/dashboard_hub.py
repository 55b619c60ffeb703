"""One look for all open pages: as long as there is one, it takes the state each second, works out once what changed,
and lets every page have the same bytes. What is told is feed.py's matter, over which connection dashboard.py's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any

from pydantic_core import to_json

from queuepool.control.feed import NOTHING, History, State, difference, event_row
from queuepool.controller.journal import Journal

LOOK_SECONDS = 1.0
QUIET_SECONDS = 5.0
"""After so long without news something is said nevertheless, so that a page notices when the connection is dead."""

EVENTS_TOLD = 200
"""Events in one frame; when more happened, the last ones."""

Look = Callable[[], State]


class Hub:
    """look: takes the state. journal: whose events the pages get too. birth: names this life of the daemon, so that a
    page which was connected to another one knows. on_defect: told of an exception that nobody foresaw."""

    def __init__(
        self,
        look: Look,
        journal: Journal,
        birth: str,
        *,
        on_defect: Callable[[BaseException], None],
        seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._look = look
        self._journal = journal
        self._birth = birth
        self._on_defect = on_defect
        self._seconds = seconds
        self._clock = clock
        self._state = NOTHING
        self._history = History()
        self._number = 0
        self._seen = 0
        self._told = 0.0
        self._latest = b""
        self._cache: dict[str, tuple[int, bytes]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self.pages = 0

    async def frames(self, last_id: str = "") -> AsyncIterator[bytes]:
        """What one page is told: everything at first, then what changes, until `end`. A page that is slow to read gets
        no backlog, but everything anew. last_id: of the last frame that it got before.
        """
        self.pages += 1
        if self.pages == 1:
            self._begin()
        try:
            seq = self._resumed(last_id)
            yield b"retry: %d\n\n" % (1000 + 37 * self.pages % 2000)  # not all at once after a restart
            yield self._history_frame()
            number: int | None = None
            while not self._ended:
                before, number = number, self._number  # taken before a yield, which may last
                if before is not None and before == number - 1:
                    seq = self._seen
                    yield self._latest
                elif before != number:
                    since, seq = seq, self._seen
                    events = self._events(since, seq)
                    yield self._whole()
                    if events:
                        yield frame("events", {"events": events}, f"{self._birth}-{seq}")
                await self._next(number)
        finally:
            self.pages -= 1
            if self.pages == 0:
                self._stop()

    def end(self) -> None:
        """End every stream: the daemon is about to stop serving."""
        self._ended = True
        self._news.set()
        self._stop()

    # --- one look for all ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._seen = self._newest()
        self._try()
        self._task = asyncio.get_running_loop().create_task(self._go_on(), name="pages")

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _go_on(self) -> None:
        pause = self._seconds
        while True:
            await asyncio.sleep(pause)
            pause = self._seconds if self._try() else 10 * self._seconds

    def _try(self) -> bool:
        try:
            self._tick()
        except Exception as error:  # noqa: BLE001 - said in the log, and tried again
            self._on_defect(error)
            return False
        return True

    def _tick(self) -> None:
        """Look, and tell what is new."""
        now = self._clock()
        state = self._look()
        self._history.add(now, state.tables["queues"])
        delta = difference(self._state, state)
        newest = self._newest()
        events = self._events(self._seen, newest)
        if not delta and not events and 0 <= now - self._told < QUIET_SECONDS:
            return
        self._state, self._seen, self._told = state, newest, now
        self._number += 1
        facts = {"now": round(now, 3), "pages": self.pages, "changes": delta, "events": events}
        self._latest = frame("changes", facts, f"{self._birth}-{self._seen}")
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _next(self, number: int) -> None:
        while number == self._number and not self._ended:
            await self._news.wait()

    # --- frames -------------------------------------------------------------------------------------------------------

    def _whole(self) -> bytes:
        """Everything, made once for all that need it."""
        facts = {"now": round(self._told, 3), "birth": self._birth, "state": self._state.to_json()}
        return self._once("whole", lambda: frame("whole", facts))

    def _history_frame(self) -> bytes:
        return self._once("history", lambda: frame("history", self._history.to_json()))

    def _once(self, name: str, make: Callable[[], bytes]) -> bytes:
        number, made = self._cache.get(name, (-1, b""))
        if number != self._number:
            made = make()
            self._cache[name] = (self._number, made)
        return made

    def _events(self, since: int, until: int) -> list[dict[str, Any]]:
        """The events after a number up to another, the last ones when there are many."""
        younger = self._newest() - until
        last = islice(reversed(self._journal.events), younger, younger + min(until - since, EVENTS_TOLD))
        return [event_row(event) for event in last][::-1] if since < until else []

    def _newest(self) -> int:
        return self._journal.events[-1].seq if self._journal.events else 0

    def _resumed(self, last_id: str) -> int:
        """The number of the last event that a page has; 0: none of this daemon."""
        birth, _, seq = last_id.rpartition("-")
        return int(seq) if birth == self._birth and seq.isascii() and seq.isdecimal() and len(seq) < 16 else 0


def frame(event: str, data: Any, number: str = "") -> bytes:
    """One server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    head = f"event: {event}\n" + (f"id: {number}\n" if number else "")
    return head.encode() + b"data: " + as_bytes(data) + b"\n\n"


def as_bytes(data: Any) -> bytes:
    """JSON in one line."""
    try:
        return to_json(data)
    except ValueError:  # a lone surrogate: a file name, or a worker's output, that is not UTF-8
        return json.dumps(data).encode()
