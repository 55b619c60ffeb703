"""A command at a real terminal whose screen can be read, as a person would see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import pyte


class Screen:
    """with Screen(argv, 80, 24) as screen: screen.sees("RUNNING"); screen.type("q"); assert screen.end() == 0

    environment: of the command, as a whole. sent: every byte that the command wrote. before: the modes() at first.
    """

    def __init__(self, argv: Sequence[str], columns: int, lines: int, environment: Mapping[str, str]) -> None:
        self.sent = bytearray()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.code: int | None = None
        self._ended = False
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            self._resized(0, columns, lines)
            os.execvpe(argv[0], list(argv), {**environment, "TERM": "xterm-256color"})
        self._resized(self._fd, columns, lines)
        self.before = self.modes()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            print(self.text())
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
                os.kill(self.pid, signal.SIGCONT)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window. What it showed is lost, as pyte's cannot grow with its contents."""
        self._screen.resize(lines, columns)
        self._screen.reset()
        self._resized(self._fd, columns, lines)

    def lines(self) -> list[str]:
        """What is shown, read anew."""
        self._read(0.0)
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        """What is shown."""
        return "\n".join(self.lines())

    def sees(self, wanted: str | Callable[[str], Any], seconds: float = 60.0) -> str:
        """Wait until a text is shown, or what is shown is as wanted; all that is shown then."""
        until = time.monotonic() + seconds
        while True:
            text = self.text()
            if wanted in text if isinstance(wanted, str) else wanted(text):
                return text
            assert not self._ended, f"it ended; shown is:\n{text}"
            assert time.monotonic() < until, f"waited for {wanted!r}; shown is:\n{text}"
            self._read(0.2)

    def end(self, seconds: float = 60.0) -> int:
        """Read to the end of the command; its exit code, or minus the signal that ended it."""
        until = time.monotonic() + seconds
        while self.code is None:
            assert time.monotonic() < until, f"it did not end; shown is:\n{self.text()}"
            self._read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        self._read(0.0)
        return self.code

    def hang_up(self) -> int:
        """Close the window; the exit code of the command."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDWR)
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def modes(self) -> list[Any]:
        """How the terminal treats keys (termios)."""
        return termios.tcgetattr(self._fd)[:4]

    def is_shown_as_before(self) -> bool:
        """Whether the last word on the cursor, on wrapping and on the alternate screen gave all of them back."""
        return all(self.sent.rfind(back) > self.sent.rfind(away) for back, away in _PAIRS)

    def _read(self, seconds: float) -> None:
        while select.select([self._fd], [], [], seconds)[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # EIO: the command has ended
                self._ended = True
                return
            if not data:
                return
            self.sent += data
            # pyte has one screen only: leaving the other one leaves nothing of it.
            self._stream.feed(data.replace(b"\x1b[?1049l", b"\x1b[2J\x1b[H"))
            seconds = 0.0

    def _resized(self, fd: int, columns: int, lines: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


_PAIRS = ((b"\x1b[?1049l", b"\x1b[?1049h"), (b"\x1b[?25h", b"\x1b[?25l"), (b"\x1b[?7h", b"\x1b[?7l"))
