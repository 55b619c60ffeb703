"""From the workers' pipes to their logs: all that workers print goes through here, most of it without being looked at.

Batching comes first, splice second. All pipes are watched by one nested epoll; when one has something every pipe is
emptied that has, and then the pump looks away for a while, the longer the emptier it finds the pipes. Nothing is done,
and nothing wakes, while nothing is printed. Answers that the daemon itself waits for are read at once, from an epoll of
their own. A daemon killed at any point loses nothing: bytes are in a pipe that the
worker itself holds open, in a spool, or in the log. How a pipe is emptied is draining.py's matter, files are
rotating.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Hashable

from queuepool.domain.pool import LogPolicy
from queuepool.logs.backups import Compressor
from queuepool.logs.draining import DONE, HOLD_SECONDS, WAIT, Drainer, Subscriber
from queuepool.logs.ledger import Ledger
from queuepool.logs.pipes import LARGEST_PIPE, can_splice, capacity, make_mover
from queuepool.logs.rotating import FileStats, LogFile, Trouble
from queuepool.logs.spool import Spool, leftover, recover, spool_path
from queuepool.logs.stream import TAIL_LINES, Stream, Tap
from queuepool.logs.watching import Alarm, Watch, make_watch

SHORTEST_PAUSE = 0.0002
LONGEST_PAUSE = 0.05
PROMPT_PAUSE = 0.005
WAITING_PAUSE = HOLD_SECONDS
RESTING_SECONDS = 1.0
"""How often pipes that keep half a line are looked at. New bytes are told of, but not those of a write that is larger
than the pipe: it sleeps, until there is room, without telling (fs/pipe.c, pipe_write)."""
FULL, EMPTY = 0.45, 0.2
"""Shares of a pipe above and below which the pause shrinks and grows."""
IDLE_FILES = 64


class Pump:
    """Moves what processes print into their logs. Made inside a running loop, and used only there.

    report: told when a log cannot be written and when it can be again. spool_directory: a private directory on a tmpfs
    that outlives the daemon, for logs whose lines are decorated; None: their last moment is lost with the daemon.
    splice: whether to move bytes inside the kernel; None: where that is possible.
    """

    def __init__(
        self,
        report: Callable[[Trouble], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        spool_directory: str | None = None,
        splice: bool | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        in_kernel = can_splice() if splice is None else splice
        self._report = report
        self._clock = clock
        self._wall = wall
        self._spools = spool_directory
        if spool_directory is not None:
            os.makedirs(spool_directory, 0o700, exist_ok=True)
            recover(spool_directory)
        self._mover = make_mover(in_kernel)
        self._ledger = Ledger(spool_directory)
        self._drainer = Drainer(self._mover, self._ledger, self._find, clock, wall)
        self._watch = make_watch(loop, self._turn, in_kernel)
        self._answers = make_watch(loop, self._answer, in_kernel)
        self._arm_at_once = in_kernel
        self._alarm = Alarm(loop, self._turn)
        self._compressor = Compressor(
            loop,
            lambda path, what: report(Trouble(path, what, doing="compress")),
            mended=lambda path, what: report(Trouble(path, what, over=True, doing="compress")),
        )
        self._streams: dict[Hashable, Stream] = {}
        self._by_fd: dict[int, Stream] = {}
        self._active: dict[int, Stream] = {}
        self._resting: set[int] = set()
        self._files: dict[str, LogFile] = {}
        self._prompt = 0
        self._pause = PROMPT_PAUSE
        self._closed = False

    def attach(
        self,
        key: Hashable,
        label: str,
        fifo_fd: int,
        policy: LogPolicy,
        *,
        adopted: bool = False,
        name: str | None = None,
        hear: Callable[[bytes], None] | None = None,
        tap: Tap | None = None,
        prompt: bool = False,
    ) -> None:
        """Begin to read a process's pipe, from the next turn of the loop on.

        key: one stream of one process. label: the slot, `default:3`, for decorated lines. fifo_fd: stays the caller's,
        and open until `detach`; its flags are not changed, since the process has the same ones. adopted: the process
        was started by a former daemon, so that an unfinished line goes on. name: what the stream is called in every
        daemon's life; left out, the path of the FIFO. hear: called with each chunk of bytes after it was written, as
        subscribers are; nothing is moved sooner for its sake. tap: takes out what is not for the log, before anybody
        else sees it; what it has taken is lost with the daemon. prompt: read it whenever it has something, for one that
        prints no more than it is asked; see `calm`.
        """
        if key in self._streams:
            raise ValueError(f"{key!r} is attached already")
        name = name or _path_of(fifo_fd) or label
        spool_at = spool_path(self._spools, name) if self._spools is not None else None
        stream = Stream(key, label, name, fifo_fd, policy, capacity(fifo_fd), spool_at)
        stream.fresh = not adopted
        stream.hear, stream.tap = hear, tap
        self._direct(stream, policy)
        self._streams[key] = self._by_fd[fifo_fd] = stream
        stream.prompt = prompt
        self._watch_of(stream).add(fifo_fd)
        if stream.spool is not None and stream.spool.backlog:  # of an earlier life
            if not adopted:
                stream.spool.end_line()
            self._active[fifo_fd] = stream
            self._alarm.set(SHORTEST_PAUSE)

    def repolicy(self, key: Hashable, policy: LogPolicy, tap: Tap | None = None) -> None:
        """Let a process print elsewhere, or otherwise, from now on."""
        stream = self._streams[key]
        before, stream.policy = stream.policy, policy
        if (policy.path, policy.plain, tap) == (before.path, before.plain, stream.tap):
            if stream.log is not None:
                stream.log.apply(policy)
            if stream.spool is not None:
                stream.spool.describe(stream.label, policy)
            return
        self._drainer.empty(stream, last=False)
        stream.remember()
        self._drainer.finish_line(stream)
        self._leave(stream)
        stream.tap = tap
        self._direct(stream, policy)
        stream.fresh = True

    def detach(self, key: Hashable) -> tuple[bytes, ...]:
        """The process is gone: write what is left in its pipe, end its last line, forget it; its last lines."""
        stream = self._streams[key]
        self._drainer.empty(stream, last=True)
        self._drainer.finish_line(stream)
        last = stream.last_lines(TAIL_LINES)
        self._watch_of(stream).remove(stream.fd)
        self._mover.forget(stream.fd)
        del self._streams[key], self._by_fd[stream.fd]
        self._active.pop(stream.fd, None)
        self._resting.discard(stream.fd)
        self._leave(stream)
        self._close_idle_files(IDLE_FILES)
        return last

    def last_lines(self, key: Hashable, count: int = TAIL_LINES) -> tuple[bytes, ...]:
        """What the process printed last, of at most 4 KB."""
        return self._streams[key].last_lines(count)

    def finish_leftovers(self) -> int:
        """Write what spools still hold of streams that nobody attached: their processes ended while no daemon ran. To
        be called once everything that lives has been attached; how many there were."""
        count = 0
        attached = {stream.spool.path for stream in self._streams.values() if stream.spool is not None}
        for path in recover(self._spools) if self._spools is not None else []:
            found = leftover(path) if path not in attached else None
            if found is not None:
                stream = Stream(path, found[0], path, -1, found[1], 0, path)
                self._direct(stream, found[1], spooled=True)
                self._drainer.finish_line(stream)
                self._leave(stream)
                count += 1
        self._close_idle_files(IDLE_FILES)
        return count

    def reopen(self) -> int:
        """Close every log and open what has its name now (USR2, logrotate); how many there are."""
        self.flush()
        self._close_idle_files(0)
        for log in self._files.values():
            log.reopen()
        return len(self._files)

    def calm(self, key: Hashable) -> None:
        """Read a prompt stream with all the others from now on: it prints more than it was asked."""
        stream = self._streams.get(key)
        if stream is not None and stream.prompt:
            self._answers.remove(stream.fd)
            stream.prompt = False
            self._watch.add(stream.fd)

    def subscribe(self, callback: Subscriber, *, prompt: bool = True) -> Callable[[], None]:
        """Have `callback` called with key, label and each chunk of bytes as the process printed them, after they were
        written; returns what ends it. prompt: somebody is looking, so let nothing wait longer than a few ms."""
        self._drainer.subscribers.append(callback)
        self._prompt += prompt

        def unsubscribe() -> None:
            if callback in self._drainer.subscribers:
                self._drainer.subscribers.remove(callback)
                self._prompt -= prompt

        return unsubscribe

    @property
    def stats(self) -> tuple[FileStats, ...]:
        """Every log in figures."""
        return tuple(log.stats for log in self._files.values())

    def flush(self) -> None:
        """Write all that is in the pipes now. Half a line may stay in its pipe, where the next daemon finds it."""
        for stream in tuple(self._streams.values()):
            self._drainer.empty(stream, last=False)

    def close(self) -> None:
        """Stop. What is in pipes and spools stays there; `flush` before for less of it."""
        if self._closed:
            return
        self._closed = True
        self._alarm.close()
        self._watch.close()
        self._answers.close()
        self._compressor.close()
        for stream in self._streams.values():
            self._leave(stream)
        for log in self._files.values():
            log.close()
        self._mover.close()
        self._ledger.close()
        for gone in (self._streams, self._by_fd, self._active, self._resting, self._files):
            gone.clear()

    def _turn(self) -> None:
        """Empty what has something, then look away."""
        for fd in (*self._watch.ready(), *self._resting):
            stream = self._by_fd.get(fd)
            if stream is None:
                continue
            if stream.resting and self._mover.waiting(fd) == stream.resting:
                self._watch_of(stream).arm(fd, stream.resting)
            else:
                self._active[fd] = stream
                self._resting.discard(fd)
        fullest, progress = 0.0, False
        try:
            for fd, stream in tuple(self._active.items()):
                if self._by_fd.get(fd) is not stream:
                    continue  # detached by a subscriber
                moved = self._drainer.drain(stream)
                if self._by_fd.get(fd) is not stream:
                    progress = True
                elif moved > 0:
                    progress = True
                    fullest = max(fullest, moved / stream.capacity)
                    if moved > FULL * stream.capacity:
                        self._widen(stream)
                    elif self._arm_at_once and moved < EMPTY * stream.capacity:
                        self._active.pop(fd, None)  # it will tell; looking for more would be one look too many
                        self._watch_of(stream).arm(fd, stream.resting)
                elif moved != WAIT:
                    self._active.pop(fd, None)
                    self._watch_of(stream).arm(fd, stream.resting)
                    if stream.resting:
                        self._resting.add(fd)
        finally:
            if not self._closed:
                self._look_away(fullest, progress)

    def _answer(self) -> None:
        """Read the prompt streams that have something."""
        for fd in self._answers.ready():
            stream = self._by_fd.get(fd)
            moved = self._drainer.drain(stream) if stream is not None else DONE
            if stream is None or self._by_fd.get(fd) is not stream or not stream.prompt:
                continue
            if moved == WAIT:  # its log has no room: with that, it is one of many
                self.calm(stream.key)
            else:
                self._answers.arm(fd, stream.resting)

    def _watch_of(self, stream: Stream) -> Watch:
        return self._answers if stream.prompt else self._watch

    def _look_away(self, fullest: float, progress: bool) -> None:
        if not self._active and not progress:
            self._pause = min(self._pause, LONGEST_PAUSE)
            self._watch.listen(True)
            if self._resting:
                self._alarm.set(RESTING_SECONDS)
            return
        if fullest > FULL:
            self._pause = max(self._pause / 2, SHORTEST_PAUSE)
        elif fullest < EMPTY:
            self._pause = min(self._pause * 1.5, LONGEST_PAUSE if progress else WAITING_PAUSE)
        if self._prompt and progress:
            self._pause = min(self._pause, PROMPT_PAUSE)
        self._watch.listen(False)
        self._alarm.set(self._pause)

    def _widen(self, stream: Stream) -> None:
        """Give a busy pipe more room: as far as that does not make rotated files much larger than asked for."""
        limit = stream.policy.maxbytes
        self._drainer.enlarge(stream, max(min(LARGEST_PIPE, limit // 4), 1 << 16) if limit else LARGEST_PIPE)

    def _direct(self, stream: Stream, policy: LogPolicy, *, spooled: bool = False) -> None:
        """Connect a stream with its log. spooled: by way of a spool in any case."""
        if policy.path is None:
            return
        log = stream.log = self._file(policy)
        log.streams += 1
        if spooled or stream.tap is not None or not policy.plain:
            stream.spool = Spool(stream.spool_at, stream.label, policy)
        if log.streams == 2 and log.fd >= 0 and log.holder is None and log.regular and not log.at_line_start():
            log.holder = next((other for other in self._streams.values() if other.log is log), None)
            log.held_since = self._clock()
            log.hold_until = log.held_since + HOLD_SECONDS

    def _leave(self, stream: Stream) -> None:
        if stream.spool is not None:
            stream.spool.close()
        if stream.log is not None:
            stream.log.streams -= 1
        stream.log = stream.spool = None

    def _file(self, policy: LogPolicy) -> LogFile:
        assert policy.path is not None
        log = self._files.get(policy.path)
        if log is None:
            log = self._files[policy.path] = LogFile(
                policy.path, policy, self._report, self._compressor, self._keep_tails, self._clock, self._wall
            )
        log.apply(policy)
        return log

    def _find(self, log: LogFile, digest: bytes) -> Stream | None:
        found = (stream for stream in self._streams.values() if stream.log is log and stream.digest == digest)
        return next(found, None)

    def _keep_tails(self, log: LogFile) -> None:
        for stream in self._streams.values():
            if stream.log is log and stream.spool is None:
                stream.remember()

    def _close_idle_files(self, keep: int) -> None:
        idle = [path for path, log in self._files.items() if not log.streams]
        for path in idle[: max(0, len(idle) - keep)]:
            self._files.pop(path).close()


def _path_of(fd: int) -> str | None:
    """The path of an open FIFO, where /proc tells it."""
    with contextlib.suppress(OSError):
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.startswith("/"):
            return path
    return None
