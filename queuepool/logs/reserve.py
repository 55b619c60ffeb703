"""Room on the disk for a burst, asked for ahead: the file system then looks for blocks once for all of it instead of
for every page, a quarter of the cost of a copy on ext4. Which burst deserves it is rotating.py's matter."""

from __future__ import annotations

import ctypes
import os
import sys

from queuepool.logs.pipes import from_libc

_KEEP_SIZE = 1  # linux/falloc.h
_fallocate = from_libc(
    "fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long, result=ctypes.c_int
)  # posix_fallocate changes the size, and writes zeros where the file system knows nothing better


def can_reserve(fd: int) -> bool:
    """Whether asking for room ahead of the end of this file is known here and worth it. In memory it costs more than it
    saves, over a network it is a round trip, and where files share blocks (btrfs, overlays) it is no promise: none of
    those has a block device of its own behind it."""
    return _fallocate is not None and sys.maxsize > 1 << 32 and os.major(os.fstat(fd).st_dev) != 0


def reserve(fd: int, start: int, count: int) -> bool:
    """Ask for blocks for `count` bytes from `start` on, without a change of the size; False when there are none. Only
    where that can be asked for."""
    return bool(_fallocate(fd, _KEEP_SIZE, start, count) == 0)
