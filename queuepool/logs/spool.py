"""What a worker printed, on its way to a log whose lines are decorated: kept in a file from the moment it leaves the
pipe until the decorated lines are in the log, so that a daemon killed at any point loses, doubles and tears no line.

A spool file is a header of 4096 bytes and then the bytes of the stream. The header says how far they have been written
to the log (cursor) and, while lines are being written, where they go and how long they are (the intent). Each change of
it is one pwrite of less than a page, which a kill cannot cut. Which lines are written when is pump.py's matter."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import asdict

from queuepool.domain.pool import LogPolicy
from queuepool.logs.opening import find_owner, open_existing
from queuepool.logs.pipes import Mover
from queuepool.logs.rotating import LogFile

BATCH = 256 * 1024
LONGEST_LINE = 1 << 20
"""A longer line is written in pieces: memory has to end somewhere."""
BACKLOG = 2 * LONGEST_LINE
"""As much is kept for a log that cannot be written; after that the oldest lines are dropped."""

_SUFFIX = ".spool"
_DATA = 4096
_MAGIC = b"qpspool1"
_RECORD = struct.Struct("<8s6Q")  # magic, cursor, upto (0: no intent), device and inode of the log, offset, length
_ABOUT = 64  # JSON after the record: label, policy
_TRIM = 64 * 1024
_COMPACT = 4 << 20

Decorate = Callable[[bytes, LogPolicy, str, float], bytes]


class Spool:
    """The spool of one stream. path: None for one that dies with the daemon (no spool directory, or no room there)."""

    __slots__ = ("_fd", "cursor", "end", "label", "path", "policy")

    def __init__(self, path: str | None, label: str, policy: LogPolicy) -> None:
        """Open the spool, with what an earlier life left in it, or make it."""
        self.path = path
        self.label = label
        self.policy = policy
        self._fd = _open(path)
        self.cursor, self.end = _DATA, max(os.fstat(self._fd).st_size, _DATA)
        found = _read_record(self._fd)
        if found is not None and found[0] <= self.end:  # else it was killed between cutting the file and saying so
            self.cursor = found[0]
        try:
            self.describe(label, policy)
        except OSError:  # a full disk; what is there already could be written in place
            if path is None or self.backlog:
                raise
            self.close()
            self.path, self._fd = None, _open(None)
            self.describe(label, policy)

    @property
    def backlog(self) -> int:
        """Bytes that are not in the log yet, an unfinished line included."""
        return self.end - self.cursor

    def describe(self, label: str, policy: LogPolicy) -> None:
        """Note whose lines these are and how they are written, for a daemon that finds nothing but this file."""
        self.label, self.policy = label, policy
        about = json.dumps({"label": label, "policy": asdict(policy)}).encode()
        record = _RECORD.pack(_MAGIC, self.cursor, 0, 0, 0, 0, 0).ljust(_ABOUT, b"\0")
        os.pwrite(self._fd, (record + about).ljust(_DATA, b"\0")[:_DATA], 0)

    def fill(self, mover: Mover, pipe: int) -> int:
        """Take what a pipe holds; how many bytes. OSError is the spool's."""
        moved = mover.move(pipe, self._fd, self.end, mover.waiting(pipe))
        self.end += moved
        return moved

    def put(self, data: bytes) -> None:
        """Take bytes that were read already. OSError is the spool's."""
        while data:
            written = os.pwrite(self._fd, data, self.end)
            self.end += written
            data = data[written:]

    def end_line(self) -> None:
        """See that what is taken next begins a line."""
        if self.backlog and os.pread(self._fd, 1, self.end - 1) != b"\n":
            try:
                self.end += os.pwrite(self._fd, b"\n", self.end)
            except OSError:  # a full disk: what could not be taken is cut off anyway, so let it be a byte more
                os.pwrite(self._fd, b"\n", self.end - 1)

    def read(self) -> bytes:
        """The next lines, whole ones; a piece of a line that is longer than LONGEST_LINE; b"" when there are none."""
        data = os.pread(self._fd, min(self.backlog, BATCH), self.cursor)
        cut = data.rfind(b"\n") + 1
        if not cut and self.backlog > len(data):
            data = os.pread(self._fd, min(self.backlog, LONGEST_LINE), self.cursor)
            cut = data.find(b"\n") + 1
        if not cut and len(data) == LONGEST_LINE:
            cut = len(data)
        return data[:cut]

    def rest(self) -> bytes:
        """What is not in the log yet, the unfinished line included."""
        return os.pread(self._fd, self.backlog, self.cursor)

    def deliver(self, log: LogFile, data: bytes, wall: float, decorate: Decorate) -> bool:
        """Write `data`, which `read` gave, to the log, which is ready; False when that fails (nothing is written)."""
        text = decorate(data, self.policy, self.label, wall)
        upto = self.cursor + len(data)
        if log.regular:
            seen = os.fstat(log.fd)
            record = (self.cursor, upto, seen.st_dev, seen.st_ino, log.size, len(text))
            os.pwrite(self._fd, _RECORD.pack(_MAGIC, *record), 0)
        if not log.write(text):
            self._note()
            return False
        self.skip(len(data))
        return True

    def skip(self, count: int) -> None:
        """`count` bytes are done with."""
        self.cursor += count
        self._note()
        if self.cursor == self.end and self.end > _TRIM:
            os.ftruncate(self._fd, _DATA)
            self.cursor = self.end = _DATA
            self._note()
        elif self.cursor > _COMPACT:
            self._compact()

    def close(self) -> None:
        """Leave the file for a later life, or remove it when it holds nothing more."""
        os.close(self._fd)
        if self.path is not None and not self.backlog:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def _note(self) -> None:
        os.pwrite(self._fd, _RECORD.pack(_MAGIC, self.cursor, 0, 0, 0, 0, 0), 0)

    def _compact(self) -> None:
        """Go on in a new file with what is left, which takes this one's name in one step."""
        rest = os.pread(self._fd, self.backlog, self.cursor)
        head = os.pread(self._fd, _DATA, 0)[_RECORD.size :]
        record = _RECORD.pack(_MAGIC, _DATA, 0, 0, 0, 0, 0)
        if self.path is None:
            os.pwrite(self._fd, record + head + rest, 0)
            os.ftruncate(self._fd, _DATA + len(rest))
        else:
            new = f"{self.path}.new"
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if os.pwrite(fd, record + head + rest, 0) != _DATA + len(rest):
                    raise OSError("short write")
                os.rename(new, self.path)
            except OSError:
                os.close(fd)
                return  # no room: another time
            os.close(self._fd)
            self._fd = fd
        self.cursor, self.end = _DATA, _DATA + len(rest)


