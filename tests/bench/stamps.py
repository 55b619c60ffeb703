"""The file in which the workers of a benchmark stamp what happens to them, read while they write (see worker.c)."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

CAPACITY = 1 << 17
HEADER, STAMP = struct.Struct("QQQ40x"), struct.Struct("QIIIxxxxQ")


class Kind(IntEnum):
    """What a stamp says."""

    START = 1
    TERM = 2
    END = 3
    DONE = 4


@dataclass(frozen=True, slots=True)
class Stamp:
    """ns: on the clock of time.monotonic_ns(). lines: printed so far by that process (in its START stamp only)."""

    ns: int
    pid: int
    kind: Kind
    slot: int
    lines: int


class Stamps:
    """One such file, a new one for each run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            os.ftruncate(fd, HEADER.size + STAMP.size * CAPACITY)  # sparse: only what is used is there
            self._map = mmap.mmap(fd, HEADER.size + STAMP.size * CAPACITY)
        finally:
            os.close(fd)

    def __len__(self) -> int:
        return int.from_bytes(self._map[:8], "little")

    def since(self, first: int = 0) -> Iterator[Stamp]:
        """The stamps from number `first` on, oldest first."""
        for i in range(first, len(self)):
            while True:
                ns, pid, kind, slot, lines = STAMP.unpack_from(self._map, HEADER.size + STAMP.size * i)
                if ns:
                    break
                time.sleep(0.0001)  # its number is taken, its time comes in a moment
            yield Stamp(ns, pid, Kind(kind), slot, lines)

    def starts(self, first: int = 0) -> list[Stamp]:
        """Only those that say START."""
        return [stamp for stamp in self.since(first) if stamp.kind is Kind.START]

    def wait(self, count: int, seconds: float, first: int = 0, kind: Kind = Kind.START) -> list[Stamp]:
        """The first `count` stamps of that kind after number `first`; Overdue when they do not come in time."""
        until(lambda: len(self) >= first + count, seconds, f"{count} stamps, {len(self) - first} came")
        found: list[Stamp] = []

        def enough() -> bool:
            found[:] = [stamp for stamp in self.since(first) if stamp.kind is kind]
            return len(found) >= count

        until(enough, seconds, f"{count} stamps of {kind.name}", every=0.005)
        return found[:count]

    def hush(self) -> None:
        """Tell chatting workers to be quiet."""
        self._map[8:16] = (1).to_bytes(8, "little")

    def go(self) -> None:
        """Let those begin that wait with their burst."""
        self._map[16:24] = (1).to_bytes(8, "little")

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


class Overdue(Exception):
    """Something did not come within its limit; the message says what."""


def until(true: Callable[[], object], seconds: float, what: str, every: float = 0.001) -> None:
    """Wait for it, looking every so often; Overdue after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Overdue(f"not within {seconds:g} s: {what}")
        time.sleep(every)
