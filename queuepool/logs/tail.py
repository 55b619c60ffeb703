"""Reading logs back: the last lines, and what was written since a time, across the files that rotation made of a log.
Going on with what comes is follow.py's matter."""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from queuepool.logs.backups import backup
from queuepool.logs.lines import time_of

BLOCK = 64 * 1024

Identity = tuple[int, int]
"""Device and inode of a file."""


@dataclass(frozen=True, slots=True)
class Since:
    """What a log holds since a time. dated: whether its lines tell times; if not, `chunks` begin with the first file
    that was written to after that time, from its beginning."""

    dated: bool
    chunks: Iterator[bytes]


def files_of(path: str) -> list[str]:
    """The files of a log that exist, newest first: itself, .1, .2 ... or their .gz."""
    found = [path] if os.path.exists(path) else []
    number = 1
    while (name := backup(path, number) or backup(path, number + 1)) is not None:  # a kill while rotating leaves a gap
        if name not in found:
            found.append(name)
        number += 1
    return found


def last(path: str, *, lines: int | None = None, size: int | None = None) -> bytes:
    """The end of a log: its last `lines` lines, or its last `size` bytes, from older files too where the newest has
    too few. Reads no more than that of files that are not compressed. OSError when a file cannot be read."""
    pieces: list[bytes] = []
    have = 0
    for name in files_of(path):
        with open_log_file(name) as file:
            if lines is not None:
                piece = last_lines(file, lines - have)
                if pieces and piece and not piece.endswith(b"\n"):
                    piece += b"\n"
                have += _count(piece)
            else:
                piece = _last_bytes(file, (size or 0) - have)
                have += len(piece)
        pieces.append(piece)
        if have >= (lines if lines is not None else size or 0):
            break
    return b"".join(reversed(pieces))


def open_log_file(name: str) -> IO[bytes]:
    """Open a log or one of its kept files to read what was written to it."""
    return gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb")  # type: ignore[return-value]


def last_lines(file: IO[bytes], count: int, end: int | None = None) -> bytes:
    """The last `count` lines of what a file holds before `end`; an unfinished one at the end counts."""
    if count <= 0:
        return b""
    if isinstance(file, gzip.GzipFile):
        return b"".join(deque(file, maxlen=count))
    at = file.seek(0, os.SEEK_END) if end is None else end
    pieces: list[bytes] = []
    found = -1  # the newline that ends the last line begins no other
    while at > 0:
        step = min(BLOCK, at)
        at -= step
        file.seek(at)
        block = file.read(step)
        if not pieces and not block.endswith(b"\n"):
            found = 0
        found += block.count(b"\n")
        pieces.append(block)
        if found >= count:
            break
    data = b"".join(reversed(pieces))
    for _ in range(found - count + 1 if found >= count else 0):
        data = data[data.index(b"\n") + 1 :]
    return data


def since(path: str, moment: float, upto: tuple[Identity, int] | None = None) -> Since:
    """What a log holds since `moment` (unix time). upto: the file and the offset in it where to stop."""
    names = [name for name in files_of(path) if os.path.getmtime(name) >= moment]
    dated = any(_is_dated(name) for name in reversed(names))
    return Since(dated, _since(names[::-1], moment, upto))


def _since(names: list[str], moment: float, upto: tuple[Identity, int] | None) -> Iterator[bytes]:
    begun = False
    for name in names:
        with open_log_file(name) as file:
            seen = os.fstat(file.fileno())
            final = upto is not None and (seen.st_dev, seen.st_ino) == upto[0]
            stop = upto[1] if upto is not None and final else None
            if not begun:
                first = _first_after(file, moment)
                begun = bool(first) and (stop is None or file.tell() <= stop)
                if begun:
                    yield first
            while begun and (data := file.read(BLOCK if stop is None else min(BLOCK, stop - file.tell()))):
                yield data
            if final:
                return


def _first_after(file: IO[bytes], moment: float) -> bytes:
    """The first line written since `moment`, with the file standing after it; b"" when there is none. In a file without
    times it is the first line. Lines without one belong to the line above them."""
    start = 0 if isinstance(file, gzip.GzipFile) else _bisect(file, moment)
    file.seek(start)
    any_time = False
    for line in iter(file.readline, b""):
        told = time_of(line)
        any_time = any_time or told is not None
        if told is not None and told >= moment:
            return line
    if any_time or start:
        return b""
    file.seek(0)
    return file.readline()


def _bisect(file: IO[bytes], moment: float) -> int:
    """An offset, the start of a line, before which every line is older than `moment`; near the first that is not."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > 2 * BLOCK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        told = None
        while told is None and file.tell() < min(high, middle + BLOCK):
            here = file.tell()
            told = time_of(file.readline())
        if told is None or told >= moment:
            high = middle
        else:
            low = here
    return low


def _is_dated(name: str) -> bool:
    with open_log_file(name) as file:
        return any(time_of(line) is not None for line in file.read(BLOCK).splitlines())


def _last_bytes(file: IO[bytes], count: int) -> bytes:
    if isinstance(file, gzip.GzipFile):
        tail = b""
        while block := file.read(BLOCK):
            tail = (tail + block)[-count:]
        return tail
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - count))
    return file.read(count)


def _count(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
