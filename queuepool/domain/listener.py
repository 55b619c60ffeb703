"""Event listeners: the protocol that one speaks (supervisor/dispatchers.py, PEventListenerDispatcher) and the buffer of
events of a pool (supervisor/process.py, EventListenerPool). Moving the bytes is engines/listening.py's; what the events
are, supervisor_events.py's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from queuepool.domain.supervisor_events import Notice

READY = b"READY\n"
RESULT = b"RESULT "
LONGEST_LINE = 256
"""Bytes of a line `RESULT n`, far more than it needs; a longer one is garbage."""
_OK = b"OK"


class Hearing(Enum):
    """Where a listener is in the protocol; the values are Supervisor's (supervisor/states.py, EventListenerStates)."""

    READY = 10
    BUSY = 20
    ACKNOWLEDGED = 30
    UNKNOWN = 40


class Said(Enum):
    """What a listener's bytes come to."""

    READY = "it can take an event"
    OK = "it has dealt with its event"
    FAIL = "it has refused its event"
    GARBAGE = "it does not keep to the protocol, and gets no event any more"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener. begun: bytes that are not understood yet, at most LONGEST_LINE. missing: bytes of the result that
    are to come; None: it has not begun. result: its first bytes, enough to tell OK from everything else."""

    state: Hearing = Hearing.ACKNOWLEDGED
    begun: bytes = b""
    missing: int | None = None
    result: bytes = b""

    def told(self) -> Listener:
        """It has been given an event."""
        return Listener(Hearing.BUSY)

    def plain(self) -> dict[str, object]:
        """It as JSON holds it."""
        found: dict[str, object] = {"state": self.state.name}
        if self.begun or self.missing is not None:
            begun, result = self.begun.decode("latin-1"), self.result.decode("latin-1")
            found |= {"begun": begun, "missing": self.missing, "result": result}
        return found

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> Listener:
        """What `plain` gave. Raises KeyError and the like for what it did not."""
        begun, result = (str(plain.get(key, "")).encode("latin-1") for key in ("begun", "result"))
        return cls(Hearing[plain["state"]], begun, plain.get("missing"), result)


def hear(listener: Listener, data: bytes) -> tuple[Listener, list[Said]]:
    """What a listener is after it printed `data`, and what that means, in order. Nothing is kept of a result of any
    length but its first bytes."""
    said: list[Said] = []
    data = listener.begun + data
    listener = replace(listener, begun=b"")
    while data and listener.state is not Hearing.UNKNOWN:
        if listener.state is Hearing.ACKNOWLEDGED:
            if len(data) < len(READY) and READY.startswith(data):
                return replace(listener, begun=data), said
            if not data.startswith(READY):
                return _lost(said)
            data = data[len(READY) :]
            listener = Listener(Hearing.READY)
            said.append(Said.READY)
        elif listener.state is Hearing.READY:  # it was asked nothing
            return _lost(said)
        elif listener.missing is None:
            line, newline, data = data.partition(b"\n")
            if not newline and len(line) <= LONGEST_LINE:
                return replace(listener, begun=line), said
            missing = _length(line) if newline else None
            if missing is None:
                return _lost([*said, Said.FAIL])
            listener = replace(listener, missing=missing)
        if listener.missing is not None:
            taken, data = data[: listener.missing], data[listener.missing :]
            result = (listener.result + taken[: len(_OK) + 1])[: len(_OK) + 1]
            listener = replace(listener, missing=listener.missing - len(taken), result=result)
            if not listener.missing:
                said.append(Said.OK if result == _OK else Said.FAIL)
                listener = Listener()
    return listener, said


def _lost(said: list[Said]) -> tuple[Listener, list[Said]]:
    return Listener(Hearing.UNKNOWN), [*said, Said.GARBAGE]


def _length(line: bytes) -> int | None:
    """How long the result is that a line announces; None for one that announces none."""
    digits = line[len(RESULT) :].strip()
    return int(digits) if line.startswith(RESULT) and digits.isdigit() and len(digits) < 19 else None


@dataclass(frozen=True, slots=True)
class Told:
    """An event on its way to a pool. serial: its number in this daemon's life. pool_serial: among those of the pool.
    refusals: how often a listener refused it."""

    notice: Notice
    serial: int
    pool_serial: int
    refusals: int = 0

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> Told:
        """The event of which `plain` is the dictionary. Raises KeyError and the like for what is none."""
        return cls(**{**plain, "notice": Notice(**plain["notice"])})

    def refused(self) -> Told:
        """A listener has refused it once more."""
        return replace(self, refusals=self.refusals + 1)


@dataclass(frozen=True, slots=True)
class Buffer:
    """The events that wait for a listener of one pool, the oldest first. size: how many there may be. count: how many
    there were in all."""

    size: int = 10
    waiting: tuple[Told, ...] = ()
    count: int = 0

    def add(self, notice: Notice, serial: int) -> tuple[Buffer, Told | None]:
        """With one more event; and the oldest, where that had to go for it."""
        kept, gone = self._room()
        event = Told(notice, serial, self.count)
        return replace(self, waiting=(*kept, event), count=self.count + 1), gone

    def again(self, event: Told) -> tuple[Buffer, Told | None]:
        """With an event that a listener refused, or died of, at the front; and the one that had to go for it."""
        kept, gone = self._room()
        return replace(self, waiting=(event, *kept)), gone

    def sized(self, size: int) -> Buffer:
        """With room for another number of events; of what waits, the newest stay."""
        return self if size == self.size else replace(self, size=size, waiting=self.waiting[-size:])

    def take(self) -> tuple[Buffer, Told]:
        """Without the oldest; and that. IndexError when there is none."""
        return replace(self, waiting=self.waiting[1:]), self.waiting[0]

    def _room(self) -> tuple[tuple[Told, ...], Told | None]:
        return (self.waiting, None) if len(self.waiting) < self.size else (self.waiting[1:], self.waiting[0])


def pause(refusals: int) -> float:
    """Seconds until an event that was refused so often is tried again. The first times at once, as in Supervisor;
    then less and less often, so that a listener that refuses everything does not keep the machine busy."""
    return 0.0 if refusals < 3 else min(5.0, 0.05 * 2.0 ** min(refusals - 3, 10))


def envelope(event: Told, pool: str, server: str) -> bytes:
    """The event as a listener reads it. len counts characters, as Supervisor's does: its listeners read text."""
    name, body = event.notice.name, event.notice.body
    head = f"ver:3.0 server:{server} serial:{event.serial} pool:{pool} poolserial:{event.pool_serial}"
    return f"{head} eventname:{name} len:{len(body)}\n{body}".encode("utf-8", "replace")
