"""One log file and its one writer: opened, appended to, rotated by size and age, opened again when somebody moved it,
and given up for a while when it cannot be written. Which bytes go into it is draining.py's matter."""

from __future__ import annotations

import errno
import math
import os
import pwd
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from queuepool.domain.pool import LogPolicy
from queuepool.logs.backups import Compressor, shift
from queuepool.logs.opening import Owner, acting_as, find_owner, open_log
from queuepool.logs.pipes import LARGEST_PIPE
from queuepool.logs.reserve import can_reserve, reserve

LOOK_SECONDS = 0.5
"""How often the name of a file that is being written is compared with the file."""
MISSING_SECONDS = 2.0
"""How long a name may be gone before the file is made anew: logrotate renames it and makes a new one itself."""
RETRY_SECONDS = 1.0
ROTATE_RETRY_SECONDS = 60.0
STUCK_SECONDS = 5.0
"""A terminal or pipe that takes nothing for so long counts as trouble."""
BURST, AHEAD = 1 << 16, 8 << 20
"""Bytes: who adds so much at once gets room on the disk for so much more. It is not taken back from a file that is left
before it is full: the next daemon goes on with it, and the last byte is nobody's to cut where others append too."""

_NOT_OPEN = -1


@dataclass(frozen=True, slots=True)
class Trouble:
    """A log that cannot be written, or (over) could be again. what: the reason. hint: something to type, or "".
    dropped: bytes thrown away so far. doing: what cannot be done: "write", "rotate" or "compress"."""

    path: str
    what: str
    hint: str = ""
    over: bool = False
    dropped: int = 0
    doing: str = "write"


@dataclass(frozen=True, slots=True)
class FileStats:
    """A log file in figures since the pump began. trouble: what is wrong now, or ""."""

    path: str
    bytes: int
    dropped: int
    errors: int
    rotations: int
    trouble: str


def next_turn(after: float, seconds: int) -> float:
    """The first moment later than `after` (unix time) that is a multiple of `seconds` on the wall clock of this place:
    midnight for 86400, also on the days on which the clocks change."""
    offset = time.localtime(after).tm_gmtoff
    turn = (math.floor((after + offset) / seconds) + 1) * seconds - offset
    if seconds > 3600:
        turn += offset - time.localtime(turn).tm_gmtoff
    return turn if turn > after else turn + seconds


