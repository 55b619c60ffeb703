"""Emptying one pipe once: into its log, into its spool and from there into its log, or into nothing. When that is done
is pump.py's matter; what a stream and a log are, stream.py's and rotating.py's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Hashable

from queuepool.logs import lines
from queuepool.logs.ledger import Ledger
from queuepool.logs.pipes import LARGEST_PIPE, Mover, grow
from queuepool.logs.rotating import LogFile
from queuepool.logs.spool import BACKLOG, Spool
from queuepool.logs.stream import Stream

NEARLY_FULL = 1 / 3
"""Share of a pipe. It counts pages, and a writer of little more than half pages fills it with half of its bytes."""
HOLD_SECONDS = 0.25
"""How long the others wait for the rest of a line of which nothing comes."""
LONGEST_HOLD_SECONDS = 2.0
"""How long a line that keeps coming may keep them waiting when their own pipes are full."""

_PIECE = 64 * 1024
"""Bytes read back at once. A larger object gets fresh pages from the kernel each time, at several times the cost."""

DONE, REST, WAIT = 0, -1, -2
"""What emptying a pipe came to when it is not a count of bytes: nothing is left; half a line is left on purpose; the
log cannot take it now."""

Subscriber = Callable[[Hashable, str, bytes], None]


class Drainer:
    """Empties pipes. subscribers: told of every chunk, as the process printed it, after it was written. find: the
    stream of a log with a digest."""

    def __init__(
        self,
        mover: Mover,
        ledger: Ledger,
        find: Callable[[LogFile, bytes], Stream | None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.mover = mover
        self._ledger = ledger
        self._find = find
        self.subscribers: list[Subscriber] = []
        self._clock = clock
        self._wall = wall

    def empty(self, stream: Stream, *, last: bool) -> None:
        """Drain a pipe until it is empty; not for ever, since somebody may go on filling it. last: it is the end of
        the stream, so nothing waits any longer; what cannot be written is dropped."""
        other = stream.log.holder if last and stream.log is not None else None
        if isinstance(other, Stream) and other is not stream:  # what it waits for may be there
            self.empty(other, last=False)
        for _ in range(16):
            moved = self.drain(stream, last=last)
            if last and moved > 0 and stream.log is not None and stream.spool is None:
                stream.log.holder = stream
            if moved <= 0:
                break
        if last and stream.log is not None and (left := self.mover.waiting(stream.fd)):
            self._throw_away(stream, stream.log, left)

    def drain(self, stream: Stream, *, last: bool = False) -> int:
        """Move what a pipe holds; how many bytes, or DONE, REST, WAIT."""
        log = stream.log
        if log is None:
            return self._drain_unwanted(stream)
        try:
            if stream.spool is not None:
                return self._drain_decorated(stream, stream.spool, log, last)
            return self._drain_plain(stream, log, last)
        except OSError as error:
            log.failed(error)
            return self._endure(stream, log)

    def finish_line(self, stream: Stream) -> None:
        """See that what another process writes next begins a line."""
        log = stream.log
        rest = stream.tap.finish() if stream.tap is not None else b""
        if stream.spool is not None:
            with contextlib.suppress(OSError):
                stream.spool.put(rest)
            stream.spool.end_line()
            self.finish_spool(stream)
        elif log is not None and (log.holder is stream or (log.streams == 1 and log.holder is None)):
            log.lost_line = not (log.fd >= 0 and log.ready() and log.end_line())
            log.holder = None

    def finish_spool(self, stream: Stream) -> None:
        """Write all that a spool holds, or drop it."""
        spool, log = stream.spool, stream.log
        if spool is not None and spool.backlog and (log is None or not self._deliver(stream, spool, log, last=True)):
            if log is not None:
                log.drop(spool.backlog)
            spool.skip(spool.backlog)

    def enlarge(self, stream: Stream, largest: int) -> bool:
        """Give a pipe four times the room, at most `largest` bytes; False when it has, or gets, no more."""
        before = stream.capacity
        if before < largest:
            stream.capacity = grow(stream.fd, min(before * 4, largest))
        return stream.capacity > before

    def _drain_plain(self, stream: Stream, log: LogFile, last: bool) -> int:
        waiting = self.mover.waiting(stream.fd)
        if not waiting:  # a file that is full is rotated for the next line, and not before
            stream.resting = 0
            return DONE
        if not log.ready():
            return self._endure(stream, log)
        if log.writer is not stream:
            self._take_over(stream, log)
        if log.holder is not stream and log.holder is not None:
            if not last and self._is_held(log, waiting >= NEARLY_FULL * stream.capacity):
                return WAIT
            log.end_line()
        if log.writer is not stream:
            log.writer = stream
            self._ledger.note(log.path, stream.digest)
        if stream.fresh or stream.skipping:
            if not self._begin(stream, log):
                return DONE
            waiting = self.mover.waiting(stream.fd)
        if log.fd < 0:
            return self._endure(stream, log)
        if not log.regular:
            return self._copy_lines(stream, log, last)
        if not last and log.careful(stream.capacity):
            return self._move_lines(stream, log)
        return self._move(stream, log, waiting, None)

    def _take_over(self, stream: Stream, log: LogFile) -> None:
        """See who comes first, when a former daemon was killed in the middle of a line."""
        if log.writer is not None or not log.regular or log.at_line_start():
            return
        log.writer = before = self._find(log, self._ledger.writer(log.path) or b"")
        if before is not None:
            log.holder, log.held_since = before, self._clock()
            log.hold_until = log.held_since + HOLD_SECONDS
        elif log.streams > 1:
            log.end_line()

    def _begin(self, stream: Stream, log: LogFile) -> bool:
        """Get to where a line of this stream may begin; False when there is nothing of it to write yet."""
        if stream.skipping:
            seen = self.mover.peek(stream.fd)
            if not seen.whole:
                self._throw_away(stream, log, seen.total)
                return False
            first = self.mover.read(stream.fd, seen.whole)
            cut = first.find(b"\n") + 1
            log.drop(cut)
            stream.skipping = log.lost_line = False
            stream.wrote(first)
            self._publish(stream, first)
            if not (log.end_line() and log.write(first[cut:])):
                log.drop(len(first) - cut)
            return True
        stream.fresh = False
        if log.holder is not stream:
            log.end_line()
        return True

    def _move(self, stream: Stream, log: LogFile, count: int, begins_line: bool | None) -> int:
        at = log.size
        log.expect(count)
        moved = self.mover.move(stream.fd, log.fd, at, count)
        if moved:
            log.wrote(moved, begins_line if moved == count else None)
            stream.wrote_at(at, moved)
            if self.subscribers or stream.hear:
                for start in range(at, at + moved, _PIECE):
                    self._publish(stream, os.pread(log.fd, min(_PIECE, at + moved - start), start))
        stream.resting = 0
        return moved

    def _move_lines(self, stream: Stream, log: LogFile) -> int:
        """Move whole lines and leave an unfinished one in the pipe. A line for which the pipe has no room goes into the
        log in pieces, and the other streams of that log wait for its end."""
        seen = self.mover.peek(stream.fd)
        if not seen.total:
            stream.resting = 0
            return DONE
        if seen.whole:
            moved = self._move(stream, log, seen.whole, True)
            finished = moved == seen.whole
        elif log.holder is stream or log.streams == 1 or (room := self._room(stream, seen.total)) < 0:
            moved = self._move(stream, log, seen.total, None)
            finished = log.streams == 1
        else:
            return WAIT if room else self._rest(stream, seen.total, seen.rest)
        now = self._clock()
        if log.holder is not stream:
            log.held_since = now
        log.holder, log.hold_until = None if finished else stream, now + HOLD_SECONDS
        return moved

    def _is_held(self, log: LogFile, full: bool) -> bool:
        """Whether to wait for another stream's line to end. full: there is hardly room for what waits."""
        now = self._clock()
        return now < log.hold_until and not (full and now >= log.held_since + LONGEST_HOLD_SECONDS)

    def _room(self, stream: Stream, total: int) -> int:
        """What the pipe has left for an unfinished line: 0: enough; 1: it has just been enlarged; -1: it cannot be."""
        if total < NEARLY_FULL * stream.capacity:
            return 0
        return 1 if self.enlarge(stream, LARGEST_PIPE) else -1

    def _rest(self, stream: Stream, total: int, rest: bytes) -> int:
        stream.resting = total
        if (self.subscribers or stream.hear) and len(rest) == total > stream.shown:
            unseen, stream.shown = rest[stream.shown :], total
            self._tell(stream, unseen)
        return REST

    def _copy_lines(self, stream: Stream, log: LogFile, last: bool) -> int:
        """As `_move_lines`, to a device."""
        seen = self.mover.peek(stream.fd)
        whole = seen.total if last else seen.whole
        if not seen.total:
            return DONE
        if not whole:
            if (room := self._room(stream, seen.total)) >= 0:
                return WAIT if room else self._rest(stream, seen.total, seen.rest)
            whole = seen.total
        data = self.mover.read(stream.fd, whole)
        stream.resting = 0
        stream.wrote(data)
        if not log.write(data):
            log.drop(len(data))
        self._publish(stream, data)
        return len(data)

    def _drain_unwanted(self, stream: Stream) -> int:
        data = self.mover.read(stream.fd, LARGEST_PIPE if stream.tap is None else _PIECE)
        if stream.tap is not None:
            stream.tap(data)
        stream.wrote(data)
        self._publish(stream, data)
        return len(data)

    def _fill(self, stream: Stream, spool: Spool) -> int:
        """Take what a pipe holds into the spool, but for what a tap takes out; how many bytes that was."""
        kept = b""
        try:
            if stream.tap is None:
                return spool.fill(self.mover, stream.fd)
            data = self.mover.read(stream.fd, _PIECE)
            kept = stream.tap(data)
            spool.put(kept)
            return len(data)
        except OSError as error:  # of another disk than that of the log, perhaps
            if kept and stream.log is not None:
                stream.log.drop(len(kept))
            what = f"{error.strerror} for {spool.path}, where its lines wait"
            raise OSError(error.errno, what, spool.path) from None

    def _drain_decorated(self, stream: Stream, spool: Spool, log: LogFile, last: bool) -> int:
        try:
            moved = self._fill(stream, spool)
        except OSError:
            if stream.tap is not None or (passed := self._pass_by(stream, spool, log, last)) is None:
                raise
            return passed
        delivered = self._deliver(stream, spool, log, last)
        if not delivered and spool.backlog > BACKLOG:
            data = spool.read()
            stream.wrote(data)
            self._publish(stream, data)
            log.drop(len(data))
            spool.skip(len(data))
        return moved or (DONE if delivered else WAIT)

    def _pass_by(self, stream: Stream, spool: Spool, log: LogFile, last: bool) -> int | None:
        """The spool has no room: write whole lines without it, so that only a daemon killed just then loses them. None
        when that cannot be done either."""
        if not self._deliver(stream, spool, log, last) or not log.ready():
            return None
        seen = self.mover.peek(stream.fd)
        full = seen.total >= NEARLY_FULL * stream.capacity
        count = seen.total if last else seen.whole
        if not count and full:
            return None
        if not count or (log.holder is not None and not last and self._is_held(log, full)):
            return WAIT if seen.total else DONE
        data = spool.rest() + self.mover.read(stream.fd, count)  # the first line may have begun there
        spool.skip(spool.backlog)
        ended = data if data.endswith(b"\n") else data + b"\n"
        if not (log.end_line() and log.write(lines.decorate(ended, spool.policy, spool.label, self._wall()))):
            log.drop(len(data))
        stream.wrote(data)
        self._publish(stream, data)
        return count

    def _deliver(self, stream: Stream, spool: Spool, log: LogFile, last: bool) -> bool:
        """Write the lines that a spool holds; False when the log does not take them now."""
        while data := spool.read():
            if not log.ready():
                return False
            if log.writer is None:
                self._take_over(stream, log)
            held = log.holder is not None and self._is_held(log, spool.backlog >= BACKLOG)
            if (held and not last) or not log.end_line():
                return False
            if not spool.deliver(log, data, self._wall(), lines.decorate):
                return False
            stream.wrote(data)
            self._publish(stream, data)
        return True

    def _endure(self, stream: Stream, log: LogFile) -> int:
        """The log cannot be written. What the pipe has room for waits in it; more is thrown away and counted."""
        waiting = self.mover.waiting(stream.fd)
        if waiting < NEARLY_FULL * stream.capacity:
            return WAIT if waiting else DONE
        return self._throw_away(stream, log, waiting)

    def _throw_away(self, stream: Stream, log: LogFile, count: int) -> int:
        data = self.mover.read(stream.fd, count)
        if data:
            stream.skipping = not data.endswith(b"\n")
            stream.resting = 0
            stream.wrote(data)
            self._publish(stream, data)
            log.drop(len(data))
        return len(data)

    def _publish(self, stream: Stream, data: bytes) -> None:
        if stream.shown:
            data, stream.shown = data[stream.shown :], max(0, stream.shown - len(data))
        if data and (self.subscribers or stream.hear):
            self._tell(stream, data)

    def _tell(self, stream: Stream, data: bytes) -> None:
        if stream.hear:
            stream.hear(data)
        for callback in tuple(self.subscribers):
            callback(stream.key, stream.label, data)