def _open(path: str | None) -> int:
    if path is None:
        if hasattr(os, "memfd_create"):  # Linux; it needs no room on any disk
            return os.memfd_create("queuepool-spool")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def spool_path(directory: str, name: str) -> str:
    """Where the spool of the stream `name` is, which may be a path."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return os.path.join(directory, f"{os.path.basename(name)[:64].replace(':', '-')}.{digest}{_SUFFIX}")


def recover(directory: str) -> list[str]:
    """Undo or complete what a killed daemon was writing, before anything is written to any log; the spools there are.

    At most one intent is open, since one process writes one batch after the other. If all of the batch is in the log it
    counts as written, else the log is cut back to where it began and the batch will be written again.
    """
    found = []
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        found = sorted(entry.path for entry in entries if entry.name.endswith(_SUFFIX))
    for path in found:
        with contextlib.suppress(OSError, ValueError):
            _settle(path)
    return found


def leftover(path: str) -> tuple[str, LogPolicy] | None:
    """Whose lines a spool holds and how they are to be written; None when it holds none, or is none."""
    try:
        with open(path, "rb") as file:
            head, size = file.read(_DATA), os.fstat(file.fileno()).st_size
            record = _read_record(file.fileno())
            about = json.loads(head[_ABOUT:].rstrip(b"\0"))
            if record is not None and record[0] < size:
                return about["label"], LogPolicy(**about["policy"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _settle(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        record = _read_record(fd)
        if record is None or not record[1]:
            return
        cursor, upto, device, inode, offset, length = record
        about = json.loads(os.pread(fd, _DATA, 0)[_ABOUT:].rstrip(b"\0"))
        if _is_complete(LogPolicy(**about["policy"]), (device, inode), offset, length):
            cursor = upto
        os.pwrite(fd, _RECORD.pack(_MAGIC, cursor, 0, 0, 0, 0, 0), 0)
    finally:
        os.close(fd)


def _is_complete(policy: LogPolicy, identity: tuple[int, int], offset: int, length: int) -> bool:
    """Whether the batch is in the log, under whatever name that has now; what is there of it is cut off if not."""
    owner = find_owner(policy.user, policy.group)
    names = [policy.path, *(f"{policy.path}.{number}" for number in range(1, policy.backups + 1))]
    for name in names if policy.path is not None else []:
        fd = open_existing(str(name), owner)
        if fd is None:
            continue
        try:
            seen = os.fstat(fd)
            if (seen.st_dev, seen.st_ino) == identity:
                if offset < seen.st_size < offset + length:
                    os.ftruncate(fd, offset)
                return seen.st_size >= offset + length
        finally:
            os.close(fd)
    return False


def _read_record(fd: int) -> tuple[int, int, int, int, int, int] | None:
    data = os.pread(fd, _RECORD.size, 0)
    if len(data) < _RECORD.size or not data.startswith(_MAGIC):
        return None
    _, cursor, upto, device, inode, offset, length = _RECORD.unpack(data)
    return cursor, upto, device, inode, offset, length