class LogFile:
    """A file that streams share. `ready` first, then write to `fd` at offset `size`, then `wrote` or `failed`.

    streams: how many there are. writer: the one that wrote last, None when nobody did in this daemon's life. holder:
    the stream whose unfinished line the file ends with, None when it matters to nobody; held_since and hold_until:
    since when, and when the others stop waiting. owner: as whom its directory was opened.
    """

    __slots__ = (
        "_before_leaving",
        "_begins_line",
        "_clock",
        "_compressor",
        "_look_at",
        "_missing_since",
        "_pending",
        "_report",
        "_reserved",
        "_retry_at",
        "_rotate_after",
        "_socket",
        "_stuck_since",
        "_trouble",
        "_turn_at",
        "_unrotated",
        "_wall",
        "bytes",
        "dropped",
        "errors",
        "fd",
        "held_since",
        "hold_until",
        "holder",
        "lost_line",
        "owner",
        "path",
        "policy",
        "real",
        "regular",
        "rotations",
        "size",
        "streams",
        "writer",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        policy: LogPolicy,
        report: Callable[[Trouble], None],
        compressor: Compressor,
        before_leaving: Callable[[LogFile], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """before_leaving: called while the file can still be read, when another takes its place."""
        self.path = self.real = path
        self.policy = policy
        self.fd = _NOT_OPEN
        self.size = 0
        self.regular = True
        self.owner: Owner | None = None
        self.streams = 0
        self.holder: object = None
        self.hold_until = self.held_since = 0.0
        self.lost_line = False
        self.writer: object = None
        self.bytes = self.dropped = self.errors = self.rotations = 0
        self._report = report
        self._compressor = compressor
        self._before_leaving = before_leaving
        self._clock = clock
        self._wall = wall
        self._begins_line: bool | None = None
        self._trouble: Trouble | None = None
        self._retry_at = self._look_at = self._rotate_after = 0.0
        self._reserved: float = math.inf
        self._unrotated = ""
        self._missing_since: float | None = None
        self._turn_at = math.inf
        self._socket: socket.socket | None = None
        self._pending = b""
        self._stuck_since = 0.0

    @property
    def stats(self) -> FileStats:
        """The figures of this file."""
        trouble = self._trouble.what if self._trouble else ""
        return FileStats(self.path, self.bytes, self.dropped, self.errors, self.rotations, trouble)

    def apply(self, policy: LogPolicy) -> None:
        """Go on under another policy for the same path."""
        if policy != self.policy:
            self.policy = policy
            self._set_turn()

    def ready(self) -> bool:
        """Whether bytes can be written now: opens the file, follows what others did to it, and rotates when due."""
        now = self._clock()
        if self.fd == _NOT_OPEN and (now < self._retry_at or not self._open(now)):
            return False
        if not self.regular:
            return self._unstick(now)
        seen = os.fstat(self.fd)
        if seen.st_size != self.size:  # copytruncate, or somebody else appends too
            self.size, self._begins_line = seen.st_size, None
        if (not seen.st_nlink or (now >= self._look_at and self._moved(now, seen))) and not self.reopen():
            return False
        if self._due() and now >= self._rotate_after and (self.at_line_start() or self._endless()):
            self._rotate(now)
        return self.fd != _NOT_OPEN

    def careful(self, room: int) -> bool:
        """Whether only whole lines may be added: others write here too, or the file is about to be rotated.

        room: bytes that the next write may bring.
        """
        limit = self.policy.maxbytes
        return self.streams > 1 or (limit > 0 and self.size + room >= limit) or self._wall() >= self._turn_at

    def expect(self, count: int) -> None:
        """`count` bytes are about to be added: ask for room for them and more, when they are many."""
        if count >= BURST and self.size + count > self._reserved:
            limit = self.policy.maxbytes
            ahead = min(AHEAD, limit - self.size) if limit else AHEAD
            done = ahead > count and reserve(self.fd, self.size, ahead)
            self._reserved = self.size + ahead if done else math.inf

    def at_line_start(self) -> bool:
        """Whether the next byte begins a line."""
        if self._begins_line is None:
            self._begins_line = not self.size or os.pread(self.fd, 1, self.size - 1) == b"\n"
        return self._begins_line

    def wrote(self, count: int, begins_line: bool | None = None) -> None:
        """`count` bytes were added. begins_line: whether a newline was the last; None: not known."""
        self.size += count
        self.bytes += count
        self._begins_line = begins_line
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            self._report(Trouble(self.path, trouble.what, over=True, dropped=self.dropped - trouble.dropped))

    def write(self, data: bytes) -> bool:
        """Add `data`, all of it or nothing; False when it cannot be. What a device does not take at once waits."""
        if not data:
            return True
        try:
            if self.regular:
                self._write_regular(data)
            else:
                self._pending = data
                self._push()
        except OSError as error:
            self.failed(error)
            return False
        self.wrote(len(data), data.endswith(b"\n"))
        return True

    def end_line(self) -> bool:
        """See that the next byte begins a line."""
        self.holder = None
        return self.at_line_start() or self.write(b"\n")

    def failed(self, error: OSError | LookupError) -> None:
        """The file cannot be written: leave it alone for a while. Reported once, until a write succeeds."""
        self.errors += 1
        self._retry_at = self._clock() + RETRY_SECONDS
        self._leave()
        self._pending = b""
        if self._trouble is None:
            what, hint = _explain(error, self.path, self.policy)
            self._trouble = Trouble(self.path, what, hint, dropped=self.dropped)
            self._report(Trouble(self.path, what, hint))

    def drop(self, count: int) -> None:
        """`count` bytes meant for this file were thrown away."""
        self.dropped += count
        self.lost_line = True

    def reopen(self) -> bool:
        """Close the file and open the one that has its name now."""
        self._leave()
        return self._open(self._clock())

    def close(self) -> None:
        """Write no more."""
        self._leave()

    def _open(self, now: float) -> bool:
        policy = self.policy
        try:
            owner = find_owner(policy.user, policy.group)
            opened = open_log(self.path, owner, policy.mode, lambda path: shift(path, max(policy.backups, 1)))
        except (OSError, LookupError) as error:
            self.failed(error)
            return False
        self.fd, self.regular, self.owner, self.real = opened.fd, opened.regular, opened.owner, opened.real
        seen = os.fstat(self.fd)
        self._look_at, self._missing_since = now + LOOK_SECONDS, None
        if not self.regular:
            if stat.S_ISSOCK(seen.st_mode):
                self._socket = socket.socket(fileno=os.dup(self.fd))
            self._begins_line = True
            return True
        self.size, self._begins_line = seen.st_size, None
        self._reserved = 0 if can_reserve(self.fd) else math.inf
        self._set_turn()
        if self.lost_line:
            self.lost_line = False
            if not self.end_line():
                return False
        if policy.compress and policy.backups:
            self._compressor.want(self.real, policy.backups, self.owner)
        return True

    def _leave(self) -> None:
        if self.fd != _NOT_OPEN:
            if self.regular:
                self._before_leaving(self)
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            os.close(self.fd)
            self.fd = _NOT_OPEN

    def _set_turn(self) -> None:
        self._turn_at = math.inf
        if self.policy.rotate_seconds and self.fd != _NOT_OPEN and self.regular:
            # What was last written in an earlier period belongs there, also when nobody was running at its end.
            after = os.fstat(self.fd).st_mtime if self.size else self._wall()
            self._turn_at = next_turn(after, self.policy.rotate_seconds)

    def _due(self) -> bool:
        limit = self.policy.maxbytes
        if self._wall() >= self._turn_at:
            if self.size:
                return True
            self._set_turn()
        return 0 < limit <= self.size

    def _endless(self) -> bool:
        """Whether waiting for the end of the line, in what may be no text at all, has made the file far too large."""
        limit = self.policy.maxbytes
        return limit > 0 and self.size >= 2 * limit + 2 * LARGEST_PIPE

    def _moved(self, now: float, seen: os.stat_result) -> bool:
        self._look_at = now + LOOK_SECONDS
        try:
            same = os.path.samestat(os.stat(self.path), seen)
        except OSError:
            if self._missing_since is None:
                self._missing_since = now
            return now - self._missing_since >= MISSING_SECONDS
        self._missing_since = None
        return not same

    def _rotate(self, now: float) -> None:
        keep = self.policy.backups
        try:
            if self._moved(now, os.fstat(self.fd)):
                self.reopen()
                return
            with acting_as(self.owner):
                shift(self.real, keep)
        except OSError as error:
            if not keep and self.regular:
                os.ftruncate(self.fd, 0)
                self.size, self._begins_line = 0, True
                return
            self._rotate_after = now + ROTATE_RETRY_SECONDS
            self.errors += 1
            self._unrotated = error.strerror or str(error)
            self._report(Trouble(self.path, self._unrotated, _owner_hint(error, self), doing="rotate"))
            return
        self.rotations += 1
        self.reopen()
        if self._unrotated:
            self._report(Trouble(self.path, self._unrotated, over=True, doing="rotate"))
            self._unrotated = ""

    def _write_regular(self, data: bytes) -> None:
        view, written = memoryview(data), 0
        try:
            while written < len(view):
                written += os.pwrite(self.fd, view[written:], self.size + written)
        except OSError:
            if written:
                os.ftruncate(self.fd, self.size)
            raise

    def _push(self) -> None:
        """Give a device as much of what waits as it takes."""
        while self._pending:
            try:
                if self._socket is not None:
                    sent = self._socket.send(self._pending, socket.MSG_DONTWAIT)
                else:
                    sent = os.write(self.fd, self._pending)
            except BlockingIOError:
                return
            self._pending = self._pending[sent:]
            self._stuck_since = self._clock()

    def _unstick(self, now: float) -> bool:
        if not self._pending:
            self._stuck_since = now
            return True
        try:
            self._push()
            if self._pending and now - self._stuck_since >= STUCK_SECONDS:
                self.drop(len(self._pending))
                raise TimeoutError(errno.ETIMEDOUT, "it takes no more bytes")
        except OSError as error:
            self.failed(error)
            return False
        return not self._pending


def _explain(error: OSError | LookupError, path: str, policy: LogPolicy) -> tuple[str, str]:
    """What a person is told about a log that cannot be written: what is wrong, and something to type."""
    directory = os.path.dirname(path)
    if isinstance(error, LookupError):
        return str(error.args[0]), "`queuepool config check` names the line"
    what = error.strerror or str(error)
    if error.errno == errno.EEXIST:  # by os.makedirs, where a file stands in place of a directory
        what = f"{error.filename or directory} is not a directory"
    if error.errno in (errno.EACCES, errno.EPERM):
        user = policy.user or _own_name()
        make = "" if os.path.isdir(directory) else f"mkdir -p {directory} && "
        theirs = f"{directory} {path}" if os.path.lexists(path) else directory
        return f"{what} (as {user})", f"`{make}chown {user} {theirs}`"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = os.path.dirname(error.filename) if error.filename else directory
        return what, f"make room: `df -h {full}`"
    if error.errno in (errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.EEXIST):
        return what, "give another stdout_logfile in queuepool.yml, then `queuepool update`"
    return what, f"`ls -ld {directory} {path}`"


def _own_name() -> str:
    """The user that this process is."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a number without an entry, as containers have
        return str(os.geteuid())


def _owner_hint(error: OSError, log: LogFile) -> str:
    return _explain(error, log.path, log.policy)[1]
