"""Following logs while they are written and rotated, by whoever does it and however: a rename and a new file, a copy
that is then cut off (logrotate's copytruncate), a removal. Nothing is lost or shown twice, since a file is known by its
inode and is read to its end before the next. Reading back is tail.py's matter."""

from __future__ import annotations

import glob
import gzip
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from queuepool.logs.tail import Identity, files_of, last_lines, open_log_file

POLL_SECONDS = 0.1
LINGER_SECONDS = 2.0
"""How long a file that was moved away is still looked at: its writer may not have noticed yet."""

_MARK = 64
_BLOCK = 256 * 1024


@dataclass(slots=True)
class _Open:
    """A file being read. at: the offset after what was read. mark: the bytes before it. partial: the unfinished line
    at its end. until: when to let go of it, once another has its name."""

    file: IO[bytes]
    identity: Identity
    at: int = 0
    mark: bytes = b""
    partial: bytes = b""
    until: float | None = None


@dataclass(slots=True)
class _Log:
    """before: the files that were there when there was none of the log's own name."""

    path: str
    current: _Open | None = None
    moved: list[_Open] = field(default_factory=list)
    before: frozenset[Identity] = frozenset()


class Follower:
    """Follows any number of logs. whole: hand out whole lines only; else what comes, as it comes."""

    def __init__(self, *, whole: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._whole = whole
        self._clock = clock
        self._logs: dict[str, _Log] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """The logs that are followed."""
        return tuple(self._logs)

    def add(self, path: str, lines: int = 0) -> bytes:
        """Begin to follow a log, which need not exist yet; its last `lines` lines, after which `poll` goes on without a
        gap. OSError when it exists and cannot be read."""
        log = self._logs[path] = _Log(path)
        current = _open(path)
        if current is None:
            log.before = frozenset(identity for _, identity, _ in _listing(path))
            return b""
        log.current = current
        end = os.fstat(current.file.fileno()).st_size
        if self._whole:
            end -= len(_unfinished(current.file, end))
        current.at = end
        current.mark = _read(current.file, max(0, end - _MARK), min(end, _MARK))
        data = last_lines(current.file, lines, end)
        for name in files_of(path)[1:]:
            missing = lines - data.count(b"\n") - (not data.endswith(b"\n") and bool(data))
            if missing <= 0:
                break
            with open_log_file(name) as file:
                if _identity(os.fstat(file.fileno())) != current.identity:
                    data = last_lines(file, missing) + data
        return data

    def position(self, path: str) -> tuple[Identity, int] | None:
        """The file of a log that is being read and the offset up to which it was; None while there is none."""
        current = self._logs[path].current
        return (current.identity, current.at) if current is not None else None

    def before(self, path: str, size: int) -> bytes:
        """The last `size` bytes before that position."""
        current = self._logs[path].current
        if current is None:
            return b""
        return _read(current.file, max(0, current.at - size), min(current.at, size))

    def poll(self) -> Iterator[tuple[str, bytes]]:
        """What has come since the last time, as (path, bytes), in the order in which each log was written."""
        for log in self._logs.values():
            for data in self._look(log):
                if data:
                    yield log.path, data

    def close(self) -> None:
        """Let go of all files."""
        for log in self._logs.values():
            for each in (*log.moved, *([log.current] if log.current else [])):
                each.file.close()
        self._logs.clear()

    def _look(self, log: _Log) -> Iterator[bytes]:
        for old in tuple(log.moved):
            yield from self._lines(old, self._grown(log, old))
            if old.until is not None and self._clock() >= old.until:
                if old.partial:
                    yield old.partial + b"\n"
                old.file.close()
                log.moved.remove(old)
        try:
            seen = os.stat(log.path)
        except OSError:
            seen = None
        current = log.current
        if current is not None:
            yield from self._lines(current, self._grown(log, current))
        if seen is not None and (current is None or _identity(seen) != current.identity):
            yield from self._turn(log)

    def _turn(self, log: _Log) -> Iterator[bytes]:
        """Another file has the log's name: go on there, by way of those that had it in between."""
        for each in _newer(log):  # none while it moves this very moment: again, the next time
            if log.current is not None:
                yield from self._lines(log.current, self._grown(log, log.current))
                log.current.until = self._clock() + LINGER_SECONDS
                log.moved.append(log.current)
            log.current = each
            yield from self._lines(each, self._grown(log, each))

    def _grown(self, log: _Log, each: _Open) -> Iterator[bytes]:
        """What was added to a file since it was read; all of it, when it was cut off meanwhile."""
        file = each.file
        if isinstance(file, gzip.GzipFile):
            yield from iter(lambda: file.read(_BLOCK), b"")
            return
        size = os.fstat(file.fileno()).st_size
        if size == each.at:
            return
        if size < each.at or _read(file, each.at - len(each.mark), len(each.mark)) != each.mark:
            yield from self._copied(log, each)
            each.at, each.mark = 0, b""
        while data := _read(file, each.at, _BLOCK):
            each.at += len(data)
            each.mark = (each.mark + data)[-_MARK:]
            yield data

    def _copied(self, log: _Log, each: _Open) -> Iterator[bytes]:
        """The end of what a file held before it was copied and cut off, from the copy."""
        for name in sorted(glob.glob(f"{glob.escape(log.path)}[.-]*"), key=os.path.getmtime, reverse=True):
            if name.endswith((".gz", ".part")):
                continue
            with open(name, "rb") as file:
                if each.mark and _read(file, each.at - len(each.mark), len(each.mark)) == each.mark:
                    file.seek(each.at)
                    yield file.read()
                    return

    def _lines(self, each: _Open, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for data in chunks:
            if not self._whole:
                yield data
                continue
            data = each.partial + data
            end = data.rfind(b"\n") + 1
            each.partial = data[end:]
            yield data[:end]


def _open(path: str) -> _Open | None:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return None
    return _Open(file, _identity(os.fstat(file.fileno())))


def _newer(log: _Log) -> list[_Open]:
    """The files, opened, oldest first, that have had the log's name since the current one; [] when that cannot be told
    now."""
    path, old = log.path, log.current
    listed = _listing(path)
    known = [identity for _, identity, _ in listed]
    if old is None:
        wanted = [each for each in listed if each[1] not in log.before]
    elif old.identity in known:
        wanted = listed[: known.index(old.identity)]
    else:  # gzipped meanwhile, or removed; a .gz has the time of what it was made of
        at = os.fstat(old.file.fileno()).st_mtime_ns
        wanted = [each for index, each in enumerate(listed) if index == 0 or each[2] > at]
    opened: list[_Open] = []
    try:
        for name, identity, _ in reversed(wanted):
            file = open_log_file(name)
            opened.append(_Open(file, identity))
            if _identity(os.fstat(file.fileno())) != identity:
                raise FileNotFoundError(name)
        if [identity for _, identity, _ in _listing(path)] == known:
            return opened
    except FileNotFoundError:
        pass
    for each in opened:
        each.file.close()
    return []


def _listing(path: str) -> list[tuple[str, Identity, int]]:
    found = []
    for name in files_of(path):
        try:
            seen = os.stat(name)
        except FileNotFoundError:
            continue
        found.append((name, _identity(seen), seen.st_mtime_ns))
    return found


def _unfinished(file: IO[bytes], end: int) -> bytes:
    line = last_lines(file, 1, end)
    return b"" if line.endswith(b"\n") else line


def _identity(seen: os.stat_result) -> Identity:
    return seen.st_dev, seen.st_ino


def _read(file: IO[bytes], at: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, at) if at >= 0 else b""
