"""Waiting: for pipes that have something (Watch), and for a while (Alarm). Emptying the pipes is pump.py's matter."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
from collections.abc import Callable, Iterable
from typing import Protocol

from queuepool.logs.pipes import from_libc


class Watch(Protocol):
    """Tells which pipes have something, without being asked again and again."""

    def add(self, fd: int) -> None:
        """Begin to watch a pipe."""

    def arm(self, fd: int, known: int = 0) -> None:
        """Tell of this pipe again: once it has something, or more than the `known` bytes left in it on purpose."""

    def remove(self, fd: int) -> None:
        """Forget a pipe, before it is closed."""

    def listen(self, on: bool) -> None:
        """Call back when a pipe has something, or (off) stay silent and only collect."""

    def ready(self) -> Iterable[int]:
        """The pipes that have something and were not told of yet."""

    def close(self) -> None:
        """Watch nothing any more."""


class _Nested:
    """All pipes in one epoll, which is itself watched by the loop: while nobody listens, a thousand writers cost the
    loop nothing. Each is told of once (EPOLLONESHOT), and a pipe that keeps half a line at each new write (EPOLLET)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._epoll = select.epoll()
        self._fds: set[int] = set()
        self._edged: set[int] = set()
        self._listening = False
        self.listen(True)

    def add(self, fd: int) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        self._fds.add(fd)

    def arm(self, fd: int, known: int = 0) -> None:
        if not known:
            self._edged.discard(fd)
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)
        elif fd not in self._edged:  # it stays armed, and doing it again would tell of the known bytes
            self._edged.add(fd)
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def remove(self, fd: int) -> None:
        self._fds.discard(fd)
        self._edged.discard(fd)
        self._epoll.unregister(fd)

    def listen(self, on: bool) -> None:
        if on and not self._listening:
            self._loop.add_reader(self._epoll.fileno(), self._wake)
        elif not on and self._listening:
            self._loop.remove_reader(self._epoll.fileno())
        self._listening = on

    def ready(self) -> Iterable[int]:
        return [fd for fd, _ in self._epoll.poll(0, len(self._fds) + 1)]

    def close(self) -> None:
        self.listen(False)
        self._epoll.close()


class _OneByOne:
    """Each pipe watched by the loop itself: for systems without epoll."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._armed: set[int] = set()
        self._ready: set[int] = set()
        self._listening = True

    def add(self, fd: int) -> None:
        self.arm(fd)

    def arm(self, fd: int, known: int = 0) -> None:
        self._armed.add(fd)
        self._loop.add_reader(fd, self._saw, fd)

    def remove(self, fd: int) -> None:
        self._ready.discard(fd)
        if fd in self._armed:
            self._armed.discard(fd)
            self._loop.remove_reader(fd)

    def listen(self, on: bool) -> None:
        self._listening = on

    def ready(self) -> Iterable[int]:
        ready, self._ready = self._ready, set()
        return ready

    def close(self) -> None:
        for fd in tuple(self._armed):
            self.remove(fd)

    def _saw(self, fd: int) -> None:
        self.remove(fd)
        self._ready.add(fd)
        if self._listening:
            self._wake()


def make_watch(loop: asyncio.AbstractEventLoop, wake: Callable[[], None], nested: bool) -> Watch:
    """A watch that calls `wake`; nested: by one epoll for all pipes."""
    return _Nested(loop, wake) if nested else _OneByOne(loop, wake)


class Alarm:
    """Calls back once, after a pause that may be far below the millisecond to which asyncio's own timers are rounded
    up (timerfd, Linux; elsewhere one of asyncio's)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._fd = _timerfd()
        if self._fd is not None:
            loop.add_reader(self._fd, self._rang)

    def set(self, seconds: float) -> None:
        """Ring in `seconds`, and not at any time set before."""
        if self._fd is not None:
            _timerfd_set(self._fd, max(seconds, 1e-6))  # 0 would be never
        else:
            self.cancel()
            self._handle = self._loop.call_later(seconds, self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        if self._fd is not None:
            _timerfd_set(self._fd, 0.0)
        elif self._handle is not None:
            self._handle.cancel()

    def close(self) -> None:
        """Never ring again."""
        self.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _rang(self) -> None:
        assert self._fd is not None
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew between the ringing and this
        self._ring()


class _Timespec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


_libc_timerfd_create = from_libc("timerfd_create", ctypes.c_int, ctypes.c_int, result=ctypes.c_int)
_libc_timerfd_settime = from_libc(
    "timerfd_settime", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, result=ctypes.c_int
)
_spec = _Timespec()


def _timerfd() -> int | None:
    if _libc_timerfd_create is None or _libc_timerfd_settime is None:
        return None
    fd: int = _libc_timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)  # CLOCK_MONOTONIC
    return fd if fd >= 0 else None


def _timerfd_set(fd: int, seconds: float) -> None:
    _spec.s = int(seconds)
    _spec.ns = int(seconds % 1 * 1e9)
    _libc_timerfd_settime(fd, 0, ctypes.addressof(_spec), None)
