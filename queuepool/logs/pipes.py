"""Pipes as the kernel sees them: how much is in one, moving it into a file, seeing where its last line ends. Hearing of
the ones that have something is watching.py's matter; what is done with which pipe, and when, is pump.py's."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import sys
import termios
from typing import Any, Protocol

LARGEST_PIPE = 1 << 20
"""Bytes; /proc/sys/fs/pipe-max-size as Linux ships it (man 7 pipe)."""

_SLICE = 512 * 1024
"""Bytes per splice. ext4 takes folios as large as the write: 512 KB costs three quarters of the CPU of 128 KB, and 1 MB
often twice as much, when such folios are hard to find."""
_NONBLOCK = getattr(os, "SPLICE_F_NONBLOCK", 2)
_NEWLINE_IN = 4096  # a line's end is first looked for in this many last bytes
_SET_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)
_GET_SIZE = getattr(fcntl, "F_GETPIPE_SZ", None)
_count = array.array("i", [0])


def available(fd: int) -> int:
    """Bytes that wait in a pipe."""
    fcntl.ioctl(fd, termios.FIONREAD, _count)
    return _count[0]


def capacity(fd: int) -> int:
    """Bytes that a pipe can hold; 64 KiB where the system does not tell."""
    return int(fcntl.fcntl(fd, _GET_SIZE)) if _GET_SIZE is not None else 1 << 16


def grow(fd: int, wanted: int) -> int:
    """Ask for room for `wanted` bytes; the room there is then. It may be refused: an unprivileged user may have 64 MB
    of pipes in all (EPERM, man 7 pipe), and a pipe that holds more already cannot shrink (EBUSY)."""
    if _SET_SIZE is not None:
        try:
            return int(fcntl.fcntl(fd, _SET_SIZE, wanted))
        except OSError:
            pass
    return capacity(fd)


class Peek:
    """What a pipe holds: `total` bytes, of which the first `whole` end with a newline; `rest` are the bytes after
    those where they were looked at (they are when there are at most 4096)."""

    __slots__ = ("rest", "total", "whole")

    def __init__(self, total: int, whole: int, rest: bytes) -> None:
        self.total = total
        self.whole = whole
        self.rest = rest


_NOTHING = Peek(0, 0, b"")


class Mover(Protocol):
    """Takes bytes out of pipes."""

    def move(self, source: int, target: int, at: int, count: int) -> int:
        """Move `count` bytes, which are there, from a pipe to offset `at` of a regular file; how many it took. OSError
        is the file's."""

    def read(self, source: int, limit: int) -> bytes:
        """Take up to `limit` bytes."""

    def peek(self, source: int) -> Peek:
        """Look, and take nothing."""

    def waiting(self, source: int) -> int:
        """Bytes that have not been taken yet. They end where a write of at most 4096 bytes ends (pipe(7))."""

    def forget(self, source: int) -> None:
        """The pipe is about to be closed."""

    def close(self) -> None:
        """Give everything back."""


class _Splicer:
    """Moves inside the kernel (splice, tee: Linux), so that a process that is killed in the middle loses nothing: what
    is no longer in the pipe is in the file."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        grow(self._write, LARGEST_PIPE)
        self._null = os.open(os.devnull, os.O_WRONLY)

    def move(self, source: int, target: int, at: int, count: int) -> int:
        moved = 0
        while moved < count:
            try:
                n = os.splice(source, target, min(count - moved, _SLICE), offset_dst=at + moved, flags=_NONBLOCK)
            except BlockingIOError:
                break
            except OSError as error:
                if moved:
                    break  # the next call meets it again, and this one tells what is in the file
                if error.errno == errno.EINVAL:  # a file system that knows no splice
                    return self._copy(source, target, at, count)
                raise
            if not n:
                break
            moved += n
        return moved

    def read(self, source: int, limit: int) -> bytes:
        # The descriptor is shared with the worker and has to stay a blocking one, so ask before reading.
        return os.read(source, min(n, limit)) if (n := available(source)) else b""

    def peek(self, source: int) -> Peek:
        total = _tee(source, self._write)
        if not total:
            return _NOTHING
        looked = min(total, _NEWLINE_IN)
        skip = total - looked
        while skip:
            skip -= os.splice(self._read, self._null, skip)
        tail = os.read(self._read, looked)
        if (end := tail.rfind(b"\n") + 1) or total == looked:
            return Peek(total, total - looked + end if end else 0, tail[end:])
        total = _tee(source, self._write)
        data = b"".join(iter(self._drain, b""))
        return Peek(total, data.rfind(b"\n") + 1, b"")

    def waiting(self, source: int) -> int:
        return available(source)

    def forget(self, source: int) -> None:
        pass

    def close(self) -> None:
        for fd in (self._read, self._write, self._null):
            os.close(fd)

    def _copy(self, source: int, target: int, at: int, count: int) -> int:
        """Move by way of this process's memory; taken from the pipe only when it is in the file."""
        if not _tee(source, self._write):
            return 0
        data = self._drain()[:count]
        while self._drain():
            pass
        moved = os.pwrite(target, data, at)
        os.read(source, moved)
        return moved

    def _drain(self) -> bytes:
        try:
            return os.read(self._read, LARGEST_PIPE)
        except BlockingIOError:
            return b""


class _Copier:
    """Moves by reading and writing, where there is no splice. An unfinished line that `peek` met is kept in memory."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}

    def move(self, source: int, target: int, at: int, count: int) -> int:
        data = self._take(source)
        view, moved = memoryview(data)[:count], 0
        try:
            while moved < len(view):
                moved += os.pwrite(target, view[moved:], at + moved)
        except OSError:
            if not moved:
                raise
        finally:
            self._kept[source] = data[moved:]
        return moved

    def read(self, source: int, limit: int) -> bytes:
        data = self._take(source)
        self._kept[source] = data[limit:]
        return data[:limit]

    def peek(self, source: int) -> Peek:
        data = self._kept[source] = self._take(source)
        end = data.rfind(b"\n") + 1
        return Peek(len(data), end, data[end:])

    def waiting(self, source: int) -> int:
        return available(source) + len(self._kept.get(source, b""))

    def forget(self, source: int) -> None:
        self._kept.pop(source, None)

    def close(self) -> None:
        self._kept.clear()

    def _take(self, source: int) -> bytes:
        kept = self._kept.pop(source, b"")
        room = LARGEST_PIPE - len(kept)
        return kept + os.read(source, min(n, room)) if (n := available(source)) and room > 0 else kept


def can_splice() -> bool:
    """Whether this system has all that moving inside the kernel takes."""
    return sys.platform == "linux" and hasattr(os, "splice") and _libc_tee is not None


def make_mover(splice: bool) -> Mover:
    """A mover that works inside the kernel, or one that reads and writes."""
    return _Splicer() if splice else _Copier()


def from_libc(name: str, *arguments: Any, result: Any) -> Any:
    """A function of the C library that Python's os lacks (tee everywhere, timerfd before 3.13); None where there is no
    such function."""
    if sys.platform != "linux":
        return None
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = arguments, result
    return function


_libc_tee = from_libc("tee", ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, result=ctypes.c_ssize_t)


def _tee(source: int, target: int) -> int:
    n: int = _libc_tee(source, target, LARGEST_PIPE, _NONBLOCK)
    if n >= 0:
        return n
    code = ctypes.get_errno()
    if code == errno.EAGAIN:
        return 0
    raise OSError(code, os.strerror(code))
