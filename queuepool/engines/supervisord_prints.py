"""What a process printed last. Supervisor writes the logs, one after the other into the same file: what came from the
process before it is left out, as far as we know where it ended."""

from __future__ import annotations

import contextlib
import os

from queuepool.logs.tail import last

MOST_LINES = 20
MOST_BYTES = 65536


class Prints:
    """Marks in logs, by their paths."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, int]] = {}

    def mark(self, path: str | None) -> None:
        """What is printed from now on is of another process."""
        if path is not None:
            with contextlib.suppress(OSError):
                found = os.stat(path)
                self._marks[path] = found.st_ino, found.st_size

    def take(self, path: str | None) -> tuple[bytes, ...]:
        """The last lines since the mark, or at all where there is none or the file was rotated; a mark is set after
        them."""
        if path is None:
            return ()
        inode, size = self._marks.get(path, (0, 0))
        with contextlib.suppress(OSError):
            now = os.stat(path)
            if now.st_ino != inode or now.st_size < size:
                text = last(path, lines=MOST_LINES)
            else:
                text = last(path, size=min(now.st_size - size, MOST_BYTES)) if now.st_size > size else b""
            self.mark(path)
            return tuple(text.splitlines()[-MOST_LINES:])
        return ()
