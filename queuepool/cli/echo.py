"""Puts the workers' lines on the terminal of `queuepool up` without ever blocking the daemon, which does it in its own
loop. How a line looks is render.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable

import click

from queuepool.cli import render
from queuepool.domain.amounts import count

MAX_HELD = 4 * 1024 * 1024
"""Bytes kept for a terminal or pipe that takes no more; what comes then is counted and left out (logs have it all)."""

CLOSE_MILLISECONDS = 1000
"""How long the end of the daemon waits for a reader that does not read."""

WAYS_OUT = {
    "daemon_started": "; Ctrl-C ends it when running jobs are done",
    "daemon_stopping": "; Ctrl-C again ends them",
}
"""What somebody who sits at the terminal can do about an event of this kind."""

PIECE = 4096
"""PIPE_BUF: what a descriptor that is ready takes without blocking (POSIX, `poll` and pipes)."""


class Echo:
    """Writes lines to one descriptor, at once where it takes them, later where it does not.

    workers: whether lines of workers are shown, beside those of the daemon. aside: tells the person at the terminal
    what they can do, where the lines go elsewhere, into a file or through a pipe.
    The descriptor stays in blocking mode: it is shared with the shell. So it is asked first, and given little.
    """

    def __init__(
        self, fd: int, *, color: bool, workers: bool = True, aside: Callable[[str], None] | None = None
    ) -> None:
        self.workers = workers
        self._aside = aside
        self._fd = fd
        self._color = color
        self._held = bytearray()
        self._left_out = 0
        self._width = 0
        self._watching = False
        self._gone = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._terminal = os.isatty(fd)
        self._plain_file = not (self._terminal or _is_stream(fd))

    def __call__(self, name: object, stream: str, line: bytes) -> None:
        """Show one line. name: of the process, or "" for an event of the daemon's own; stream is its kind then."""
        text = str(name)
        if text:
            if not self.workers:
                return
            self._width = max(self._width, len(text))
            shown = render.worker_line(text, text.partition(":")[0], line, self._width)
        else:
            way_out = WAYS_OUT.get(stream, "")
            shown = render.daemon_line(line + (way_out.encode() if self._terminal else b""))
            if way_out:
                self._tell(render.worker_text(line) + way_out)
        self._put((shown if self._color else click.unstyle(shown)).encode("utf-8", "replace") + b"\n")

    def _tell(self, text: str) -> None:
        if self._aside is not None and not self._terminal:
            self._aside(text)

    def close(self) -> None:
        """Write what is held, waiting a second for a reader that does not read."""
        self._unwatch()
        while self._held and not self._gone and (self._plain_file or self._poll.poll(CLOSE_MILLISECONDS)):
            self._write_piece()

    def _put(self, data: bytes) -> None:
        if self._gone:
            return
        if len(self._held) + len(data) > MAX_HELD:
            self._left_out += 1
            return
        if self._left_out:
            lost = count(self._left_out, "line")
            self._held += f"... {lost} left out, this terminal was too slow; the logs have it all\n".encode()
            self._left_out = 0
        self._held += data
        self._flush()

    def _flush(self) -> None:
        while self._held and not self._gone and self._takes_more():
            self._write_piece()
        if self._held and not self._gone:
            self._watch()
        else:
            self._unwatch()

    def _takes_more(self) -> bool:
        return self._plain_file or bool(self._poll.poll(0))

    def _write_piece(self) -> None:
        try:
            written = os.write(self._fd, self._held[:PIECE])
            del self._held[:written]
        except BlockingIOError:
            pass
        except OSError:  # the terminal was closed, the reader of the pipe is gone: the daemon goes on without it
            self._gone = True
            self._held.clear()
            self._tell("nobody reads its lines any more; the daemon goes on, and Ctrl-C ends it")

    def _watch(self) -> None:
        if not self._watching:
            with contextlib.suppress(RuntimeError, OSError):  # no loop: the next line, or close, goes on with it
                asyncio.get_running_loop().add_writer(self._fd, self._flush)
                self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            with contextlib.suppress(RuntimeError, OSError):
                asyncio.get_running_loop().remove_writer(self._fd)


def _is_stream(fd: int) -> bool:
    import stat

    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)
