"""Which stream wrote to each log last, kept in a file: when the daemon is killed in the middle of a line, the next one
knows whose rest of it is still in a pipe, and lets nobody else write before that."""

from __future__ import annotations

import hashlib
import os

_DIGEST = 16
_SLOT = 2 * _DIGEST
_LARGEST = 1 << 20


def digest(text: str) -> bytes:
    """What stands in the ledger for a path or a stream's name."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:_DIGEST]


class Ledger:
    """The file `writers` of a directory; None: nothing is kept."""

    def __init__(self, directory: str | None) -> None:
        self._slots: dict[bytes, int] = {}
        self._writers: dict[bytes, bytes] = {}
        self._fd = None
        if directory is None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(os.path.join(directory, "writers"), flags, 0o600)
        if os.fstat(self._fd).st_size > _LARGEST:  # years of logs that are no more
            os.ftruncate(self._fd, 0)
        data = os.pread(self._fd, _LARGEST, 0)
        for at in range(0, len(data) - _SLOT + 1, _SLOT):
            log, writer = data[at : at + _DIGEST], data[at + _DIGEST : at + _SLOT]
            self._slots[log] = at
            self._writers[log] = writer

    def writer(self, path: str) -> bytes | None:
        """The digest of the stream that wrote last to a log, as the former daemon left it."""
        return self._writers.get(digest(path))

    def note(self, path: str, writer: bytes) -> None:
        """`writer` is about to write. One write of a few bytes, which a kill cannot cut."""
        if self._fd is None:
            return
        log = digest(path)
        at = self._slots.get(log)
        if at is None:
            at = self._slots[log] = len(self._slots) * _SLOT
            os.pwrite(self._fd, log + writer, at)
        else:
            os.pwrite(self._fd, writer, at + _DIGEST)

    def close(self) -> None:
        """Keep the file, let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
